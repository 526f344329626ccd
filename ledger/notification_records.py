"""What the ledger hands to whoever delivers notifications."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]
"""What a notification says: words, numbers of the ledger and UIDs, and no patient data."""


@dataclass(frozen=True)
class Notification:
    """Something that the target of a ``[[notify]]`` is to be told.

    Attributes
    ----------
    id
        The same at each try, so that a receiver can tell one that comes twice.
    target
        The name of the ``[[notify]]``.
    event
        What happened: one of `rules.notify.Event`, of an alarm ``alarm_began``, ``alarm_lasts``
        or ``alarm_ended``, or ``summary``.
    at
        When it happened.
    tries
        How often it was tried before.
    """

    id: int
    target: str
    event: str
    at: str
    facts: Facts
    tries: int = 0


@dataclass(frozen=True)
class NotificationRow:
    """A notification as a list shows it; `error` says why it was not delivered, if it was not."""

    id: int
    target: str
    event: str
    state: str
    tries: int
    at: str
    ended_at: str | None
    error: str | None
