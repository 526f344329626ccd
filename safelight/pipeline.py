"""The coordinator's one loop: watch, record, decide, run jobs, record what they made.

All writing to the ledger happens on the thread that runs this loop.
"""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ledger.writer import LedgerWriter
from listener.spool import Spool, SpoolSettings
from listener.watcher import Findings, Known, Watcher
from processor.remote import RemoteEngine
from safelight.audit_deeds import audit_trail
from safelight.backups import Backups
from safelight.config import Config
from safelight.counting import Counts
from safelight.deciding import Deciding
from safelight.disk import DiskWatch
from safelight.lag import Lag
from safelight.notifying import Notifying
from safelight.page_node import NodeCondition
from safelight.requests import Requests
from safelight.retention import Retention
from safelight.retrieving import Retrieving
from safelight.scheduling import Scheduling

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Telemetry:
    """What others are told of the loop: what it counted, and how far the ledger is behind."""

    counts: Counts
    lag: Lag

    @classmethod
    def of(cls, config: Config) -> Self:
        """That of a loop which begins."""
        return cls(Counts(config), Lag(config.storage.spool / "journal"))


@dataclass
class _Counts:
    """What the loop saw since it began, for its status."""

    instances: int = 0
    series: int = 0

    def __str__(self) -> str:
        return f"{self.instances} instances, {self.series} series closed"


class Pipeline:
    """Takes series from the spool to published results.

    Parameters
    ----------
    config
        The configuration in force.
    ledger
        The ledger, owned by the thread that calls `run`.
    reload
        Set by whoever wants the rules to be read again.
    cluster
        Where jobs run that need not run here; not started yet.
    telemetry
        What others are told of the loop; without it, nobody is.
    condition
        Says what is held up: that of the page, where there is one, as it sums up much.
    """

    def __init__(
        self,
        config: Config,
        ledger: LedgerWriter,
        reload: threading.Event,
        cluster: RemoteEngine | None = None,
        *,
        telemetry: Telemetry | None = None,
        condition: NodeCondition | None = None,
    ) -> None:
        self._config = config
        self._intake = ledger.intake
        self._work = ledger.work
        self.spool = Spool(
            SpoolSettings(config.storage.spool, config.storage.free_bytes_min), "coordinator"
        )
        self.spool.discard_incoming()
        self._deciding = Deciding(config, ledger, self.spool)
        self._reload = reload
        self._watcher = Watcher(
            self.spool,
            config.series,
            Known(
                self._intake.sop_instance_uids,
                self._intake.series_of,
                self._intake.counts,
                self._intake.journal_offsets(),
            ),
        )
        self._telemetry = telemetry or Telemetry.of(config)
        self._scheduling = Scheduling(
            *(config, ledger, self.spool, self._deciding, self._watcher.wake),
            counts=self._telemetry.counts,
            cluster=cluster,
        )
        self._retrieving = Retrieving(
            config, ledger.retrieves, self._watcher.wake, self._deciding.retrieved
        )
        self._disk = DiskWatch(config.storage, ledger.disk_stages)
        self._retention = Retention(
            config.storage,
            self.spool,
            ledger.retention,
            config.deidentify.key_file,
            trail=audit_trail(config),
        )
        self._backups = Backups(config)
        self._notifying = Notifying(
            config, ledger.notifications, condition or NodeCondition(config, cluster)
        )
        self._requests = Requests(config.storage.requests)
        self._counts = _Counts()
        self._waiting: int | None = None
        self.rules_read = 0  # how often they were read again

    @property
    def is_caught_up(self) -> bool:
        """Whether all that was seen in the spool is in the ledger."""
        return self._waiting == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watcher.stop()
        self._backups.stop()
        self._retention.stop()
        self._retrieving.stop()
        self._scheduling.stop()
        self._notifying.stop()

    def run(self, stop: threading.Event, alive: Callable[[str], None]) -> None:
        """Loop until `stop` is set; resume first what an earlier run left open.

        Parameters
        ----------
        stop
            Ends the loop within a second.
        alive
            Told after every round that the loop is alive, with a line of status.
        """
        self._resume()
        while not stop.is_set():
            findings = self._watcher.look(_LOOK_SECONDS)
            self._record(findings)
            self._waiting = findings.waiting
            self._telemetry.lag.looked(findings)
            for closure in findings.closures:
                self._deciding.decide(self._work.close_series(closure))
                self._telemetry.counts.closed(closure.grade)
                self._counts.series += 1
            for study in findings.studies:
                self._work.close_study(study)
                self._deciding.study_closed(study.StudyInstanceUID)
            self._reload_rules_if_asked()
            self._obey_requests()
            self._scheduling.collect()  # first: what has ended makes room for what begins
            self._scheduling.start(may_begin=self._disk.may_process())
            self._retrieving.collect()
            self._retrieving.start(may_begin=self._disk.may_retrieve())
            self._retention.step(self._deciding.rules)
            self._backups.step()
            self._notifying.step()
            alive(f"{self._counts}, {self._scheduling.done} jobs done")

    def _obey_requests(self) -> None:
        for path, request in self._requests.pending():
            if request.is_about_retrieves:
                self._retrieving.obey(request)
            elif request.is_about_notifications:
                self._notifying.obey(request)
            elif request.what == "reload":
                self._deciding.reload()
            else:
                self._scheduling.obey(request)
            self._requests.answer(path)

    def _reload_rules_if_asked(self) -> None:
        if self._reload.is_set():
            self._reload.clear()
            self._deciding.reload()
            self.rules_read += 1

    def _resume(self) -> None:
        self._retention.resume()
        requeued = self._scheduling.resume()
        interrupted = self._retrieving.resume()
        self._deciding.resume()
        self._record_quarantine()
        arriving = self._intake.arriving()
        self._watcher.start(arriving, waking=[self._config.storage.requests])
        if requeued or arriving.series or interrupted:
            logger.info(
                "resumed %d jobs, %d arriving series and %d retrieves",
                *(requeued, len(arriving.series), interrupted),
            )

    def _record(self, findings: Findings) -> None:
        if findings.events or findings.arrivals:
            self._telemetry.counts.recorded(findings, self._intake.record(findings))
            self._counts.instances += len(findings.arrivals)
        if findings.set_aside or any(event.quarantined for event in findings.events):
            self._record_quarantine()

    def _record_quarantine(self) -> None:
        entries = []
        for path in self.spool.quarantine.glob("*.json"):
            reason = json.loads(path.read_text(encoding="utf-8"))
            entries.append((path.stem, reason["reason"], reason["SeriesInstanceUID"]))
        new = self._intake.record_quarantine(entries)
        self._telemetry.counts.set_aside(new)
        if new:
            logger.warning("%d instances are new in quarantine", new)
