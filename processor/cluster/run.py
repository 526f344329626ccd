"""One job at a worker of the cluster: sent, waited for, published here."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from distributed import Future as DaskFuture

from processor.cluster import work
from processor.cluster.connection import WENT_AWAY, Connection, Member
from processor.cluster.settings import ProcessingSettings
from processor.cluster.task import PREFIX, Parcel, Task
from processor.cluster.transfer import Shared, Transfer, Wire
from processor.errors import (
    ClusterAway,
    FolderLost,
    OutputUnavailable,
    StorageError,
    WorkerDied,
)
from processor.job import Made, machine_told_apart
from processor.model import JobRequest, JobResult

_LOOK_SECONDS = 1.0
_LOST_SECONDS = 3.0  # where the scheduler ends, its workers may be gone first


@dataclass(frozen=True)
class Place:
    """Where a run is: a worker, and the connection that it is reached by."""

    connection: Connection
    member: Member


@dataclass(eq=False)
class Run:
    """One job, from its request to its result.

    Attributes
    ----------
    place : callable
        Gives a worker for as long as it is needed.
    at_once : context manager
        Lets in so many transfers at once.
    future : Future
        Never marked as running: it can be cancelled.
    """

    settings: ProcessingSettings
    request: JobRequest
    place: Callable[[], AbstractContextManager[Place]]
    at_once: AbstractContextManager[object]
    future: Future[JobResult] = field(default_factory=Future)
    _changed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.future.add_done_callback(lambda _: self._changed.set())

    def run(self) -> None:
        """Have it run, and settle the future."""
        try:
            result = self._result()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
            with suppress(InvalidStateError):  # cancelled meanwhile
                self.future.set_exception(error)
        else:
            with suppress(InvalidStateError):
                self.future.set_result(result)

    def _result(self) -> JobResult:
        """Try until the outputs have a folder: a worker that is sent bytes cannot see ours."""
        taken: tuple[str, ...] = ()
        while True:
            with self.place() as place, self._transfer(place, taken) as transfer:
                with machine_told_apart():
                    task = transfer.sent()
                made, parcels = self._made(place, task)
                self._require_wanted()
                try:
                    with machine_told_apart():
                        return transfer.published(made, parcels)
                except FolderLost:
                    folder = made.result.folder.as_posix()
                    if self.settings.transfer == "shared" or folder in taken:
                        raise
                    taken = (*taken, folder)

    @contextmanager
    def _transfer(self, place: Place, taken: Sequence[str]) -> Iterator[Transfer]:
        """How it gets there and back; what was sent is removed afterwards."""
        key = f"{PREFIX}{secrets.token_hex(8)}"
        limits = self.settings.limits
        if self.settings.transfer == "shared":
            yield Shared(key, self.request, limits)
            return
        folder = f"{place.connection.name}/{key}"
        call = partial(self._call, place)
        try:
            yield Wire(key, self.request, limits, folder, call, self.at_once, taken)
        finally:
            with suppress(ClusterAway, WorkerDied):
                place.connection.call(place.member, work.discard, folder)

    def _call(self, place: Place, function: Callable[..., Any], *args: object) -> Any:
        self._require_wanted()
        return place.connection.call(place.member, function, *args)

    def _made(self, place: Place, task: Task) -> tuple[Made, tuple[Parcel, ...]]:
        self._require_wanted()
        dask_future = place.connection.submit(place.member, task)
        dask_future.add_done_callback(lambda _: self._changed.set())
        try:
            self._wait(place, dask_future)
            answer = place.connection.answer(place.member, dask_future)
        finally:
            place.connection.release(dask_future)
        if isinstance(answer.error, OutputUnavailable) and task.place:
            raise StorageError(f"{answer.error} at the Dask worker {place.member.name}")
        if answer.error is not None:
            raise answer.error
        assert answer.made is not None  # noqa: S101 - it has one of the two
        return answer.made, answer.parcels

    def _wait(self, place: Place, dask_future: "DaskFuture[bytes]") -> None:
        """Wait until the worker has answered, is lost, or nobody wants the job any more."""
        seen_at = time.monotonic()
        while not (dask_future.done() or self.future.cancelled()):
            self._changed.wait(_LOOK_SECONDS)
            self._changed.clear()
            if place.connection.has_ended:
                raise ClusterAway(WENT_AWAY)
            if place.connection.has(place.member):
                seen_at = time.monotonic()
            elif time.monotonic() - seen_at > _LOST_SECONDS:
                raise WorkerDied(f"the Dask worker {place.member.name} was lost")
        self._require_wanted()

    def _require_wanted(self) -> None:
        if self.future.cancelled():
            raise CancelledError
