"""The commands ``rules check``, ``show``, ``explain`` and ``replay``. They change nothing."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from ledger.cases import Case
from ledger.reader import LedgerReader
from listener.errors import UnreadableInstance
from rules.decide import decide, judge
from rules.model import Decision, Rule, RuleReason, SeriesFacts
from safelight.config import Config
from safelight.deciding import new_job
from safelight.errors import SafelightError
from safelight.receivers import receivers_of, require_receivers
from safelight.rules_file import in_force, read_texts, rules_of, rules_path
from safelight.seeing import see_file, see_series

_PERIOD = re.compile(r"(\d+)([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_EXAMPLES = 10


class NoSuchSeries(SafelightError, LookupError):
    """The ledger has no such series; the message says what was looked for."""


class InstanceUnreadable(SafelightError):
    """The instance that rules look at cannot be read; the message says which and why."""


def check(config: Config, path: Path | None) -> None:
    """Say that the rules are good, and what each does."""
    place = path or rules_path(config)
    rules = rules_of(read_texts(place))
    require_receivers(in_force(rules), config)
    for rule in rules:
        off = "" if rule.enabled else "  (not enabled)"
        click.echo(f"{rule.name}: {_told(rule)}{off}")
    click.echo(f"{place}: no errors found")


def show(config: Config, path: Path | None) -> None:
    """Print the rules as they are written."""
    for text in read_texts(path or rules_path(config)):
        click.echo(text.text, nl=False)


def _told(rule: Rule) -> str:
    """What a rule does with a series that matches."""
    if rule.ending is not None:
        return f"{rule.ending.outcome}: {rule.ending.reason}"
    parts = [", ".join(step.processor for step in rule.steps)]
    parts += [f"to {name}" for name in receivers_of(rule)]
    parts += [f"to {rule.destination.text}"] if rule.destination else []
    parts += [f"priority {rule.priority}"] if rule.priority else []
    parts += [f"between {rule.window}"] if rule.window else []
    return "; ".join(parts)


def explain(config: Config, target: str, path: Path | None) -> None:
    """Print what every rule says of a series or a file, on which values, and what comes of it.

    Parameters
    ----------
    target
        A DICOM file, else the number or the Series Instance UID of a series in the ledger.
    path
        Rules to take in place of the site's.

    Raises
    ------
    NoSuchSeries
        The target is neither.
    InstanceUnreadable
        The file, or the first instance of the series, cannot be read.
    """
    rules = rules_of(read_texts(path or rules_path(config)))
    if Path(target).is_file():
        click.echo(f"{target}, as if it were all of its series and study")
        with _said_of(target):
            seen = see_file(Path(target), rules)
        _explain(seen, rules, frozenset())
        return
    with _reading(config) as reader:
        for case in _cases_of(reader, target):
            number = "" if case.series_number is None else f"{case.series_number} "
            click.echo(f'series {case.series.id}: {number}"{case.description}"')
            with _said_of(f"series {case.series.id}: its first instance"):
                seen = _see(config, case, rules)
            _explain(seen, rules, case.ended_rules)


@contextmanager
def _said_of(what: str) -> Iterator[None]:
    """Have an error of reading say what was to be read."""
    try:
        yield
    except UnreadableInstance as error:
        raise InstanceUnreadable(f"{what}: {error}") from error
    except OSError as error:
        raise InstanceUnreadable(f"{what}: {error.strerror}") from error


def _explain(seen: SeriesFacts, rules: Sequence[Rule], ended: frozenset[str]) -> None:
    decision = decide(seen, in_force(rules), ended)
    asked = {reason.rule: reason for reason in decision.reasons}
    for rule in rules:
        note = "" if rule.name in asked else " (not asked)" if rule.enabled else " (not enabled)"
        _print_reason(asked.get(rule.name) or judge(seen, rule), note)
    click.echo(f"-> {decision.outcome}: {decision.summary}")
    for rule in decision.rules:
        if rule.destination is not None:
            click.echo(f"   {rule.name} -> {rule.destination.folder(seen.header)}")
        for name in receivers_of(rule):
            click.echo(f"   {rule.name} -> forwarded to {name}")


def _print_reason(reason: RuleReason, note: str) -> None:
    verdict = "YES" if reason.verdict == "yes" else reason.verdict
    click.echo(f"{verdict:<8}{reason.rule}{note}")
    for condition in reason.conditions:
        click.echo(f"    {condition.verdict:<8}{condition.text}")


@contextmanager
def _reading(config: Config) -> Iterator[LedgerReader]:
    reader = LedgerReader(config.storage.ledger)
    try:
        yield reader
    finally:
        reader.close()


def _cases_of(reader: LedgerReader, target: str) -> Sequence[Case]:
    found = (int(target),) if target.isdecimal() else reader.cases.of_uid(target)
    if not found:
        raise NoSuchSeries(f"no file and no series in the ledger: {target}")
    return [reader.cases.case(series_id) for series_id in found]


def _see(config: Config, case: Case, rules: Sequence[Rule]) -> SeriesFacts:
    """What `rules` see of a series of the ledger."""
    series = case.series
    if not series.sop_instance_uids:
        raise NoSuchSeries(f"series {series.id} has not been closed yet")
    folder = config.storage.spool / "instances" / Path(*series.key)
    return see_series(case, folder / f"{series.sop_instance_uids[0]}.dcm", rules)


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


def replay(config: Config, since: str, path: Path) -> None:
    """Print what draft rules would have changed, what they would have dropped first.

    Parameters
    ----------
    since
        How far back, such as ``30d``.
    path
        The draft.

    Raises
    ------
    UsageError
        `since` is no period.
    RuleError
        The draft is wrong.
    """
    begin = datetime.now(UTC) - period(since)
    rules = in_force(rules_of(read_texts(path)))
    with _reading(config) as reader:
        numbers = reader.cases.closed_since(begin.isoformat(timespec="milliseconds"))
        replayed = [_replay(config, reader.cases.case(number), rules) for number in numbers]
    click.echo(f"{len(replayed)} series were closed since {begin.astimezone():%Y-%m-%d %H:%M}")
    for words, belongs in _GROUPS:
        group = [one for one in replayed if belongs(one)]
        click.echo(f"{len(group):>6}  {words}")
        _print_examples(group)
    unchanged = sum(not one.is_changed for one in replayed)
    click.echo(f"{unchanged:>6}  unchanged")


def period(text: str) -> timedelta:
    """Read a period such as ``12h``, ``30d`` or ``2w``.

    >>> period("30d").days
    30
    """
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise click.UsageError(f"--since {text}: expected hours, days or weeks: 12h, 30d, 2w")
    return timedelta(hours=int(match[1]) * _HOURS[match[2]])


def _replay(config: Config, case: Case, rules: Sequence[Rule]) -> Replayed:
    try:
        seen = _see(config, case, rules)
    except (UnreadableInstance, OSError):
        return Replayed(case, None, frozenset())
    decision = decide(seen, rules, case.ended_rules)
    jobs = (new_job(case.series, rule, seen) for rule in decision.rules)
    return Replayed(case, decision, frozenset(job.key for job in jobs))


def _becomes(outcome: str) -> Callable[[Replayed], bool]:
    return lambda one: one.is_changed and one.now == outcome and one.case.outcome != outcome


_GROUPS: tuple[tuple[str, Callable[[Replayed], bool]], ...] = (
    ("would have been dropped", _becomes("drop")),
    ("would have been held", _becomes("hold")),
    ("would have been kept, with nothing made of them", _becomes("keep")),
    ("would have been processed and were not", _becomes("process")),
    (
        "would have come to the same, by other rules, options or reasons",
        lambda one: one.is_changed and one.now == one.case.outcome,
    ),
    ("would still wait", _becomes("wait")),
    ("cannot be told: their first instance is gone or unreadable", lambda one: not one.decision),
)


def _print_examples(group: Sequence[Replayed]) -> None:
    """What the series of a group have in common, and the first of them."""
    summaries = Counter(one.decision.summary for one in group if one.decision is not None)
    for summary, count in summaries.most_common(_EXAMPLES):
        numbers = [
            str(one.case.series.id)
            for one in group
            if one.decision is not None and one.decision.summary == summary
        ]
        more = ", ..." if count > _EXAMPLES else ""
        click.echo(f"{count:>10}  {summary}: series {', '.join(numbers[:_EXAMPLES])}{more}")
