"""The ledger, open for writing. One thread of one process owns it; each call is one commit."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.cases import Cases
from ledger.configurations import Configurations
from ledger.connection import BUSY_SECONDS
from ledger.disk_stages import DiskStages
from ledger.intake import Intake
from ledger.jobs import Jobs
from ledger.notifications import Notifications
from ledger.pauses import Pauses
from ledger.retention import Retention
from ledger.retrieves import Retrieves
from ledger.rule_loads import RuleLoads
from ledger.session import Session
from ledger.studies import Studies
from ledger.work import Work


class LedgerWriter:
    """All writing goes through here.

    Parameters
    ----------
    path
        The SQLite file; it is made when absent.
    busy_seconds
        How long another program may hold it locked before that is an error.
    upgrading
        Called now and then while a ledger of an earlier version is upgraded.

    Attributes
    ----------
    intake
        Records what arrived.
    work
        Records what became of it.
    studies
        Reads what belongs to a study, and records its workbook.
    cases
        Reads what the rules decide on.
    rule_loads
        Records which rules came into force.
    jobs
        The queue of what is to be made of it.
    pauses
        What keeps the queue waiting.
    retention
        Records what rules delete.
    retrieves
        What is to be retrieved from a PACS, and what came of it.
    disk_stages
        Records how full the disk is.
    notifications
        The queue of who is told what.
    configurations
        Records which configurations were in force.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        upgrading: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = Session(path, busy_seconds=busy_seconds, upgrading=upgrading)
        self.intake = Intake(self._session)
        self.work = Work(self._session)
        self.studies = Studies(self._session)
        self.cases = Cases(self._session.query)
        self.rule_loads = RuleLoads(self._session)
        self.jobs = Jobs(self._session, self.work.closed_series)
        self.pauses = Pauses(self._session)
        self.retention = Retention(self._session)
        self.retrieves = Retrieves(self._session)
        self.disk_stages = DiskStages(self._session)
        self.notifications = Notifications(self._session)
        self.configurations = Configurations(self._session)

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
