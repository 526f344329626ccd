"""Sums over the ledger for those who watch the node over time."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

_QUEUES: Mapping[str, str] = MappingProxyType(
    {
        "jobs": "jobs WHERE state = 'queued' AND substr(steps, 1, 10) != '[[\"forward'",
        "forwards": "jobs WHERE state = 'queued' AND substr(steps, 1, 10) = '[[\"forward'",
    }
)
_NOTIFICATIONS = """
SELECT count(*) AS length, min(at) AS oldest_at FROM notifications WHERE state = 'waiting'
"""
_RETRIEVES = """
SELECT coalesce(sum(waiting), 0) AS length, min(asked_at) AS oldest_at FROM (
    SELECT asked_at, (SELECT count(*) FROM retrieve_items
        WHERE list_id = retrieve_lists.id AND state = 'waiting') AS waiting
    FROM retrieve_lists)
WHERE waiting
"""
_JOB_STATES = ("queued", "running", "done", "dead", "superseded", "cancelled")
_ITEM_STATES = (
    *("waiting", "running", "whole", "unproven", "incomplete", "absent", "failed", "cancelled"),
)
_SERIES = """
SELECT coalesce(sum(state = 'arriving'), 0) AS arriving,
    coalesce(sum(state = 'closed' AND outcome IS NULL), 0) AS undecided,
    coalesce(sum(state = 'closed' AND outcome = 'process'), 0) AS process,
    coalesce(sum(state = 'closed' AND outcome = 'hold'), 0) AS hold,
    coalesce(sum(state = 'closed' AND outcome = 'keep'), 0) AS keep,
    coalesce(sum(state = 'closed' AND outcome = 'drop'), 0) AS "drop"
FROM series
"""


@dataclass(frozen=True)
class Waiting:
    """A queue: how many things wait in it, and for how long the oldest has; 0 where none does."""

    length: int
    oldest_seconds: float


@dataclass(frozen=True)
class Tallies:
    """Counts of what the ledger has now.

    Attributes
    ----------
    jobs, retrieve_items
        Each state to its count.
    grades
        Grade to count of series; of those that are not closed, ``open``.
    series
        State to count: ``arriving``; closed and ``undecided``; else what the rules said.
    queues
        Those of jobs, forwards, accession numbers to retrieve and notifications.
    """

    jobs: Mapping[str, int]
    retrieve_items: Mapping[str, int]
    grades: Mapping[str, int]
    series: Mapping[str, int]
    queues: Mapping[str, Waiting]


def tallies_of(connection: sqlite3.Connection) -> Tallies:
    """Count; every sum walks through an index, never through a large table."""

    def by(table: str, column: str) -> dict[str, int]:
        rows = connection.execute(f"SELECT {column}, count(*) FROM {table} GROUP BY {column}")
        return {str(name or "open"): int(number) for name, number in rows}

    queues = {
        name: f"SELECT count(*) AS length, min(queued_at) AS oldest_at FROM {where}"
        for name, where in _QUEUES.items()
    }
    queues |= {"retrieves": _RETRIEVES, "notifications": _NOTIFICATIONS}
    return Tallies(
        {**dict.fromkeys(_JOB_STATES, 0), **by("jobs", "state")},
        _items_by_state(connection),
        by("series", "grade"),
        dict(connection.execute(_SERIES).fetchone()),
        {name: _waiting(connection, question) for name, question in queues.items()},
    )


def _items_by_state(connection: sqlite3.Connection) -> Mapping[str, int]:
    found = dict.fromkeys(_ITEM_STATES, 0)
    for state, number in connection.execute(
        "SELECT state, count(*) FROM retrieve_items GROUP BY list_id, state"
    ):
        found[state] += number
    return found


def _waiting(connection: sqlite3.Connection, question: str) -> Waiting:
    length, oldest_at = connection.execute(question).fetchone()
    return Waiting(int(length), age_seconds(oldest_at))


def age_seconds(at: str | None) -> float:
    """For how long something is past that happened at a time of the ledger; 0 without one."""
    if at is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
