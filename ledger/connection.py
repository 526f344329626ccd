"""Opens the ledger: once for writing, by the coordinator, and as often as needed for reading."""

import sqlite3
from pathlib import Path

from sqlite_utils import Database

from ledger.errors import NewerSchema, NoLedger, UnreadableLedger
from ledger.schema import migrations

BUSY_SECONDS = 10.0


def open_for_writing(path: Path) -> Database:
    """Open the ledger, make it if it is absent, and bring its schema up to date.

    A commit is durable when it returns (WAL with ``synchronous = FULL``).

    Raises
    ------
    NewerSchema
        A newer version of Safelight wrote it.
    UnreadableLedger
        The file is no SQLite database or is damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        db = Database(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _require_known_schema(db)
        migrations.apply(db)
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise UnreadableLedger(f"{path.name} is no readable ledger: {error}") from error
    except NewerSchema:
        connection.close()
        raise
    return db


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the ledger read-only; a reader never holds up the writer (WAL).

    Raises
    ------
    NoLedger
        The daemon has not run here yet.
    """
    if not path.is_file():
        raise NoLedger(f"there is no ledger at {path}: has the daemon run with this data folder?")
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    return connection


def _require_known_schema(db: Database) -> None:
    recorded = {migration.name for migration in migrations.applied(db)}
    ours = {migration.name for migration in migrations.pending(Database(memory=True))}
    if recorded - ours:
        newest = max(recorded - ours)
        raise NewerSchema(f"the ledger was written by a newer Safelight (migration {newest})")
