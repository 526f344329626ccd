"""The coordinator's one loop: watch, record, decide, run jobs, record what they made.

All writing to the ledger happens on the thread that runs this loop.
"""

import json
import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from ledger.records import ClaimedJob, ClosedSeries
from ledger.writer import LedgerWriter
from listener.spool import SeriesKey, Spool, SpoolSettings
from listener.watcher import Findings, Known, Watcher
from processor.errors import ProcessorError, RetriableError
from processor.model import JobRequest, JobResult
from processor.pool import WorkerPool
from processor.workbook import merge_workbooks
from safelight.config import Config
from safelight.deciding import Deciding

logger = logging.getLogger(__name__)

TRIES = 3
_LOOK_SECONDS = 0.5
_RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class _Running:
    """A job, or the workbook of a study, that a worker has."""

    future: Future[JobResult] | Future[Path]
    job: ClaimedJob
    workbook: PurePosixPath | None = None


@dataclass
class _Counts:
    """What the loop saw since it began, for its status."""

    instances: int = 0
    series: int = 0
    jobs: int = 0

    def __str__(self) -> str:
        return f"{self.instances} instances, {self.series} series closed, {self.jobs} jobs done"


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
    """

    def __init__(self, config: Config, ledger: LedgerWriter, reload: threading.Event) -> None:
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
        self._pool = WorkerPool(config.processing)
        self._running: dict[Future[JobResult] | Future[Path], _Running] = {}
        self._ended: SimpleQueue[Future[JobResult] | Future[Path]] = SimpleQueue()
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
        self._pool.stop()

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
                self._deciding.decide(self._work.close_series(closure))
                self._counts.series += 1
            for study in findings.studies:
                self._work.close_study(study)
                self._deciding.study_closed(study.StudyInstanceUID)
            self._reload_rules_if_asked()
            self._start_jobs()
            self._collect()
            alive(str(self._counts))

    def _reload_rules_if_asked(self) -> None:
        if self._reload.is_set():
            self._reload.clear()
            self._deciding.reload()

    def _resume(self) -> None:
        requeued = self._work.requeue_running()
        self._deciding.resume()
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

    def _files(self, series: ClosedSeries) -> tuple[Path, ...]:
        folder = self.spool.folder_of(SeriesKey(*series.key))
        return tuple(folder / f"{uid}.dcm" for uid in series.sop_instance_uids)

    def _start_jobs(self) -> None:
        free = self._config.processing.workers - len(self._running)
        for job in self._work.claim(free) if free > 0 else ():
            self._track(_Running(self._pool.submit(self._request(job)), job))

    def _track(self, running: _Running) -> None:
        self._running[running.future] = running
        running.future.add_done_callback(self._on_ended)

    def _on_ended(self, future: Future[JobResult] | Future[Path]) -> None:
        self._ended.put(future)
        self._watcher.wake()

    def _request(self, job: ClaimedJob) -> JobRequest:
        series = job.series
        return JobRequest(
            key=job.key,
            study_uid=series.key.StudyInstanceUID,
            series_uid=series.key.SeriesInstanceUID,
            revision=series.revision,
            digest=series.digest,
            rule=job.rule,
            steps=job.steps,
            files=self._files(series),
            facts={
                "grade": series.grade,
                "evidence": series.evidence,
                "instances": len(series.sop_instance_uids),
                "instances_expected": series.expected,
                "calling_ae": series.calling_ae,
            },
            scratch=self._config.storage.scratch,
            results=self._config.storage.results,
            settings=self._config.processor,
            destination=job.destination,
        )

    def _collect(self) -> None:
        while True:
            try:
                running = self._running.pop(self._ended.get_nowait())
            except Empty:
                return
            if running.workbook is None:
                self._end_job(running)
            else:
                self._end_workbook(running, running.workbook)

    def _end_job(self, running: _Running) -> None:
        job = running.job
        error = running.future.exception()
        if error is None:
            result = running.future.result()
            assert isinstance(result, JobResult)  # noqa: S101 - no workbook, so a job's result
            self._work.finish(job, result)
            self._counts.jobs += 1
            logger.info("job %d done in %.1f s", job.id, result.seconds)
        elif isinstance(error, RetriableError) and job.tries < TRIES:
            delay = _RETRY_SECONDS * 2 ** (job.tries - 1) * random.uniform(1.0, 1.5)  # noqa: S311
            self._work.retry(job, _described(error), delay)
            logger.warning("job %d: try %d failed: %s", job.id, job.tries, type(error).__name__)
        else:
            self._work.bury(job, _described(error))
            logger.error("job %d given up: %s", job.id, type(error).__name__)
        self._deciding.after_job(job.series.id)
        self._start_workbook(job)

    def _start_workbook(self, job: ClaimedJob) -> None:
        """Write the study's workbook anew once none of its jobs is left to do."""
        folders = self._work.study_folders(job.series.id)
        if folders:
            results = self._config.storage.results
            study = self._deciding.study_folder(job.series.id)
            workbook = PurePosixPath(study) / "metadata.xlsx"
            future = self._pool.submit_call(
                merge_workbooks, [results / folder for folder in folders], results / workbook
            )
            self._track(_Running(future, job, workbook))

    def _end_workbook(self, running: _Running, workbook: PurePosixPath) -> None:
        error = running.future.exception()
        if error is None:
            self._work.record_workbook(running.job.series.id, str(workbook))
        else:
            logger.error("the workbook of a study failed: %s", _described(error))


def _described(error: BaseException) -> str:
    """An error as the ledger keeps it; only our own messages are free of patient data."""
    ours = isinstance(error, ProcessorError)
    return str(error) if ours else f"unexpected {type(error).__name__}"
