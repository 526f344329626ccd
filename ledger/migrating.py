"""Transactions, and the ordered changes of the schema: all of an upgrade is one transaction.

What was applied is in the table that sqlite-utils introduced for it, by name.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from sqlite3 import Connection

Migration = Callable[[Connection], None]

_SET = "safelight"
_APPLIED: tuple[str, ...] = (
    """CREATE TABLE IF NOT EXISTS _sqlite_migrations (
        id INTEGER PRIMARY KEY, migration_set TEXT, name TEXT, applied_at TEXT)""",
    """CREATE UNIQUE INDEX IF NOT EXISTS idx__sqlite_migrations_migration_set_name
        ON _sqlite_migrations (migration_set, name)""",
)


class Migrations:
    """The migrations in the order of their names; a decorator adds one, named as its function."""

    def __init__(self) -> None:
        self._all: dict[str, Migration] = {}

    def __call__(self) -> Callable[[Migration], Migration]:
        """Add what is decorated."""

        def add(migration: Migration) -> Migration:
            self._all[getattr(migration, "__name__", "")] = migration
            return migration

        return add

    @property
    def names(self) -> frozenset[str]:
        """What this version knows."""
        return frozenset(self._all)

    def pending(self, connection: Connection) -> tuple[str, ...]:
        """What was not applied yet, in order."""
        applied = applied_to(connection)
        return tuple(name for name in sorted(self._all) if name not in applied)

    def apply(self, connection: Connection) -> None:
        """Apply what is pending: all of it, or nothing where one fails."""
        with atomic(connection):
            for statement in _APPLIED:
                connection.execute(statement)
            for name in self.pending(connection):
                self._all[name](connection)
                connection.execute(
                    "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
                    " VALUES (?, ?, ?)",
                    [_SET, name, datetime.now(UTC).isoformat(sep=" ")],
                )


def applied_to(connection: Connection) -> frozenset[str]:
    """The migrations that a ledger has, of this version or of another."""
    (exists,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = '_sqlite_migrations'"
    ).fetchone()
    if not exists:
        return frozenset()
    rows = connection.execute("SELECT name FROM _sqlite_migrations").fetchall()
    return frozenset(name for (name,) in rows)


@contextmanager
def atomic(connection: Connection) -> Iterator[None]:
    """All that is done within is kept, durably, or nothing; it may be within another."""
    nested = connection.in_transaction
    connection.execute("SAVEPOINT nested" if nested else "BEGIN")
    try:
        yield
        connection.execute("RELEASE nested" if nested else "COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK TO nested" if nested else "ROLLBACK")
            if nested:
                connection.execute("RELEASE nested")
        raise
