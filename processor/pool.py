"""The pool of worker processes: each can be killed, by time or memory, without costing the others.

It runs jobs; which ones and how often is the scheduler's business.
"""

import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from processor.errors import WorkerDied, WorkerOutOfMemory, WorkerTimeout
from processor.job import run_job
from processor.model import JobRequest, JobResult
from processor.settings import PoolSettings

T = TypeVar("T")

_MEGABYTE = 1 << 20


class WorkerPool:
    """Worker processes, started by a fork server: they share nothing with us but the request.

    A job's future carries a `JobResult`, or raises `WorkerTimeout`, `WorkerDied`,
    `WorkerOutOfMemory` or what the job raised. Cancelling a future kills the worker that runs it.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._unsettled: set[Future[Any]] = set()
        self._pool: Any = ProcessPool(
            max_workers=settings.workers,
            max_tasks=settings.jobs_per_worker,
            initializer=prepare_worker,
            initargs=(settings.memory_limit_mb,),
            context=_fork_server(),
        )

    def submit(self, request: JobRequest) -> Future[JobResult]:
        """Run a job in a worker."""
        return self.submit_call(run_job, request)

    def submit_call(self, function: Callable[..., T], *args: object) -> Future[T]:
        """Run any importable function in a worker, under the same limits."""
        inner = self._pool.schedule(function, args=args, timeout=self._settings.time_limit_seconds)
        outer: Future[T] = Future()
        self._unsettled.add(outer)
        outer.add_done_callback(self._unsettled.discard)
        outer.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)
        inner.add_done_callback(lambda done: _settle(outer, done, self._settings))
        return outer

    def close(self) -> None:
        """Let what was submitted finish, then end the workers."""
        self._pool.close()
        self._pool.join()

    def stop(self) -> None:
        """Kill the workers now, within `stop_seconds`; unfinished futures are cancelled.

        Raises
        ------
        TimeoutError
            A worker could not be ended in time.
        """
        self._pool.stop()
        try:
            self._pool.join(timeout=self._settings.stop_seconds)
        finally:
            for future in tuple(self._unsettled):
                future.cancel()  # pebble leaves what was running unanswered

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()


def _fork_server() -> BaseContext:
    """A process that has imported what jobs need, and forks each worker in milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["processor.job", "processor.workbook"])
    return context


def _settle(outer: Future[T], inner: "Future[Any]", settings: PoolSettings) -> None:
    """Hand the worker's answer on, with pebble's errors in our words."""
    if inner.cancelled():
        outer.cancel()
        return
    error = inner.exception()
    if not outer.set_running_or_notify_cancel():
        return
    if error is None:
        outer.set_result(inner.result())
    else:
        outer.set_exception(_in_our_words(error, settings))


def _in_our_words(error: BaseException, settings: PoolSettings) -> BaseException:
    if isinstance(error, ProcessExpired):
        return WorkerDied(f"the worker ended {_ending(error.exitcode)}")
    if isinstance(error, WorkerTimeout | WorkerOutOfMemory):
        return error
    if isinstance(error, FutureTimeoutError):
        limit = settings.time_limit_seconds
        return WorkerTimeout(f"killed after {limit:g} s, the time limit")
    if isinstance(error, MemoryError):
        return WorkerOutOfMemory(f"more than {settings.memory_limit_mb} MB, the memory limit")
    return error


def _ending(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def prepare_worker(memory_limit_mb: int) -> None:
    """Set a new worker's limits and make it end with its parent. Runs in the worker."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold patient data
    if memory_limit_mb:
        limit = memory_limit_mb * _MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops us
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
