"""How far the ledger is behind the spool. The loop says what it saw; others ask, on any thread."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from listener.watcher import Findings

_DAYS = 2  # the journal has a file a day; what is older was read


class Lag:
    """What of the spool is not in the ledger yet.

    Parameters
    ----------
    journal
        The folder of the association journal.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(self, journal: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._behind_since: float | None = None
        self._offsets: Mapping[str, int] | None = None
        self.waiting_files = 0

    def looked(self, findings: Findings) -> None:
        """Note what one look at the spool brought, once it is recorded."""
        self.waiting_files = findings.waiting
        self._offsets = findings.journal_offsets
        if not findings.waiting:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._clock()

    def seconds(self) -> float:
        """How old the oldest is at most that is not in the ledger: a file or an event.

        A file counts from when the ledger last had all that was seen.
        """
        behind_since = self._behind_since
        files = 0.0 if behind_since is None else self._clock() - behind_since
        return max(files, self._journal_seconds())

    def _journal_seconds(self) -> float:
        offsets = self._offsets
        if offsets is None:  # nothing was looked at yet
            return 0.0
        latest = sorted(self._journal.glob("*.jsonl"))[-_DAYS:]
        return max((_age_of_first(path, offsets.get(path.name, 0)) for path in latest), default=0.0)


def _age_of_first(path: Path, offset: int) -> float:
    """For how long the first whole event behind `offset` has been there; 0 without one."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            line = next((line for line in file if line.strip()), b"")
        at = datetime.fromisoformat(json.loads(line)["at"])
    except (OSError, ValueError, LookupError, TypeError):  # none, or still being written
        return 0.0
    return max(0.0, (datetime.now(UTC) - at).total_seconds())
