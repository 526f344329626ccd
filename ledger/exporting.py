"""Reads the tables of an export: all of them as they were at one moment, a row at a time."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ledger.connection import open_for_reading
from ledger.export_tables import EXPORTS, ExportTable
from processor.cells import Row
from processor.tables import TypedTable


@contextmanager
def exported(
    ledger: Path,
    names: Sequence[str],
    *,
    since: datetime | None = None,
    without_patients: bool = False,
) -> Iterator[Mapping[str, TypedTable]]:
    """Tables of the ledger, to be read within the block; writers are not held up.

    Parameters
    ----------
    ledger
        The SQLite file.
    names
        Which, of `ledger.export_tables.EXPORTS`.
    since
        Only rows from then on, aware of its time zone.
    without_patients
        Whether columns are left out that may tell whose a row is.

    Raises
    ------
    NoLedger, NewerSchema, OlderSchema, UnreadableLedger, LedgerLocked
        As `ledger.connection.open_for_reading` says.
    """
    connection = open_for_reading(ledger)
    try:
        connection.execute("BEGIN")  # one moment for all tables, from the first row that is read
        yield {
            name: _table(connection, EXPORTS[name], since, without_patients=without_patients)
            for name in names
        }
    finally:
        connection.close()


def _table(
    connection: sqlite3.Connection,
    table: ExportTable,
    since: datetime | None,
    *,
    without_patients: bool,
) -> TypedTable:
    statement = table.statement(since=since is not None, without_patients=without_patients)
    values = [] if since is None else [_told(since)]
    columns = table.chosen(without_patients=without_patients)

    def rows() -> Iterator[Row]:
        for row in connection.execute(statement, values):
            yield dict(row)

    return TypedTable({one.name: one.kind for one in columns}, rows)


def _told(at: datetime) -> str:
    """A time as the ledger has it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
