"""Gives jobs to workers and records what became of them.

Which jobs there are is decided elsewhere; their order, their tries and their ends are kept in the
ledger. All methods belong to the thread that owns it.
"""

import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue

from ledger.jobs import LEASE_SECONDS
from ledger.records import ClaimedJob
from ledger.writer import LedgerWriter
from listener.log_ids import logged_as
from listener.spool import SeriesKey, Spool
from processor.errors import ClusterAway, OutputUnavailable, ProcessorError, RetriableError
from processor.job import discard_remains
from processor.model import JobRequest, JobResult
from processor.pool import WorkerPool
from processor.remote import Engine, RemoteEngine
from processor.study import StudyResults, write_study
from safelight.cluster import kept_here
from safelight.config import Config
from safelight.counting import Counts
from safelight.deciding import Deciding
from safelight.forwarding import Forwarding
from safelight.receivers import FORWARD
from safelight.requests import Request

logger = logging.getLogger(__name__)

TRIES = 3
_RETRY_SECONDS = 5.0
_LONGEST_FORWARD_RETRY_SECONDS = 3600.0
_OUTPUT_SECONDS, _OUTPUT_SECONDS_MAX = 5.0, 300.0
_CLUSTER_SECONDS = 1.0  # by then it is known whether it is away
_RENEW_SECONDS = LEASE_SECONDS / 3


@dataclass(frozen=True)
class _Lane:
    """An engine, and which jobs it gets: `only` and `without` are those of `Jobs.claim`."""

    engine: Engine
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Running:
    """A job, or the workbook of a study, that a worker has."""

    future: Future[JobResult] | Future[Path]
    job: ClaimedJob
    lane: _Lane
    is_workbook: bool = False


class Scheduling:
    """The jobs that run now.

    Parameters
    ----------
    config, ledger
        The configuration in force, and the queue.
    spool
        Where the instances of a job are.
    deciding
        Told when a job of a series has ended; a rule may have waited for that.
    wake
        Called, from another thread, when a job has ended.
    counts
        Where it is counted how jobs end.
    cluster
        Where jobs run that need not run here.
    """

    def __init__(
        self,
        config: Config,
        ledger: LedgerWriter,
        spool: Spool,
        deciding: Deciding,
        wake: Callable[[], None],
        *,
        counts: Counts,
        cluster: RemoteEngine | None = None,
    ) -> None:
        self._config = config
        self._counts = counts
        self._ledger = ledger
        self._spool = spool
        self._deciding = deciding
        self._wake = wake
        self._forwarding = Forwarding.of(config)
        self._pool = WorkerPool(config.processing)
        self._cluster = cluster
        here = kept_here(config)
        self._here = _Lane(self._pool, only=here if cluster else ())
        self._lanes = [self._here, *([_Lane(cluster, without=here)] if cluster else [])]
        self._running: dict[Future[JobResult] | Future[Path], _Running] = {}
        self._ended: SimpleQueue[Future[JobResult] | Future[Path]] = SimpleQueue()
        self._next_renewal = 0.0
        self.done = 0

    def resume(self) -> int:
        """Queue again what an earlier run left running; return how many jobs that were."""
        self._tidy()
        if self._cluster is not None:
            self._cluster.start()
        return self._ledger.jobs.take_over(TRIES, {FORWARD: self._config.forward.tries})

    def stop(self) -> None:
        """Stop the workers; what they were at is queued again."""
        self.collect()
        interrupted = [one.job for one in self._running.values() if not one.is_workbook]
        self._running.clear()
        for lane in self._lanes:
            lane.engine.stop()
        self._ledger.jobs.release(interrupted)

    def start(self, *, may_begin: bool) -> None:
        """Renew the leases of what runs, and give the free workers something to do if they may."""
        if time.monotonic() >= self._next_renewal:
            # Before any claim, so that a job of ours is never taken for abandoned.
            self._ledger.jobs.renew([one.job for one in self._running.values()])
            self._tidy()
            self._next_renewal = time.monotonic() + _RENEW_SECONDS
        for lane in self._lanes if may_begin else ():
            self._fill(lane)

    def _fill(self, lane: _Lane) -> None:
        free = lane.engine.slots - sum(one.lane is lane for one in self._running.values())
        if free > 0:
            for job in self._ledger.jobs.claim(free, only=lane.only, without=lane.without):
                self._track(_Running(lane.engine.submit(self._request(job)), job, lane))

    def obey(self, request: Request) -> None:
        """Do what a person asked for."""
        if request.what == "pause":
            self._ledger.pauses.pause(request.processor)
        elif request.what == "resume":
            self._ledger.pauses.resume(request.processor)
        elif request.what == "resend":
            self._ledger.jobs.resend(request.job)
        elif request.what == "decide_again":
            self._deciding.decide_again(request.series)
        elif self._ledger.jobs.cancel(request.job):
            self._kill(request.job)
        target = request.processor or request.job or request.series or "all"
        logger.info("asked to %s %s", request.what, target)

    def collect(self) -> None:
        """Record what has ended."""
        while True:
            try:
                running = self._running.pop(self._ended.get_nowait(), None)
            except Empty:
                return
            if running is not None and running.is_workbook:
                self._end_workbook(running)
            elif running is not None:
                with logged_as(job=running.job.id, series=running.job.series.id):
                    self._end_job(running)

    def _tidy(self) -> None:
        """Remove what killed workers left in the scratch folder."""
        keys = {one.job.key for one in self._running.values()}
        discard_remains(self._config.storage.scratch, keys)

    def _track(self, running: _Running) -> None:
        self._running[running.future] = running
        running.future.add_done_callback(self._on_ended)

    def _on_ended(self, future: Future[JobResult] | Future[Path]) -> None:
        self._ended.put(future)
        self._wake()

    def _kill(self, job_id: int) -> None:
        for running in tuple(self._running.values()):
            if running.job.id == job_id and not running.is_workbook:
                running.future.cancel()

    def _request(self, job: ClaimedJob) -> JobRequest:
        series = job.series
        folder = self._spool.folder_of(SeriesKey(*series.key))
        return JobRequest(
            key=job.key,
            study_uid=series.key.StudyInstanceUID,
            series_uid=series.key.SeriesInstanceUID,
            revision=series.revision,
            digest=series.digest,
            rule=job.rule,
            steps=job.steps,
            files=tuple(folder / f"{uid}.dcm" for uid in series.sop_instance_uids),
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
            sender=self._forwarding if _is_forward(job) else None,
        )

    def _end_job(self, running: _Running) -> None:
        job = running.job
        try:
            error = running.future.exception()
        except CancelledError:  # by a person, as the ledger knows
            self._counts.ran("cancelled")
            self._deciding.after_job(job.series.id)
            return
        if error is None:
            self._finish(job, running.future.result())
        elif isinstance(error, ClusterAway):
            self._ledger.jobs.put_back(job, _described(error), _CLUSTER_SECONDS)
        elif isinstance(error, OutputUnavailable):
            self._wait_for_output(job, error)
        elif isinstance(error, RetriableError) and job.tries < self._most_tries(job):
            delay = self._retry_seconds(job) * random.uniform(1.0, 1.5)  # noqa: S311
            self._ledger.jobs.retry(job, _described(error), delay)
            self._counts.ran("tried_again")
            logger.warning("job %d: try %d failed: %s", job.id, job.tries, type(error).__name__)
        else:
            self._ledger.jobs.bury(job, _described(error))
            self._counts.ran("given_up")
            logger.error("job %d given up: %s", job.id, type(error).__name__)
        self._deciding.after_job(job.series.id)
        self._start_workbook(job)

    def _most_tries(self, job: ClaimedJob) -> int:
        """A receiver may be down for a night, while what fails here fails soon again."""
        return self._config.forward.tries if _is_forward(job) else TRIES

    def _retry_seconds(self, job: ClaimedJob) -> float:
        doubled = 2.0 ** (job.tries - 1)
        if _is_forward(job):
            wait = self._config.forward.retry_seconds * doubled
            return min(_LONGEST_FORWARD_RETRY_SECONDS, wait)
        return _RETRY_SECONDS * doubled

    def _finish(self, job: ClaimedJob, result: JobResult | Path) -> None:
        assert isinstance(result, JobResult)  # noqa: S101 - no workbook, so a job's result
        self._ledger.jobs.finish(job, result)
        if self._ledger.pauses.output_works():
            logger.info("outputs can be written again")
        self.done += 1
        failed = any(step.state == "failed" for step in result.steps)
        self._counts.ran("step_failed" if failed else "done")
        self._counts.took(job.rule, result.seconds, {rule.name for rule in self._deciding.rules})
        logger.info("job %d done in %.1f s", job.id, result.seconds)

    def _wait_for_output(self, job: ClaimedJob, error: OutputUnavailable) -> None:
        """Let all jobs wait: no output of any can be written, and this one is not to blame."""
        reason = _described(error)
        seconds = self._ledger.pauses.output_failed(reason, _OUTPUT_SECONDS, _OUTPUT_SECONDS_MAX)
        self._ledger.jobs.put_back(job, reason, seconds)
        self._counts.ran("output_unavailable")
        logger.error("outputs cannot be written: %s; tried again in %.0f s", reason, seconds)

    def _start_workbook(self, job: ClaimedJob) -> None:
        """Write the study's workbook and report anew once none of its jobs is left to do."""
        studies = self._ledger.studies
        folders = studies.folders(job.series.id)
        if folders:
            results = self._config.storage.results
            folder = PurePosixPath(self._deciding.study_folder(job.series.id))
            study = StudyResults(
                results / folder,
                tuple(results / name for name in folders),
                studies.without_results(job.series.id),
                studies.header(job.series.id),
            )
            future = self._pool.submit_call(write_study, study, self._config.output.mr_clean)
            self._track(_Running(future, job, self._here, is_workbook=True))

    def _end_workbook(self, running: _Running) -> None:
        error = running.future.exception()
        if error is None:
            workbook = running.future.result()
            assert isinstance(workbook, Path)  # noqa: S101 - no job, so the path of a workbook
            path = PurePosixPath(workbook.relative_to(self._config.storage.results))
            self._ledger.studies.record_workbook(running.job.series.id, path)
        else:
            logger.error("the workbook or report of a study failed: %s", _described(error))


def _is_forward(job: ClaimedJob) -> bool:
    return any(step.processor == FORWARD for step in job.steps)


def _described(error: BaseException) -> str:
    """An error as the ledger keeps it; only our own messages are free of patient data."""
    ours = isinstance(error, ProcessorError)
    return str(error) if ours else f"unexpected {type(error).__name__}"
