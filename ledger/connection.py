"""Opens the ledger for reading, and tells apart what is wrong with a file.

Newer, damaged, locked or absent. Writing is the coordinator's business, in `ledger.session`: this
module does without what only writing needs, so that every command answers soon.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.errors import LedgerLocked, NewerSchema, NoLedger, OlderSchema, UnreadableLedger

BUSY_SECONDS = 10.0

MIGRATIONS = frozenset(
    {
        "m001_initial",
        "m002_receivers",
        "m003_jobs_and_retention",
        "m004_indexes",
        "m005_rules",
        "m006_completeness",
        "m007_retrieves",
        "m008_retrieve_states",
        "m009_senders",
        "m010_studies",
        "m011_list_rules",
        "m012_notifications",
        "m013_queue",
        "m014_deleted_and_sent_again",
    }
)
"""The names of those in `ledger.schema`: what this version can read."""


def open_for_reading(path: Path, *, any_schema: bool = False) -> sqlite3.Connection:
    """Open the ledger read-only; a reader never holds up the writer (WAL).

    `any_schema` is for who reads only what the ledger of every earlier version has too.

    Raises
    ------
    NoLedger
        The daemon has not run here yet.
    NewerSchema, OlderSchema
        A newer version of Safelight wrote it, or an earlier one, and it is not upgraded yet.
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
        with told_apart(path):
            require_known_schema(connection)
            if not any_schema:
                _require_upgraded(connection)
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def told_apart(path: Path) -> Iterator[None]:
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


def require_known_schema(connection: sqlite3.Connection) -> None:
    """Raise `NewerSchema` where the ledger has a migration that this version does not know."""
    if newer := applied_to(connection) - MIGRATIONS:
        raise NewerSchema(
            "the ledger was written by a newer Safelight"
            f" (migration {max(newer)}): install that version again, or restore a copy of the"
            " ledger from before; nothing was changed"
        )


def applied_to(connection: sqlite3.Connection) -> frozenset[str]:
    """The migrations that a ledger has, of this version or of another."""
    (exists,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = '_sqlite_migrations'"
    ).fetchone()
    if not exists:
        return frozenset()
    rows = connection.execute("SELECT name FROM _sqlite_migrations").fetchall()
    return frozenset(name for (name,) in rows)


def _require_upgraded(connection: sqlite3.Connection) -> None:
    if MIGRATIONS - applied_to(connection):
        raise OlderSchema(
            "the ledger is of an earlier Safelight: the daemon upgrades it when it starts"
        )
