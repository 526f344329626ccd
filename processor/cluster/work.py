"""What a Dask worker does for Safelight. It runs in the worker; the coordinator calls it by name.

A job runs in a process of its own, with limits, as it does in local workers. Dask cannot stop a
call that runs; a process can be killed.
"""

import asyncio
import multiprocessing
import os
import pickle
import platform
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from processor.cluster.pieces import parcels_of, read_pieces, write_pieces
from processor.cluster.task import (
    PREFIX,
    Answer,
    Description,
    Parcel,
    Piece,
    Question,
    Task,
    Versions,
    Wanted,
)
from processor.errors import WorkerDied
from processor.job import Made, make_job
from processor.model import JobRequest
from processor.pool import WorkerPool
from processor.settings import ProcessorSettings

_CREW = "safelight"
_AT_WORK = ("executing", "long-running")
RECEIVED, SCRATCH, RESULTS, UNVERIFIED = "received", "scratch", "results", "unverified"


def versions() -> Versions:
    """What runs here."""
    return Versions(
        _version("safelight"),
        ".".join(platform.python_version_tuple()[:2]),
        _version("distributed"),
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


class Crew(WorkerPlugin):
    """The jobs that run at a worker; Dask tells it of those that nobody wants any more."""

    def __init__(self) -> None:
        self._running: dict[str, Future[Made]] = {}
        self._unwanted: set[str] = set()
        self._lock = threading.Lock()

    def run(self, task: Task, root: Path) -> Answer:
        """Run a job in a process of its own."""
        place = root / task.place
        request = _at(place, task) if task.place else task.request
        with WorkerPool(task.limits) as pool:
            future = pool.submit_call(make_job, request)
            self._register(task.key, future)
            try:
                error = future.exception()
            except CancelledError:
                error = WorkerDied("the worker was told to stop")
            finally:
                self._forget(task.key)
        if error is not None:
            return Answer(error=error)
        made = future.result()
        return Answer(made, parcels=_to_fetch(place, made) if task.place else ())

    def _register(self, key: str, future: "Future[Made]") -> None:
        with self._lock:
            self._running[key] = future
            is_unwanted = key in self._unwanted
        if is_unwanted:
            future.cancel()

    def _forget(self, key: str) -> None:
        with self._lock:
            self._running.pop(key, None)
            self._unwanted.discard(key)

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Kill a job that is cancelled, or whose coordinator is gone. Called by Dask."""
        if start in _AT_WORK and finish == "released" and str(key).startswith(PREFIX):
            with self._lock:
                self._unwanted.add(str(key))
                future = self._running.get(str(key))
            if future is not None:
                future.cancel()

    def teardown(self, worker: Worker) -> None:
        """Kill what runs: the worker ends, or has lost its scheduler. Called by Dask."""
        del worker
        with self._lock:
            futures = tuple(self._running.values())
        for future in futures:
            future.cancel()


def _at(place: Path, task: Task) -> JobRequest:
    """A job as it is at a worker that was sent its files."""
    for folder in (SCRATCH, RESULTS, *(f"{RESULTS}/{name}" for name in task.taken)):
        (place / folder).mkdir(parents=True, exist_ok=True)
    received = place / RECEIVED
    request = task.request
    return replace(
        request,
        files=tuple(received / path for path in request.files),
        scratch=place / SCRATCH,
        results=place / RESULTS,
        settings=_settings_at(received, request.settings),
    )


def _settings_at(received: Path, settings: ProcessorSettings) -> ProcessorSettings:
    """Settings whose files were sent, too."""
    return replace(
        settings,
        templates=settings.templates and received / settings.templates,
        mr_clean=settings.mr_clean and received / settings.mr_clean,
    )


def _to_fetch(place: Path, made: Made) -> tuple[Parcel, ...]:
    """What a job made, and what it could not verify."""
    folder = made.folder.relative_to(place).as_posix() if made.folder else RECEIVED
    outputs = parcels_of(place, folder) if made.folder else ()
    return (*outputs, *parcels_of(place, UNVERIFIED))


def work(payload: bytes) -> bytes:
    """Run a task of a coordinator; both are pickled, so that no scheduler needs to know them."""
    task: Task = pickle.loads(payload)  # noqa: S301 - who speaks to the scheduler runs what it likes
    worker = get_worker()
    crew = worker.plugins[_CREW]
    assert isinstance(crew, Crew)  # noqa: S101 - `examine` put it there
    return pickle.dumps(crew.run(task, _root(worker)))


def _root(worker: Worker) -> Path:
    return Path(worker.local_directory) / "safelight"


async def examine(question: Question, dask_worker: Worker) -> Description:
    """Say what this worker is, and make it ready for jobs."""
    here = versions()
    if here == question.versions and _CREW not in dask_worker.plugins:
        await dask_worker.plugin_add(Crew(), _CREW)
    problem = await asyncio.to_thread(_problem, question, _root(dask_worker))
    can_start = not multiprocessing.current_process().daemon
    return Description(here, can_start, problem)


def _problem(question: Question, root: Path) -> str:
    """Which folder cannot be used, and why; empty where all is well."""
    try:
        if question.shared is not None:
            if question.shared.read_text(encoding="ascii") != question.owner:
                return "its data folder is another one than ours"
            lost = [one for one in question.folders if not os.access(one, os.R_OK | os.W_OK)]
            return f"it may not write into {lost[0].name} of the data folder" if lost else ""
        if question.owner:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in root.glob(f"{question.owner}-*"):
                if not left.name.endswith(question.session):
                    shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        return f"it does not see the data folder ({type(error).__name__})"
    return ""


async def put(place: str, pieces: Sequence[Piece], dask_worker: Worker) -> None:
    """Keep pieces of files that are sent."""
    await asyncio.to_thread(write_pieces, _root(dask_worker) / place / RECEIVED, pieces)


async def received(place: str, dask_worker: Worker) -> tuple[Parcel, ...]:
    """The files that were sent, as they are on the disk here."""
    return await asyncio.to_thread(parcels_of, _root(dask_worker) / place / RECEIVED)


async def get(place: str, order: Sequence[Wanted], dask_worker: Worker) -> list[Piece]:
    """The bytes that are asked for."""
    return await asyncio.to_thread(read_pieces, _root(dask_worker) / place, order)


async def discard(place: str, dask_worker: Worker) -> None:
    """Remove all that was sent and made."""
    await asyncio.to_thread(shutil.rmtree, _root(dask_worker) / place, ignore_errors=True)
