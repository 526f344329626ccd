"""Brings a ledger of an earlier version up to date, and keeps a copy of it as it was."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from ledger.connection import applied_to
from ledger.copying import copy_ledger
from ledger.errors import UnreadableLedger
from ledger.schema import migrations

logger = logging.getLogger(__name__)

_STEPS = 10_000_000  # of SQLite's machine, some tenths of a second, between two calls


def upgrade(db: Database, path: Path, upgrading: Callable[[], None]) -> None:
    """Apply the migrations that are pending, all or none of them, and check what they made.

    Raises
    ------
    CopyFailed
        There is no copy of the ledger as it is; nothing was changed.
    UnreadableLedger
        It is not what its migrations make, as one may be that was written between two versions.
    """
    pending, connection = migrations.pending(db), db.conn
    if pending:
        if applied_to(connection):
            copy = path.with_name(f"{path.stem}-before-{pending[0].name}{path.suffix}")
            logger.warning("the ledger is upgraded; as it is now it is kept as %s", copy.name)
            copy_ledger(connection, copy, _telling(upgrading))
        connection.set_progress_handler(upgrading, _STEPS)
        try:
            with db.atomic():  # around the transactions of each
                migrations.apply(db)
        finally:
            connection.set_progress_handler(None, 0)
    _require_complete(connection, path)


def _telling(upgrading: Callable[[], None]) -> Callable[[], bool]:
    """What says that a copy goes on, and never has it given up."""

    def stopped() -> bool:
        upgrading()
        return False

    return stopped


def _require_complete(connection: sqlite3.Connection, path: Path) -> None:
    with closing(Database(memory=True)) as fresh:
        migrations.apply(fresh)
        missing = columns_of(fresh.conn) - columns_of(connection)
    if missing:
        raise UnreadableLedger(
            f"{path.name} is no ledger of this version: it has no {min(missing)}"
        )


def columns_of(connection: sqlite3.Connection) -> frozenset[str]:
    """All columns of all tables, as ``table.column``."""
    rows = connection.execute(
        "SELECT tables.name || '.' || columns.name FROM sqlite_master AS tables,"
        " pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
    )
    return frozenset(name for (name,) in rows)
