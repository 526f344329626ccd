"""Reads which notifications wait, went out or were given up."""

import sqlite3
from collections.abc import Sequence
from dataclasses import fields

from ledger.errors import NotInLedger
from ledger.notification_records import NotificationRow

_COLUMNS = ", ".join(field.name for field in fields(NotificationRow))


class NotificationReader:
    """What the ledger knows of notifications."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def latest(self, states: Sequence[str], *, limit: int = 50) -> tuple[NotificationRow, ...]:
        """Those in one of these states, the latest first."""
        marks = ", ".join("?" for _ in states)
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM notifications WHERE state IN ({marks})"
            " ORDER BY id DESC LIMIT ?",
            [*states, limit],
        )
        return tuple(NotificationRow(**dict(row)) for row in rows)

    def state_of(self, number: int) -> str:
        """The state of one.

        Raises
        ------
        NotInLedger
            There is none of this number.
        """
        row = self._connection.execute(
            "SELECT state FROM notifications WHERE id = ?", [number]
        ).fetchone()
        if row is None:
            raise NotInLedger(f"no notification {number}")
        return str(row["state"])
