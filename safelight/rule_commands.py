"""The commands ``rules check``, ``show``, ``explain`` and ``replay``. They change nothing."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from rules.model import Rule, RuleReason, SeriesFacts
from safelight.config import Config
from safelight.deciding import destination_of
from safelight.list_rules import rules_on
from safelight.receivers import receivers_of, require_receivers
from safelight.rule_trials import (
    GROUPS,
    Replayed,
    cases_of,
    reading,
    replayed,
    said_of,
    see,
    what_rules_say,
)
from safelight.rules_file import in_force, read_texts, rules_of, rules_path
from safelight.seeing import see_file

_PERIOD = re.compile(r"(\d+)([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_EXAMPLES = 10


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
    parts += [f"tells {name}" for name in rule.notify.to]
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
        with said_of(target):
            seen = see_file(Path(target), rules)
        _explain(seen, rules, frozenset())
        return
    with reading(config) as reader:
        for case in cases_of(reader, target):
            number = "" if case.series_number is None else f"{case.series_number} "
            click.echo(f'series {case.series.id}: {number}"{case.description}"')
            with said_of(f"series {case.series.id}: its first instance"):
                seen = see(config, case, rules)
            _explain(seen, rules_on(case, rules), case.ended_rules)


def _explain(seen: SeriesFacts, rules: Sequence[Rule], ended: frozenset[str]) -> None:
    decision, every = what_rules_say(seen, rules, ended)
    for said in every:
        _print_reason(said.reason, f" ({said.note})" if said.note else "")
    click.echo(f"-> {decision.outcome}: {decision.summary}")
    for rule in decision.rules:
        if rule.destination is not None:
            click.echo(f"   {rule.name} -> {destination_of(rule, seen)}")
        for name in receivers_of(rule):
            click.echo(f"   {rule.name} -> forwarded to {name}")


def _print_reason(reason: RuleReason, note: str) -> None:
    verdict = "YES" if reason.verdict == "yes" else reason.verdict
    click.echo(f"{verdict:<8}{reason.rule}{note}")
    for condition in reason.conditions:
        click.echo(f"    {condition.verdict:<8}{condition.text}")


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
    with reading(config) as reader:
        numbers = reader.cases.closed_since(begin.isoformat(timespec="milliseconds"))
        every = list(replayed(config, reader, numbers, rules))
    click.echo(f"{len(every)} series were closed since {begin.astimezone():%Y-%m-%d %H:%M}")
    for group in GROUPS:
        found = [one for one in every if group.holds(one)]
        click.echo(f"{len(found):>6}  {group.words}")
        _print_examples(found)
    unchanged = sum(not one.is_changed for one in every)
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
