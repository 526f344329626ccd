"""Reads what the ledger knows of those who send."""

import sqlite3
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_SENDERS_MAX = 500
_REFUSALS_READ = 5000

# They are found one after another in the index: there are few, and many associations.
_TITLES = """
WITH RECURSIVE titles(title) AS (
    SELECT min(calling_ae) FROM associations
    UNION ALL
    SELECT (SELECT min(calling_ae) FROM associations WHERE calling_ae > title)
    FROM titles WHERE title IS NOT NULL LIMIT ?
)
SELECT title FROM titles WHERE title IS NOT NULL
"""
_LATEST = """
SELECT address, began_at AS last_seen_at,
    (SELECT max(began_at) FROM associations
     WHERE calling_ae = ?1 AND stored + duplicates > 0) AS last_brought_at
FROM associations WHERE calling_ae = ?1 ORDER BY began_at DESC LIMIT 1
"""
_SUMS = """
SELECT count(*) AS associations,
    coalesce(sum(state IN ('aborted', 'lost')), 0) AS broken_off,
    coalesce(sum(state = 'rejected'), 0) AS rejected,
    coalesce(sum(stored), 0) AS stored,
    coalesce(sum(refused), 0) AS refused
FROM associations WHERE calling_ae = ? AND began_at >= ?
"""


@dataclass(frozen=True)
class SenderRow:
    """A calling AE title.

    Attributes
    ----------
    address
        Where it was last.
    last_seen_at, last_brought_at
        Its last association, and its last one that brought instances.
    associations, broken_off, rejected, stored, refused
        In the last 24 hours: its associations, those aborted or lost and those rejected, and
        its instances stored and refused.
    """

    calling_ae: str
    address: str
    last_seen_at: str
    last_brought_at: str | None
    associations: int
    broken_off: int
    rejected: int
    stored: int
    refused: int


@dataclass(frozen=True)
class RefusalGroup:
    """What a sender was refused `times`, for one reason, and when last."""

    calling_ae: str
    reason: str
    times: int
    last_at: str


class SenderReader:
    """Asks about senders, on the connection of a `ledger.reader.LedgerReader`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def senders(self) -> tuple[SenderRow, ...]:
        """Those who ever called, who called last first; at most 500."""
        since = (datetime.now(UTC) - timedelta(hours=24)).isoformat(timespec="milliseconds")
        titles = self._connection.execute(_TITLES, [_SENDERS_MAX]).fetchall()
        found = [self._sender(title, since) for (title,) in titles]
        return tuple(sorted(found, key=lambda row: row.last_seen_at, reverse=True))

    def _sender(self, title: str, since: str) -> SenderRow:
        latest = self._connection.execute(_LATEST, [title]).fetchone()
        sums = self._connection.execute(_SUMS, [title, since]).fetchone()
        return SenderRow(title, **dict(latest), **dict(sums))

    def last_brought_at(self, calling_ae: str) -> str | None:
        """When the last association of a sender began that brought instances."""
        row = self._connection.execute(
            "SELECT max(began_at) FROM associations"
            " WHERE calling_ae = ? AND stored + duplicates > 0",
            [calling_ae],
        ).fetchone()
        return None if row[0] is None else str(row[0])

    def refusals(self, *, limit: int = 50) -> tuple[RefusalGroup, ...]:
        """What the latest 5,000 refusals were, alike ones together, the latest first."""
        rows = self._connection.execute(
            "SELECT calling_ae, reason, at FROM refusals ORDER BY id DESC LIMIT ?",
            [_REFUSALS_READ],
        ).fetchall()
        times = Counter((row["calling_ae"], row["reason"]) for row in rows)
        last = {(row["calling_ae"], row["reason"]): row["at"] for row in reversed(rows)}
        return tuple(RefusalGroup(*key, times[key], last[key]) for key in list(times)[:limit])
