"""What rules say of a series, and what a draft would have changed: for commands and the page.

Nothing here changes anything.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.cases import Case
from ledger.reader import LedgerReader
from listener.errors import UnreadableInstance
from rules.decide import decide, judge
from rules.errors import RuleError
from rules.model import Decision, Rule, RuleReason, SeriesFacts
from safelight.config import Config
from safelight.deciding import new_job
from safelight.errors import SafelightError
from safelight.list_rules import rules_on
from safelight.rules_file import in_force
from safelight.seeing import see_series


class NoSuchSeries(SafelightError, LookupError):
    """The ledger has no such series; the message says what was looked for."""


class InstanceUnreadable(SafelightError):
    """The instance that rules look at cannot be read; the message says which and why."""


@dataclass(frozen=True)
class Said:
    """What one rule says of a series; `note` is why nobody asked it, where nobody did."""

    reason: RuleReason
    note: str


def what_rules_say(
    seen: SeriesFacts, rules: Sequence[Rule], ended: frozenset[str]
) -> tuple[Decision, tuple[Said, ...]]:
    """What comes of a series, and what each rule says of it: also those that were not asked."""
    decision = decide(seen, in_force(rules), ended)
    asked = {reason.rule: reason for reason in decision.reasons}

    def said(rule: Rule) -> Said:
        if rule.name in asked:
            return Said(asked[rule.name], "")
        return Said(judge(seen, rule), "not asked" if rule.enabled else "not enabled")

    return decision, tuple(map(said, rules))


@contextmanager
def reading(config: Config) -> Iterator[LedgerReader]:
    """The ledger, for a while."""
    reader = LedgerReader(config.storage.ledger)
    try:
        yield reader
    finally:
        reader.close()


def cases_of(reader: LedgerReader, target: str) -> Sequence[Case]:
    """The series of a number or a Series Instance UID; several studies may hold one.

    Raises
    ------
    NoSuchSeries
        There is none.
    """
    found = (int(target),) if target.isdecimal() else reader.cases.of_uid(target)
    if not found:
        raise NoSuchSeries(f"no file and no series in the ledger: {target}")
    return [reader.cases.case(series_id) for series_id in found]


def name_of(case: Case) -> str:
    """What a series is called: its number and description."""
    number = "" if case.series_number is None else f"{case.series_number} "
    return f"{number}{case.description or 'without description'}"


def see(config: Config, case: Case, rules: Sequence[Rule]) -> SeriesFacts:
    """What `rules` see of a series of the ledger.

    Raises
    ------
    NoSuchSeries
        It has not been closed yet, or its instances were deleted.
    UnreadableInstance, OSError
        Its first instance cannot be read.
    """
    series = case.series
    if not series.sop_instance_uids:
        why = "has no instances any more" if series.revision else "has not been closed yet"
        raise NoSuchSeries(f"series {series.id} {why}")
    folder = config.storage.spool / "instances" / Path(*series.key)
    return see_series(case, folder / f"{series.sop_instance_uids[0]}.dcm", rules)


@contextmanager
def said_of(what: str) -> Iterator[None]:
    """Have an error of reading say what was to be read."""
    try:
        yield
    except UnreadableInstance as error:
        raise InstanceUnreadable(f"{what}: {error}") from error
    except OSError as error:
        raise InstanceUnreadable(f"{what}: {error.strerror}") from error


@dataclass(frozen=True)
class Replayed:
    """What a draft says of a series that was decided before, with the keys of its jobs.

    `decision` is None where the series cannot be read any more.
    """

    case: Case
    decision: Decision | None
    job_keys: frozenset[str]

    @property
    def now(self) -> str:
        """What the draft makes of it."""
        return "cannot be read" if self.decision is None else self.decision.outcome

    @property
    def is_changed(self) -> bool:
        """Whether the draft says something else than was recorded."""
        if self.decision is None or self.now != self.case.outcome:
            return True
        if self.now == "process":
            return self.job_keys != self.case.job_keys
        return self.decision.summary != self.case.summary


def replayed(
    config: Config, reader: LedgerReader, numbers: Iterable[int], rules: Sequence[Rule]
) -> Iterator[Replayed]:
    """What rules in force would have made of series that are closed."""
    for number in numbers:
        yield _replay(config, reader.cases.case(number), rules)


def _replay(config: Config, case: Case, rules: Sequence[Rule]) -> Replayed:
    try:
        seen, rules = see(config, case, rules), rules_on(case, rules)
    except (NoSuchSeries, UnreadableInstance, OSError, RuleError):
        return Replayed(case, None, frozenset())
    decision = decide(seen, rules, case.ended_rules)
    jobs = (new_job(case.series, rule, seen) for rule in decision.rules)
    return Replayed(case, decision, frozenset(job.key for job in jobs))


@dataclass(frozen=True)
class Group:
    """One kind of change; `words` say it of its series."""

    name: str
    words: str
    holds: Callable[[Replayed], bool]


def _becomes(outcome: str) -> Callable[[Replayed], bool]:
    return lambda one: one.is_changed and one.now == outcome and one.case.outcome != outcome


GROUPS = (
    Group("drop", "would have been dropped", _becomes("drop")),
    Group("hold", "would have been held", _becomes("hold")),
    Group("keep", "would have been kept, with nothing made of them", _becomes("keep")),
    Group("process", "would have been processed and were not", _becomes("process")),
    Group(
        "same",
        "would have come to the same, by other rules, options or reasons",
        lambda one: one.is_changed and one.now == one.case.outcome,
    ),
    Group("wait", "would still wait", _becomes("wait")),
    Group(
        "unread",
        "cannot be told: their first instance is gone or unreadable",
        lambda one: not one.decision,
    ),
)
"""All changes there are, what loses most first."""
