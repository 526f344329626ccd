"""The coordinator's one loop: watch, record, decide, run jobs, record what they made.

All writing to the ledger happens on the thread that runs this loop.
"""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.records import ClosedSeries, NewJob
from ledger.writer import LedgerWriter
from listener.errors import UnreadableInstance
from listener.header import read_header
from listener.spool import SeriesKey, Spool, SpoolSettings
from listener.watcher import Findings, Known, Watcher
from processor.job import job_key
from rules.decide import decide
from rules.model import Decision, SeriesFacts
from safelight.config import Config
from safelight.disk import DiskWatch
from safelight.requests import Requests
from safelight.retention import Retention
from safelight.rules_file import load_site_rules
from safelight.scheduling import Scheduling

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


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
    """

    def __init__(self, config: Config, ledger: LedgerWriter) -> None:
        self._config = config
        self._intake = ledger.intake
        self._work = ledger.work
        self._rules = load_site_rules(config)
        self.spool = Spool(
            SpoolSettings(config.storage.spool, config.storage.free_bytes_min), "coordinator"
        )
        self.spool.discard_incoming()
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
        self._scheduling = Scheduling(config, ledger, self.spool, self._watcher.wake)
        self._disk = DiskWatch(config.storage, ledger.disk_stages)
        self._retention = Retention(config.storage, self.spool, ledger.retention)
        self._requests = Requests(config.storage.requests)
        self._counts = _Counts()
        self._waiting: int | None = None

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
        self._retention.stop()
        self._scheduling.stop()

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
            for closure in findings.closures:
                self._decide(self._work.close_series(closure))
                self._counts.series += 1
            for study in findings.studies:
                self._work.close_study(study)
            self._obey_requests()
            self._scheduling.start(may_begin=self._disk.may_process())
            self._scheduling.collect()
            self._retention.step(self._rules)
            alive(f"{self._counts}, {self._scheduling.done} jobs done")

    def _obey_requests(self) -> None:
        for path, request in self._requests.pending():
            self._scheduling.obey(request)
            self._requests.answer(path)

    def _resume(self) -> None:
        self._retention.resume()
        requeued = self._scheduling.resume()
        for series_id in (*self._work.undecided(), *self._work.held()):
            self._decide(self._work.closed_series(series_id))
        self._record_quarantine()
        arriving = self._intake.arriving()
        self._watcher.start(arriving)
        if requeued or arriving.series:
            logger.info("resumed %d jobs and %d arriving series", requeued, len(arriving.series))

    def _record(self, findings: Findings) -> None:
        if findings.events or findings.arrivals:
            self._intake.record(findings)
            self._counts.instances += len(findings.arrivals)
        if findings.set_aside or any(event.quarantined for event in findings.events):
            self._record_quarantine()

    def _record_quarantine(self) -> None:
        entries = []
        for path in self.spool.quarantine.glob("*.json"):
            reason = json.loads(path.read_text(encoding="utf-8"))
            entries.append((path.stem, reason["reason"], reason["SeriesInstanceUID"]))
        new = self._intake.record_quarantine(entries)
        if new:
            logger.warning("%d instances are new in quarantine", new)

    def _decide(self, series: ClosedSeries) -> None:
        """Apply the rules to a closed series and queue its jobs."""
        decision = self._decision(series)
        jobs = [
            NewJob(
                job_key(series.key.SeriesInstanceUID, series.digest, rule.name, rule.steps),
                rule.name,
                rule.steps,
            )
            for rule in decision.rules
        ]
        self._work.record_decision(series, decision, jobs)
        logger.info(
            "series %s revision %d: %d instances, %s, %s",
            series.key.SeriesInstanceUID,
            series.revision,
            len(series.sop_instance_uids),
            series.grade,
            decision.outcome,
        )

    def _decision(self, series: ClosedSeries) -> Decision:
        try:
            header = read_header(self._files(series)[0])
        except (UnreadableInstance, OSError) as error:
            summary = f"held: its first instance cannot be read ({type(error).__name__})"
            return Decision("hold", summary, (), ())
        facts: dict[str, str | float] = {
            "instances": float(len(series.sop_instance_uids)),
            "grade": series.grade,
            "calling_ae": series.calling_ae,
            "called_ae": series.called_ae,
            "header_findings": float(series.header_findings),
        }
        if series.expected is not None and series.missing is not None:
            facts["instances_expected"] = float(series.expected)
            facts["instances_missing"] = float(series.missing)
        return decide(SeriesFacts(header.values, facts), self._rules)

    def _files(self, series: ClosedSeries) -> tuple[Path, ...]:
        folder = self.spool.folder_of(SeriesKey(*series.key))
        return tuple(folder / f"{uid}.dcm" for uid in series.sop_instance_uids)
