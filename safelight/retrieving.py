"""Gives accession numbers to processes that retrieve them, and records what became of each.

What is to be retrieved, its order, tries and ends are kept in the ledger. All methods belong to the
thread that owns it.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue

from ledger.retrieve_records import ClaimedItem, RetrieveResult
from ledger.retrieves import Retrieves
from listener.spool import SpoolSettings
from processor.errors import ProcessorError
from processor.pool import WorkerPool, preload
from processor.settings import PoolSettings
from query.settings import PacsSettings
from rules.window import Window
from safelight.audit_deeds import audit_trail
from safelight.config import Config
from safelight.getting import note_ended
from safelight.requests import Request
from safelight.retrieval import RetrievalRequest, retrieve
from safelight.retrieve_progress import progress_file
from web_status.audit_events import Deed

logger = logging.getLogger(__name__)

_MEMORY_LIMIT_MB = 4096
_LONGEST_RETRY_SECONDS = 3600.0
_LONGEST_PAUSE = 15  # times [retrieve] retry_seconds


@dataclass
class _Lane:
    """One PACS: its processes, and when the next may begin."""

    number: int
    pacs: PacsSettings
    pool: WorkerPool
    free: list[int]
    not_before: float = 0.0

    def may_begin(self) -> bool:
        """Whether it has a free process, has paused long enough, and this is its time of day."""
        if not self.free or time.monotonic() < self.not_before:
            return False
        here = datetime.now().astimezone()
        return not self.pacs.window or Window.parse(self.pacs.window).holds(here)

    def writer(self, slot: int) -> str:
        """The name under which the process of a slot writes to the spool."""
        return f"retrieve-{self.number}-{slot}"


@dataclass(frozen=True)
class _Running:
    """An accession number that a process retrieves."""

    future: Future[RetrieveResult]
    item: ClaimedItem
    lane: _Lane
    slot: int


class Retrieving:
    """The retrieves that run now.

    Parameters
    ----------
    config, records
        The configuration in force, and what is to be retrieved.
    wake
        Called, from another thread, when one has ended.
    here
        Told the UIDs of the series that one asked for, before it is recorded that it has ended;
        only of lists that say what is made.
    """

    def __init__(
        self,
        config: Config,
        records: Retrieves,
        wake: Callable[[], None],
        here: Callable[[Iterable[str]], None],
    ) -> None:
        if config.pacs:
            preload("safelight.retrieval")
        self._config = config
        self._records = records
        self._trail = audit_trail(config)
        self._wake = wake
        self._here = here
        self._lanes = [_lane(number, pacs) for number, pacs in enumerate(config.pacs)]
        self._running: dict[Future[RetrieveResult], _Running] = {}
        self._ended: SimpleQueue[Future[RetrieveResult]] = SimpleQueue()

    def resume(self) -> int:
        """Let wait again what an earlier run left running; return how many that were."""
        for lane in self._lanes:
            for slot in lane.free:
                note_ended(self._config.storage.spool / "journal", lane.writer(slot))
        progress = self._config.storage.progress
        progress.mkdir(exist_ok=True)
        for path in progress.iterdir():
            path.unlink()
        return self._records.take_over()

    def stop(self) -> None:
        """Stop what runs; it waits again."""
        self.collect()
        interrupted = [one.item for one in self._running.values()]
        self._running.clear()
        for lane in self._lanes:
            lane.pool.stop()
        for item in interrupted:
            self._records.release(item)

    def start(self, *, may_begin: bool) -> None:
        """Begin what may begin; nothing where the disk has no room for it."""
        for lane in self._lanes:
            while may_begin and lane.may_begin():
                item = self._records.claim(lane.pacs.name)
                if item is None:
                    break
                self._begin(lane, item)

    def obey(self, request: Request) -> None:
        """Do what a person asked for."""
        if request.what == "retrieve" and request.order is not None:
            number = self._records.add(request.order)
            count = len(request.order.accession_numbers)
            logger.info("retrieve list %d: %d accession numbers", number, count)
        elif request.what == "retrieve_again":
            self._records.again(request.job)
        elif request.what == "retrieve_cancel":
            self._records.cancel(request.job)
            for running in tuple(self._running.values()):
                if running.item.list_id == request.job:
                    running.future.cancel()

    def collect(self) -> None:
        """Record what has ended."""
        while True:
            try:
                running = self._running.pop(self._ended.get_nowait(), None)
            except Empty:
                return
            if running is not None:
                self._end(running)

    def _begin(self, lane: _Lane, item: ClaimedItem) -> None:
        slot = lane.free.pop()
        target = f"list {item.list_id}, item {item.id}"
        self._trail.record(Deed("PACS asked", target=target, peer=lane.pacs.ae_title))
        future = lane.pool.submit_call(retrieve, self._request(lane, item, slot))
        self._running[future] = _Running(future, item, lane, slot)
        future.add_done_callback(self._on_ended)

    def _request(self, lane: _Lane, item: ClaimedItem, slot: int) -> RetrievalRequest:
        storage, dicom = self._config.storage, self._config.dicom
        return RetrievalRequest(
            item.accession_number,
            lane.pacs,
            item.method or lane.pacs.retrieve,
            item.rules,
            SpoolSettings(storage.spool, storage.free_bytes_min),
            dicom.ae_title,
            dicom.port,
            dicom.maximum_instance_bytes,
            lane.writer(slot),
            progress_file(storage.progress, item.id),
        )

    def _on_ended(self, future: Future[RetrieveResult]) -> None:
        self._ended.put(future)
        self._wake()

    def _end(self, running: _Running) -> None:
        lane, item = running.lane, running.item
        lane.free.append(running.slot)
        lane.not_before = time.monotonic() + lane.pacs.pause_seconds
        try:
            error = running.future.exception()
        except CancelledError:  # by a person, as the ledger knows
            self._clean_up(running)
            return
        if error is None:
            self._record(lane, item, running.future.result())
            return
        self._clean_up(running)
        told = str(error) if isinstance(error, ProcessorError) else type(error).__name__
        self._record(lane, item, RetrieveResult(problem=f"the retrieve was cut short: {told}"))

    def _clean_up(self, running: _Running) -> None:
        """Say that a killed process is gone: what it had open is not."""
        note_ended(self._config.storage.spool / "journal", running.lane.writer(running.slot))
        progress_file(self._config.storage.progress, running.item.id).unlink(missing_ok=True)

    def _record(self, lane: _Lane, item: ClaimedItem, result: RetrieveResult) -> None:
        if item.has_rule:
            self._here(one.SeriesInstanceUID for one in result.series if not one.left_out)
        first = self._config.retrieve.retry_seconds
        if result.is_pacs_wide:
            name = lane.pacs.name
            seconds = self._records.pacs_failed(name, result.problem, first, first * _LONGEST_PAUSE)
            self._records.put_back(item, result)
            logger.warning("retrieves from %s wait %.0f s: %s", name, seconds, result.problem)
            return
        delay = min(_LONGEST_RETRY_SECONDS, first * 2.0 ** (item.tries - 1))
        self._records.end(item, result, delay * random.uniform(1.0, 1.25))  # noqa: S311
        logger.info(
            "retrieve list %d, item %d: %s after try %d%s",
            *(item.list_id, item.id, result.state, item.tries),
            f": {result.problem}" if result.problem else "",
        )


def _lane(number: int, pacs: PacsSettings) -> _Lane:
    limits = PoolSettings(pacs.parallel, pacs.deadline_seconds, _MEMORY_LIMIT_MB)
    return _Lane(number, pacs, WorkerPool(limits), list(range(pacs.parallel)))
