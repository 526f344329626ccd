"""Says for the page what a draft of the rules would have changed, for as long as one waits."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rules.model import Rule
from safelight.config import Config
from safelight.rule_trials import GROUPS, Replayed, name_of, reading, replayed
from web_status.rule_desk import Change, Differing, Replay

_LISTED = 50
_SECONDS = 60.0


@dataclass
class _Tally:
    """The series of one kind of change: how many, and the first of them."""

    count: int = 0
    series: list[Differing] = field(default_factory=list)

    def add(self, one: Replayed) -> None:
        self.count += 1
        if self.count <= _LISTED:
            self.series.append(_differing(one))


def replay(config: Config, rules: Sequence[Rule], days: int) -> Replay:
    """Look at what closed in the last days, the latest first, as long as it may take.

    Raises
    ------
    LedgerError
        The ledger cannot be read.
    """
    begin = datetime.now(UTC) - timedelta(days=days)
    deadline = time.monotonic() + _SECONDS
    tallies = {group.name: _Tally() for group in GROUPS}
    looked_at = unchanged = 0
    with reading(config) as reader:
        numbers = reader.cases.closed_since(begin.isoformat(timespec="milliseconds"))
        for one in replayed(config, reader, reversed(numbers), rules):
            looked_at += 1
            unchanged += not one.is_changed
            for group in GROUPS:
                if group.holds(one):
                    tallies[group.name].add(one)
            if time.monotonic() > deadline:
                break
    changes = (Change(name, one.count, tuple(one.series)) for name, one in tallies.items())
    found = tuple(change for change in changes if change.count)
    return Replay(days, looked_at, len(numbers), unchanged, found)


def _differing(one: Replayed) -> Differing:
    after = "cannot be read" if one.decision is None else one.decision.summary
    return Differing(one.case.series.id, name_of(one.case), one.case.summary or "", after)
