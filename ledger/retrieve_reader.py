"""Reads retrieve lists for the command line, the report and the page. It never writes."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ledger.connection import open_for_reading
from ledger.errors import NotInLedger
from ledger.retrieve_records import OPEN_STATES, RetrievedSeries, RetrieveState

# Of a series that was left out nothing is missing; of a doubtful count only what is listed is.
_MISSING = """CASE WHEN left_out != '' THEN 0 ELSE max(json_array_length(missing),
    CASE WHEN doubt = '' THEN coalesce(expected, received) - received ELSE 0 END) END"""

# CROSS JOIN keeps the order: SQLite would begin with all jobs that are done.
_DONE_JOBS = """FROM retrieve_series AS wanted
    CROSS JOIN studies ON studies.StudyInstanceUID = wanted.StudyInstanceUID
    CROSS JOIN series ON series.study_id = studies.id
        AND series.SeriesInstanceUID = wanted.SeriesInstanceUID
    CROSS JOIN jobs ON jobs.series_id = series.id AND jobs.revision = series.revision
        AND jobs.state = 'done' AND jobs.deletion_id IS NULL"""

_ITEMS = f"""
SELECT item.id, list_id, item.pacs, accession_number, item.state, item.tries, not_before,
    item.started_at, item.ended_at, reason, studies,
    (SELECT count(*) FROM retrieve_series WHERE item_id = item.id) AS series,
    (SELECT count(*) FROM retrieve_series WHERE item_id = item.id AND left_out != '') AS left_out,
    (SELECT coalesce(sum(expected), 0) FROM retrieve_series
     WHERE item_id = item.id AND left_out = '') AS found,
    (SELECT coalesce(sum(received), 0) FROM retrieve_series
     WHERE item_id = item.id AND left_out = '') AS received,
    (SELECT coalesce(sum({_MISSING}), 0) FROM retrieve_series WHERE item_id = item.id) AS missing,
    (SELECT count(*) {_DONE_JOBS} CROSS JOIN outputs ON outputs.job_id = jobs.id
     WHERE wanted.item_id = item.id) AS outputs,
    (SELECT count(DISTINCT series.id) {_DONE_JOBS} CROSS JOIN steps ON steps.job_id = jobs.id
     AND processor = 'qc' AND json_extract(details, '$.low_quality')
     WHERE wanted.item_id = item.id) AS low_quality
FROM retrieve_items AS item
"""

_TELLING = """CASE item.state WHEN 'running' THEN 0 WHEN 'failed' THEN 1 WHEN 'incomplete' THEN 1
    WHEN 'absent' THEN 2 WHEN 'unproven' THEN 2 WHEN 'waiting' THEN 3 ELSE 4 END"""


@dataclass(frozen=True)
class RetrieveListRow:
    """A retrieve list; `counts` maps each state to how many of its items are in it."""

    id: int
    key: str
    name: str
    pacs: str
    priority: int
    tries: int
    asked_at: str
    counts: Mapping[RetrieveState, int]

    @property
    def is_open(self) -> bool:
        """Whether anything of it is still to come."""
        return self.ended < sum(self.counts.values())

    @property
    def ended(self) -> int:
        """How many of its items have ended."""
        return sum(n for state, n in self.counts.items() if state not in OPEN_STATES)


@dataclass(frozen=True)
class RetrieveItemRow:
    """One accession number of a list.

    `found`, `received` and `missing` count instances of the series that were asked for; `series`
    counts all that the PACS has, `left_out` those that a rule left out; `outputs` the files that
    were made of it so far, `low_quality` the series that quality control found to be low.
    """

    id: int
    list_id: int
    pacs: str
    accession_number: str = field(repr=False)
    state: RetrieveState
    tries: int
    not_before: str
    started_at: str | None
    ended_at: str | None
    reason: str
    studies: int
    series: int
    left_out: int
    found: int
    received: int
    missing: int
    outputs: int
    low_quality: int


@dataclass(frozen=True)
class OpenItemRow:
    """An accession number that has not ended: `state` is ``waiting`` or ``running``."""

    id: int
    accession_number: str = field(repr=False)
    state: RetrieveState
    not_before: str
    reason: str


@dataclass(frozen=True)
class RetrievePauseRow:
    """A PACS that is let alone for a while, and why."""

    pacs: str
    reason: str
    at: str
    until: str


class RetrieveReader:
    """A read-only view of the retrieve lists; one thread at a time may use it.

    Parameters
    ----------
    connection
        To the ledger, open for reading.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def at(cls, path: Path) -> Self:
        """The lists in the ledger of this file.

        Raises
        ------
        NoLedger, NewerSchema, UnreadableLedger, LedgerLocked
            As `ledger.connection.open_for_reading` says.
        """
        return cls(open_for_reading(path))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def lists(self, *, limit: int = 20, offset: int = 0) -> tuple[RetrieveListRow, ...]:
        """The latest lists, the newest first."""
        return self._lists("ORDER BY id DESC LIMIT ? OFFSET ?", [limit, offset])

    def count_lists(self) -> int:
        """How many lists there are."""
        return int(self._connection.execute("SELECT count(*) FROM retrieve_lists").fetchone()[0])

    def one_list(self, list_id: int) -> RetrieveListRow:
        """One list.

        Raises
        ------
        NotInLedger
            There is no list of this number.
        """
        found = self._lists("WHERE id = ?", [list_id])
        if not found:
            raise NotInLedger(f"no retrieve list {list_id}")
        return found[0]

    def list_of(self, key: str) -> RetrieveListRow:
        """The list that was ordered under this key; raises as `one_list`."""
        found = self._lists("WHERE key = ?", [key])
        if not found:
            raise NotInLedger("no such retrieve list")
        return found[0]

    def items(
        self, list_id: int, *, limit: int = -1, offset: int = 0
    ) -> tuple[RetrieveItemRow, ...]:
        """The accession numbers of a list, in its order; all of them without a limit."""
        rows = self._connection.execute(
            f"{_ITEMS} WHERE item.id IN (SELECT id FROM retrieve_items WHERE list_id = ?"
            " ORDER BY id LIMIT ? OFFSET ?) ORDER BY item.id",
            [list_id, limit, offset],
        )
        return tuple(RetrieveItemRow(**dict(row)) for row in rows)

    def telling_items(self, list_id: int, *, limit: int) -> tuple[RetrieveItemRow, ...]:
        """The items of a list that tell most: what runs, what has a problem, what is to come."""
        rows = self._connection.execute(
            f"{_ITEMS} WHERE item.id IN (SELECT id FROM retrieve_items AS item WHERE list_id = ?"
            f" ORDER BY {_TELLING}, id LIMIT ?) ORDER BY {_TELLING}, item.id",
            [list_id, limit],
        )
        return tuple(RetrieveItemRow(**dict(row)) for row in rows)

    def studies(self, item_ids: Sequence[int]) -> Mapping[int, int]:
        """A study in the ledger for each item that has one, by their numbers."""
        marks = ", ".join("?" for _ in item_ids)
        rows = self._connection.execute(
            "SELECT item_id, min(studies.id) FROM retrieve_series JOIN studies"
            " ON studies.StudyInstanceUID = retrieve_series.StudyInstanceUID"
            f" WHERE item_id IN ({marks}) GROUP BY item_id",
            list(item_ids),
        )
        return {int(item): int(study) for item, study in rows}

    def open_items(self, list_id: int, *, limit: int = 20) -> tuple[OpenItemRow, ...]:
        """What of a list has not ended: what runs first, then what is tried soonest."""
        rows = self._connection.execute(
            "SELECT id, accession_number, state, not_before, reason FROM retrieve_items"
            " WHERE list_id = ? AND state IN ('waiting', 'running')"
            " ORDER BY state = 'running' DESC, not_before, id LIMIT ?",
            [list_id, limit],
        )
        return tuple(OpenItemRow(**dict(row)) for row in rows)

    def series(self, item_id: int) -> tuple[RetrievedSeries, ...]:
        """What is known of the series of an accession number."""
        rows = self._connection.execute(
            "SELECT StudyInstanceUID, SeriesInstanceUID, SeriesNumber, Modality,"
            " SeriesDescription, expected, received, missing, left_out, doubt"
            " FROM retrieve_series WHERE item_id = ? ORDER BY StudyInstanceUID, SeriesNumber, id",
            [item_id],
        )
        return tuple(RetrievedSeries(**_decoded(dict(row))) for row in rows)

    def pause(self, pacs: str) -> RetrievePauseRow | None:
        """Why a PACS is let alone; None where it is not known to have a problem."""
        row = self._connection.execute(
            "SELECT pacs, reason, at, until FROM retrieve_pauses WHERE pacs = ?", [pacs]
        ).fetchone()
        return None if row is None else RetrievePauseRow(**dict(row))

    def _lists(self, clause: str, values: Sequence[object]) -> tuple[RetrieveListRow, ...]:
        rows = self._connection.execute(
            "SELECT id, key, name, pacs, priority, tries, asked_at,"
            " (SELECT json_group_object(state, n) FROM (SELECT state, count(*) AS n"
            "  FROM retrieve_items WHERE list_id = list.id GROUP BY state)) AS counts"
            f" FROM retrieve_lists AS list {clause}",
            list(values),
        )
        return tuple(
            RetrieveListRow(**{**dict(row), "counts": json.loads(row["counts"])}) for row in rows
        )


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "missing": tuple(json.loads(row["missing"]))}
