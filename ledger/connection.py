"""Opens the ledger for writing, once, by the coordinator; reading is `ledger.reader`'s."""

import sqlite3
from pathlib import Path

from sqlite_utils import Database

from ledger.errors import NewerSchema, UnreadableLedger
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


def _require_known_schema(db: Database) -> None:
    recorded = {migration.name for migration in migrations.applied(db)}
    ours = {migration.name for migration in migrations.pending(Database(memory=True))}
    if recorded - ours:
        newest = max(recorded - ours)
        raise NewerSchema(f"the ledger was written by a newer Safelight (migration {newest})")
