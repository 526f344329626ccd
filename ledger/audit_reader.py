"""Reads for the audit trail which studies associations brought instances of."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

_CLOCK = timedelta(hours=1)  # so far the clock may have been set back meanwhile


@dataclass(frozen=True)
class ReceivedStudy:
    """A study of which an association brought instances."""

    StudyInstanceUID: str
    PatientID: str
    instances: int


@dataclass(frozen=True)
class LostAssociation:
    """An association whose end its receiver did not live to see."""

    association_id: str
    calling_ae: str
    address: str


class AuditReader:
    """Asks on the connection of a `ledger.reader.LedgerReader`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def journal_offsets(self) -> Mapping[str, int]:
        """How far the ledger has each file of the association journal."""
        return dict(self._connection.execute("SELECT file, offset FROM journal_offsets").fetchall())

    def lost_by(self, receiver: str, at: str) -> tuple[LostAssociation, ...]:
        """What a receiver had open before it began again at a time."""
        rows = self._connection.execute(
            "SELECT association_id, calling_ae, address FROM associations"
            " WHERE state = 'lost' AND receiver = ? AND ended_at = ?",
            [receiver, at],
        )
        return tuple(LostAssociation(*row) for row in rows)

    def studies_of(self, association_id: str) -> tuple[ReceivedStudy, ...]:
        """The studies of which an association brought instances that were new here.

        Only series that something came to since it began are looked through.
        """
        began = self._connection.execute(
            "SELECT began_at FROM associations WHERE association_id = ?", [association_id]
        ).fetchone()
        if began is None:
            return ()
        since = (datetime.fromisoformat(began[0]) - _CLOCK).isoformat(timespec="milliseconds")
        rows = self._connection.execute(
            "SELECT StudyInstanceUID, PatientID, count(*) FROM series"
            " JOIN studies ON studies.id = study_id JOIN instances ON series_id = series.id"
            " WHERE last_arrival_at >= ? AND association_id = ? GROUP BY studies.id",
            [since, association_id],
        )
        return tuple(ReceivedStudy(*row) for row in rows)
