"""Whom a rule has told how its jobs end. Pure: it tells nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Event = Literal["done", "failed", "low_quality", "study_done"]
"""
done         a job of the rule ended and every step gave a result
failed       a job of the rule was given up, or a step of it failed
low_quality  quality control calls the series low
study_done   the study is complete and none of its jobs is left to do
"""
EVENTS: tuple[Event, ...] = get_args(Event)

_KEYS = ("to", "on")


@dataclass(frozen=True)
class Notify:
    """The ``notify`` of a rule.

    Attributes
    ----------
    to
        The names of the ``[[notify]]`` tables that are told; none where nobody is.
    on
        What they are told of.
    """

    to: tuple[str, ...] = ()
    on: tuple[Event, ...] = ("failed", "study_done")

    @classmethod
    def parse(cls, value: object) -> "Notify":
        """Read a name, or a table of `to` and `on`; each may be one text or a list.

        Raises
        ------
        ValueError
            Says what was expected.

        Examples
        --------
        >>> Notify.parse("research-team")
        Notify(to=('research-team',), on=('failed', 'study_done'))
        >>> Notify.parse({"to": "it", "on": ["failed"]})
        Notify(to=('it',), on=('failed',))
        """
        table = {"to": value} if isinstance(value, str) else value
        if not isinstance(table, Mapping):
            raise ValueError(f"expected the name of a [[notify]] or a table, got {value!r}")  # noqa: TRY004
        for key in table:
            if key not in _KEYS:
                raise ValueError(f"{key}: unknown key; expected one of {', '.join(_KEYS)}")
        to = _texts("to", table.get("to"))
        on = _texts("on", table.get("on", list(cls.on)))
        for event in on:
            if event not in EVENTS:
                raise ValueError(f"on: expected some of {', '.join(EVENTS)}, got {event!r}")
        return cls(to, tuple(event for event in EVENTS if event in on))


def _texts(key: str, value: object) -> tuple[str, ...]:
    """One text or a list of them, of which there must be at least one."""
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"{key}: expected a text or a list of them, got {value!r}")
    return tuple(texts)
