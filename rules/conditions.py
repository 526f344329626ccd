"""The conditions a rule can be built from. They judge; reading them from TOML is `rules.parse`.

Verdicts follow Kleene's logic: what is absent makes a condition ``unknown``, and a conjunction
is ``no`` as soon as one part is ``no``, whatever the unknown parts may be. What will be known
later comes before what will never be.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from listener.series import GRADES
from rules.model import Condition, Kind, Reason, SeriesFacts, Values, Verdict

Judgement = tuple[Verdict, tuple[Reason, ...]]


def shown(values: Values) -> str:
    r"""Values as DICOM writes them.

    >>> shown(("ORIGINAL", "PRIMARY"))
    'ORIGINAL\\PRIMARY'
    >>> shown((24.0,))
    '24'
    """
    return "\\".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _of(verdict: bool) -> Verdict:  # noqa: FBT001 - the truth value is the subject here
    return "yes" if verdict else "no"


@dataclass(frozen=True)
class Test:
    """One operator with its operand, such as ``min = 20``."""

    operator: str
    operand: object

    def holds(self, values: Values) -> bool | None:
        """Whether `values` pass; None where the operator cannot be applied to them."""
        return OPERATORS[self.operator](values, self.operand)

    def __str__(self) -> str:
        """The test as a person would say it."""
        return f"{PHRASES[self.operator]} {quoted(self.operand)}"


@dataclass(frozen=True)
class Leaf:
    """Tests on what one name stands for; all must hold.

    `if_absent` is the verdict where the element is absent or empty; None leaves it unknown.
    """

    name: str
    kind: Kind
    tests: tuple[Test, ...]
    present: bool | None = None
    if_absent: bool | None = None

    def judge(self, series: SeriesFacts) -> Judgement:
        """Judge the element or fact this leaf names."""
        values = self._values(series)
        if self._is_awaited(series, values):
            return "later", (Reason(f"{self.name} is not known yet", "later"),)
        if self.present is not None:
            verdict = _of(bool(values) == self.present)
            return verdict, (Reason(f"{self.name} {'present' if values else 'absent'}", verdict),)
        if not values:
            verdict = "unknown" if self.if_absent is None else _of(self.if_absent)
            return verdict, (Reason(f"{self.name} is absent", verdict),)
        return self._apply(values)

    def names(self) -> Iterator[tuple[str, Kind]]:
        """The one name."""
        yield self.name, self.kind

    def _values(self, series: SeriesFacts) -> Values:
        known = series.header if self.kind == "element" else series.facts
        return known.get(self.name, ())

    def _is_awaited(self, series: SeriesFacts, values: Values) -> bool:
        """Whether more will be known: what a study has changes until all of it is here."""
        return self.kind in series.awaited and (self.kind == "study" or not values)

    def _apply(self, values: Values) -> Judgement:
        results = [(test, test.holds(values)) for test in self.tests]
        reasons = tuple(
            Reason(
                f"{self.name} = {shown(values)}: {test}", "unknown" if held is None else _of(held)
            )
            for test, held in results
        )
        return conjunction(reason.verdict for reason in reasons), reasons


@dataclass(frozen=True)
class All:
    """Every part must hold."""

    parts: tuple[Condition, ...]

    def judge(self, series: SeriesFacts) -> Judgement:
        """``no`` if one part says no, ``later`` or ``unknown`` if one is, else ``yes``."""
        judged = [part.judge(series) for part in self.parts]
        reasons = tuple(reason for _, reasons in judged for reason in reasons)
        return conjunction(verdict for verdict, _ in judged), reasons

    def names(self) -> Iterator[tuple[str, Kind]]:
        """Those of the parts."""
        return chain.from_iterable(part.names() for part in self.parts)


@dataclass(frozen=True)
class Any:
    """One part must hold."""

    parts: tuple[Condition, ...]

    def judge(self, series: SeriesFacts) -> Judgement:
        """``yes`` if one part says yes, ``later`` or ``unknown`` if one is, else ``no``."""
        judged = [part.judge(series) for part in self.parts]
        reasons = tuple(reason for _, reasons in judged for reason in reasons)
        return negation(conjunction(negation(verdict) for verdict, _ in judged)), reasons

    def names(self) -> Iterator[tuple[str, Kind]]:
        """Those of the parts."""
        return chain.from_iterable(part.names() for part in self.parts)


@dataclass(frozen=True)
class Not:
    """The part must not hold."""

    part: Condition

    def judge(self, series: SeriesFacts) -> Judgement:
        """Turn yes into no and no into yes; what is not known stays so."""
        verdict, reasons = self.part.judge(series)
        turned = tuple(Reason(f"not: {r.text}", negation(r.verdict)) for r in reasons)
        return negation(verdict), turned

    def names(self) -> Iterator[tuple[str, Kind]]:
        """Those of the part."""
        return self.part.names()


def conjunction(verdicts: Iterable[Verdict]) -> Verdict:
    """Kleene's AND.

    >>> conjunction(["yes", "unknown", "no"]), conjunction(["yes", "unknown"]), conjunction([])
    ('no', 'unknown', 'yes')
    >>> conjunction(["unknown", "later"]), conjunction(["later", "no"])
    ('later', 'no')
    """
    seen = set(verdicts)
    return next((verdict for verdict in _STRONGEST if verdict in seen), "yes")


_STRONGEST: tuple[Verdict, ...] = ("no", "later", "unknown")


def negation(verdict: Verdict) -> Verdict:
    """Kleene's NOT.

    >>> negation("yes"), negation("unknown")
    ('no', 'unknown')
    """
    swapped: dict[Verdict, Verdict] = {"yes": "no", "no": "yes"}
    return swapped.get(verdict, verdict)


def _number(values: Values) -> float | None:
    """The one number among `values`; None if there are several or it is no number."""
    try:
        (value,) = values
        return float(value)
    except ValueError:
        return None


def _equals(values: Values, operand: object) -> bool | None:
    if isinstance(operand, list):
        return shown(values) == shown(tuple(operand))
    if isinstance(operand, str):
        return shown(values) == operand
    number = _number(values)
    return None if number is None else number == operand


def _one_of(values: Values, operand: object) -> bool | None:
    assert isinstance(operand, list)  # noqa: S101 - `rules.parse` has checked it
    return any(_equals(values, choice) for choice in operand)


def _contains(values: Values, operand: object) -> bool | None:
    return any(_equals((value,), operand) for value in values)


def _regex(values: Values, operand: object) -> bool | None:
    return re.search(str(operand), shown(values)) is not None


def _bound(passes: Callable[[float, float], bool]) -> Callable[[Values, object], bool | None]:
    def judge(values: Values, operand: object) -> bool | None:
        number = _number(values)
        return None if number is None else passes(number, float(str(operand)))

    return judge


def _strength(grade: object) -> int:
    return [str(known) for known in GRADES].index(str(grade))


def _at_least(values: Values, operand: object) -> bool | None:
    (grade,) = values
    return None if grade not in GRADES else _strength(grade) >= _strength(operand)


OPERATORS: Mapping[str, Callable[[Values, object], bool | None]] = {
    "equals": _equals,
    "in": _one_of,
    "contains": _contains,
    "regex": _regex,
    "min": _bound(lambda number, limit: number >= limit),
    "max": _bound(lambda number, limit: number <= limit),
    "at_least": _at_least,
}

PHRASES: Mapping[str, str] = {
    "equals": "is",
    "in": "one of",
    "contains": "contains",
    "regex": "matches",
    "min": "at least",
    "max": "at most",
    "at_least": "at least",
}


def quoted(operand: object) -> str:
    """An operand as TOML writes it.

    >>> quoted(["MR", 2.0])
    '["MR", 2]'
    """
    if isinstance(operand, list):
        return "[" + ", ".join(quoted(item) for item in operand) + "]"
    return f'"{operand}"' if isinstance(operand, str) else f"{operand:g}"
