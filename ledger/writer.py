"""The ledger, open for writing. One thread of one process owns it; each call is one commit."""

from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.disk_stages import DiskStages
from ledger.intake import Intake
from ledger.jobs import Jobs
from ledger.pauses import Pauses
from ledger.retention import Retention
from ledger.session import Session
from ledger.work import Work


class LedgerWriter:
    """All writing goes through here.

    Parameters
    ----------
    path
        The SQLite file; it is made when absent.

    Attributes
    ----------
    intake
        Records what arrived.
    work
        Records what became of it.
    jobs
        The queue of what is to be made of it.
    pauses
        What keeps the queue waiting.
    retention
        Records what rules delete.
    disk_stages
        Records how full the disk is.
    """

    def __init__(self, path: Path) -> None:
        self._session = Session(path)
        self.intake = Intake(self._session)
        self.work = Work(self._session)
        self.jobs = Jobs(self._session, self.work.closed_series)
        self.pauses = Pauses(self._session)
        self.retention = Retention(self._session)
        self.disk_stages = DiskStages(self._session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger."""
        self._session.close()
