"""A connection to the ledger for writing, and the few statements every writer needs."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from sqlite3 import Cursor
from typing import Any

from sqlite_utils import Database

from ledger.connection import BUSY_SECONDS, require_known_schema, told_apart
from ledger.errors import NotInLedger, UnreadableLedger
from ledger.upgrading import upgrade
from listener.journal import now

Row = dict[str, Any]


def open_for_writing(
    path: Path,
    *,
    busy_seconds: float = BUSY_SECONDS,
    upgrading: Callable[[], None] = lambda: None,
) -> Database:
    """Open the ledger, make it if it is absent, and bring its schema up to date.

    A commit is durable when it returns (WAL with ``synchronous = FULL``). The pages of the file
    are checked first, so that damage is found now and not by the thousandth commit.

    Parameters
    ----------
    path
        The SQLite file.
    busy_seconds
        How long another program may hold it locked.
    upgrading
        Called now and then while an upgrade goes on.

    Raises
    ------
    NewerSchema
        A newer version of Safelight wrote it.
    UnreadableLedger
        The file is no SQLite database or is damaged.
    LedgerLocked
        Another program has held it locked for `busy_seconds`.
    CopyFailed
        It is to be upgraded, and there is no room to keep a copy of it as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    try:
        with told_apart(path):
            db = Database(connection)
            require_known_schema(connection)
            _require_sound(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            upgrade(db, path, upgrading)
    except BaseException:
        connection.close()
        raise
    return db


class Session:
    """The ledger, open for writing, for one thread."""

    def __init__(
        self,
        path: Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        upgrading: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = open_for_writing(path, busy_seconds=busy_seconds, upgrading=upgrading)

    def close(self) -> None:
        """Close the ledger."""
        self._db.close()

    def atomic(self) -> AbstractContextManager[Database]:
        """One transaction: all of it is recorded, durably, or none."""
        return self._db.atomic()

    def query(self, statement: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """The rows of a query."""
        return self._db.query(statement, list(values))

    def execute(self, statement: str, values: Sequence[object] = ()) -> Cursor:
        """Execute one statement."""
        return self._db.execute(statement, list(values))

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute one statement for each of many rows."""
        self._db.conn.executemany(statement, rows)

    def one(self, statement: str, values: Sequence[object] = ()) -> Row:
        """The first row of a query.

        Raises
        ------
        NotInLedger
            There is none.
        """
        for row in self.query(statement, values):
            return row
        raise NotInLedger("no such entry")

    def insert(self, table: str, **values: object) -> int:
        """Insert one row and return its number."""
        return self._insert(f"INSERT INTO {table}", values)

    def replace(self, table: str, **values: object) -> int:
        """Insert one row in the place of the one that it is the same as, if any."""
        return self._insert(f"INSERT OR REPLACE INTO {table}", values)

    def _insert(self, into: str, values: Row) -> int:
        names, marks = ", ".join(values), ", ".join("?" for _ in values)
        statement = f"{into} ({names}) VALUES ({marks})"
        return int(self.execute(statement, list(values.values())).lastrowid or 0)

    def note(self, series_id: int, what: str) -> None:
        """Add a line to the history of a series."""
        self.insert("history", series_id=series_id, at=now(), what=what)


def _require_sound(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise UnreadableLedger(f"{path.name} is no readable ledger: its pages are damaged")
