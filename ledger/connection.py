"""Opens the ledger: once for writing, by the coordinator, and for reading by whoever asks.

What is wrong with a file is told apart here: newer, damaged, locked, absent.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from ledger.errors import LedgerLocked, NewerSchema, NoLedger, UnreadableLedger
from ledger.schema import migrations

BUSY_SECONDS = 10.0


def open_for_writing(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> Database:
    """Open the ledger, make it if it is absent, and bring its schema up to date.

    A commit is durable when it returns (WAL with ``synchronous = FULL``). The pages of the file
    are checked first, so that damage is found now and not by the thousandth commit.

    Raises
    ------
    NewerSchema
        A newer version of Safelight wrote it.
    UnreadableLedger
        The file is no SQLite database or is damaged.
    LedgerLocked
        Another program has held it locked for `busy_seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    try:
        with _told_apart(path):
            db = Database(connection)
            _require_known_schema(connection)
            _require_sound(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            migrations.apply(db)
    except BaseException:
        connection.close()
        raise
    return db


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the ledger read-only; a reader never holds up the writer (WAL).

    Raises
    ------
    NoLedger
        The daemon has not run here yet.
    NewerSchema
        A newer version of Safelight wrote it.
    UnreadableLedger
        The file is no SQLite database or is damaged.
    LedgerLocked
        Another program has held it locked too long.
    """
    if not path.is_file():
        raise NoLedger(f"there is no ledger at {path}: has the daemon run with this data folder?")
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
    )
    try:
        with _told_apart(path):
            _require_known_schema(connection)
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def _told_apart(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file into our errors; what is neither passes as it is."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LedgerLocked(f"{path.name} is locked by another program") from error
        raise
    except sqlite3.DatabaseError as error:
        raise UnreadableLedger(
            f"{path.name} is no readable ledger ({error}): the daemon sets it aside when it"
            " starts and rebuilds it from the spool, as does: safelight ledger rebuild"
        ) from error


def _require_sound(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise UnreadableLedger(f"{path.name} is no readable ledger: its pages are damaged")


def _require_known_schema(connection: sqlite3.Connection) -> None:
    (exists,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = '_sqlite_migrations'"
    ).fetchone()
    if not exists:
        return
    rows = connection.execute("SELECT name FROM _sqlite_migrations").fetchall()
    ours = {migration.name for migration in migrations.pending(Database(memory=True))}
    if newer := {name for (name,) in rows} - ours:
        raise NewerSchema(
            "the ledger was written by a newer Safelight"
            f" (migration {max(newer)}): install that version again, or restore a copy of the"
            " ledger from before; nothing was changed"
        )
