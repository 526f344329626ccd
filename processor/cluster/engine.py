"""Runs jobs at the workers of a Dask cluster; any can be cancelled without the others.

Which jobs run and how often is the scheduler's business, as with `processor.pool`. Which worker
gets one is chosen here: Dask is not to run it again elsewhere, unknown to the ledger.
"""

import logging
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from processor.cluster.connection import UNKNOWN, Connection, Member
from processor.cluster.run import Place, Run
from processor.cluster.settings import ProcessingSettings
from processor.cluster.task import Question
from processor.cluster.work import versions
from processor.errors import ClusterAway
from processor.model import JobRequest, JobResult
from processor.remote import RemoteWorker

logger = logging.getLogger(__name__)

OWNER_FILE = "cluster"
_LOOK_SECONDS = 1.0
_TRANSFERS = 4
_JOBS_MOST = 512


class Cluster:
    """The workers of a Dask cluster.

    Parameters
    ----------
    settings
        The ``[processing]`` table.
    data
        The data folder.
    writable
        Those of its folders that workers write to where they are shared.
    """

    def __init__(
        self, settings: ProcessingSettings, data: Path, writable: tuple[Path, ...]
    ) -> None:
        self._settings = settings
        self._data = data
        self._writable = writable
        self._threads = ThreadPoolExecutor(_JOBS_MOST, thread_name_prefix="cluster")
        self._transfers = threading.BoundedSemaphore(_TRANSFERS)
        self._watch = threading.Thread(target=self._look_until_stopped, name="cluster-watch")
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._unsettled: set[Future[JobResult]] = set()
        self._places: list[Place] = []
        self.trouble = ""

    def start(self) -> None:
        """Connect to the scheduler, and go on trying to."""
        self._watch.start()

    @property
    def slots(self) -> int:
        """How many jobs can run at once now."""
        connection = self._connection
        if connection is None or connection.has_ended:
            return 0
        fit = (one for one in connection.members.values() if not one.problem)
        return min(_JOBS_MOST, sum(one.capacity for one in fit))

    @property
    def workers(self) -> tuple[RemoteWorker, ...]:
        """The workers as they are now."""
        return tuple(
            RemoteWorker(one.name, one.address, one.capacity, self._busy(one), one.problem)
            for one in sorted(self._members(), key=lambda one: (one.name, one.address))
        )

    def submit(self, request: JobRequest) -> Future[JobResult]:
        """Run a job at a worker.

        The future raises what the job raised, `WorkerDied` where its worker was lost, and
        `ClusterAway` where the scheduler was. Cancelling it frees the worker.
        """
        run = Run(self._settings, request, self._place, self._transfers)
        self._unsettled.add(run.future)
        run.future.add_done_callback(self._unsettled.discard)
        self._threads.submit(run.run)
        return run.future

    def stop(self) -> None:
        """Cancel what runs and leave the cluster."""
        self._stopping.set()
        for future in tuple(self._unsettled):
            future.cancel()
        self._threads.shutdown()
        if self._watch.is_alive():
            self._watch.join()
        self._leave()

    @contextmanager
    def _place(self) -> Iterator[Place]:
        """The worker with most room, which has less of it for as long as this lasts.

        Raises
        ------
        ClusterAway
            None has room: workers, or the scheduler, went since the job was given to us.
        """
        with self._lock:
            place = self._freest()
            self._places.append(place)
        try:
            yield place
        finally:
            with self._lock:
                self._places.remove(place)

    def _freest(self) -> Place:
        connection = self._connection
        fit = [one for one in self._members() if not one.problem]
        best = max(fit, key=lambda one: one.capacity - self._busy(one), default=None)
        if connection is None or best is None or self._busy(best) >= best.capacity:
            raise ClusterAway(
                self.trouble or "no worker of the Dask cluster is free: the job waits"
            )
        return Place(connection, best)

    def _busy(self, member: Member) -> int:
        return sum(place.member.identity == member.identity for place in tuple(self._places))

    def _members(self) -> tuple[Member, ...]:
        connection = self._connection
        return () if connection is None else tuple(connection.members.values())

    def _look_until_stopped(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except ClusterAway as error:
                self._leave()
                self._tell(str(error))
            except Exception as error:  # noqa: BLE001 - else nobody looked any more, and jobs waited
                self._leave()
                self._tell(f"the Dask cluster cannot be used ({type(error).__name__}): jobs wait")
            self._stopping.wait(_LOOK_SECONDS)

    def _look(self) -> None:
        if self._connection is None:
            self._connection = Connection(self._settings, self._question())
        self._connection.look()
        members = self._members()
        problems = [f"{one.name}: {one.problem}" for one in members if one.problem]
        if len(problems) < len(members):
            self._tell("")
        elif all(one.problem != UNKNOWN for one in members):
            why = f" ({problems[0]})" if problems else ""
            self._tell(f"no worker of the Dask cluster can run jobs{why}: they wait; start one")

    def _question(self) -> Question:
        owner, session = _owner(self._data / OWNER_FILE), secrets.token_hex(4)
        if self._settings.transfer == "wire":
            return Question(owner, session, versions())
        return Question(owner, session, versions(), self._data / OWNER_FILE, self._writable)

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            (logger.error if trouble else logger.info)(trouble or "the Dask cluster runs jobs")
        self.trouble = trouble

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _owner(file: Path) -> str:
    """What this Safelight is called at workers, made where there is none."""
    with suppress(FileNotFoundError):
        return file.read_text(encoding="ascii")
    owner = secrets.token_hex(8)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(owner, encoding="ascii")
    return owner
