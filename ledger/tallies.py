"""Sums over the ledger for those who watch the node over time."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Tallies:
    """Counts of everything the ledger has.

    Attributes
    ----------
    associations, jobs, retrieve_items
        State to count.
    series
        Grade to count; of those that are not closed, ``open``.
    jobs_done, job_seconds
        How many jobs ended well, and how long they took together.
    oldest_queued_seconds
        For how long the first job in the queue has waited; 0 where none waits.
    """

    associations: Mapping[str, int]
    jobs: Mapping[str, int]
    retrieve_items: Mapping[str, int]
    series: Mapping[str, int]
    jobs_done: int
    job_seconds: float
    oldest_queued_seconds: float


def tallies_of(connection: sqlite3.Connection) -> Tallies:
    """Count; every sum walks through an index, never through a table."""

    def by(table: str, column: str) -> dict[str, int]:
        rows = connection.execute(f"SELECT {column}, count(*) FROM {table} GROUP BY {column}")
        return {str(name or "open"): int(number) for name, number in rows}

    done, seconds = connection.execute(
        "SELECT count(*), coalesce(sum(seconds), 0) FROM jobs WHERE state = 'done'"
    ).fetchone()
    (oldest,) = connection.execute(
        "SELECT min(queued_at) FROM jobs WHERE state = 'queued'"
    ).fetchone()
    return Tallies(
        by("associations", "state"),
        by("jobs", "state"),
        by("retrieve_items", "state"),
        by("series", "grade"),
        int(done),
        float(seconds),
        _age(oldest),
    )


def _age(at: str | None) -> float:
    if at is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
