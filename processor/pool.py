"""Runs calls in processes of their own, a few at a time; any can be killed without the others.

Which jobs run and how often is the scheduler's business.
"""

import multiprocessing
import os
import pickle
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self, TypeVar

from processor.errors import WorkerDied, WorkerOutOfMemory, WorkerTimeout
from processor.job import run_job
from processor.model import JobRequest, JobResult
from processor.settings import PoolSettings

T = TypeVar("T")

_MEGABYTE = 1 << 20
_context = multiprocessing.get_context("forkserver")
_preloaded = ["processor.job", "processor.study"]
_children = threading.Lock()  # multiprocessing may reap any child when it starts or joins one


def preload(module: str) -> None:
    """Have a module imported for all workers, before the first of them starts."""
    _preloaded.append(module)
    _context.set_forkserver_preload(_preloaded)


_context.set_forkserver_preload(_preloaded)


class WorkerPool:
    """Worker processes, one for each call, forked by a server that has imported what jobs need.

    They share nothing: neither with us nor with each other. A future carries what the call
    returned, or raises what it raised, `WorkerTimeout`, `WorkerDied` or `WorkerOutOfMemory`.
    Cancelling it kills the worker and all that the worker has started.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="worker")
        self._unsettled: set[Future[Any]] = set()

    @property
    def slots(self) -> int:
        """How many calls can run at once."""
        return self._settings.workers

    def submit(self, request: JobRequest) -> Future[JobResult]:
        """Run a job in a worker."""
        return self.submit_call(run_job, request)

    def submit_call(self, function: Callable[..., T], *args: object) -> Future[T]:
        """Run any importable function in a worker, under the same limits."""
        call = _Call(self._settings, function, args)
        self._unsettled.add(call.future)
        call.future.add_done_callback(self._unsettled.discard)
        self._threads.submit(call.run)
        return call.future

    def close(self) -> None:
        """Let what was submitted finish."""
        self._threads.shutdown()

    def stop(self) -> None:
        """Kill the workers now; unfinished futures are cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for future in tuple(self._unsettled):
            future.cancel()
        self._threads.shutdown()

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


class _Call:
    """One call and its process. The future is never marked as running: it can be cancelled."""

    def __init__(self, settings: PoolSettings, function: Callable[..., Any], args: Any) -> None:
        self.future: Future[Any] = Future()
        self.future.add_done_callback(self._on_done)
        self._settings = settings
        self._reader, self._writer = _context.Pipe(duplex=False)
        self._process = _context.Process(
            target=_work,
            args=(self._writer, settings.memory_limit_mb, function, args),
            name="safelight-worker",
            daemon=True,
        )

    def run(self) -> None:
        """Start the process, wait for its answer and its end, settle the future."""
        try:
            answer = self._answer() if self._start() else None
            self._end()
            self._settle(self.future.set_result, answer)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
            self._end()
            self._settle(self.future.set_exception, error)

    def _start(self) -> bool:
        with _children:
            if self.future.cancelled():
                return False
            self._process.start()
        self._writer.close()
        return True

    def _answer(self) -> Any:
        limit = self._settings.time_limit_seconds
        if not wait([self._reader, self._process.sentinel], limit):
            raise WorkerTimeout(f"killed after {limit:g} s, the time limit")
        try:
            answer, error = self._reader.recv()
        except (EOFError, OSError):
            self._reap()
            raise WorkerDied(f"the worker ended {_ending(self._process.exitcode or 0)}") from None
        if isinstance(error, MemoryError) and not isinstance(error, WorkerOutOfMemory):
            limit_mb = self._settings.memory_limit_mb
            raise WorkerOutOfMemory(f"more than {limit_mb} MB, the memory limit")
        if error is not None:
            raise error
        return answer

    def _settle(self, settle: Callable[[Any], None], value: object) -> None:
        with suppress(InvalidStateError):  # cancelled meanwhile
            settle(value)

    def _on_done(self, future: Future[Any]) -> None:
        if future.cancelled():
            with _children:
                self._kill()

    def _kill(self) -> None:
        """Kill the worker and its children; nothing if it was never started or is reaped."""
        if self._process.is_alive() and self._process.pid is not None:
            with suppress(ProcessLookupError):  # it has no group of its own yet
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()

    def _reap(self) -> None:
        wait([self._process.sentinel])
        with _children:
            self._process.join()

    def _end(self) -> None:
        with _children:
            self._kill()
        if self._process.pid is not None:
            self._reap()
        self._reader.close()
        self._writer.close()


def _work(
    writer: "Connection[Any, Any]",
    memory_limit_mb: int,
    function: Callable[..., Any],
    args: tuple[object, ...],
) -> None:
    """Answer with what the function returns or raises. Runs in the worker."""
    prepare_worker(memory_limit_mb)
    answer: tuple[Any, BaseException | None]
    try:
        answer = (function(*args), None)
    except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
        answer = (None, error)
    try:
        writer.send(answer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        writer.send((None, RuntimeError(f"the answer cannot be sent: {type(error).__name__}")))


def _ending(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def prepare_worker(memory_limit_mb: int) -> None:
    """Set a new worker's limits and make it end with its parent. Runs in the worker."""
    os.setpgid(0, 0)  # so that what it starts can be killed with it
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
        os.killpg(0, signal.SIGKILL)
