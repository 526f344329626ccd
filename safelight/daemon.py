"""The supervisor: starts receivers and coordinator, keeps them alive, stops them in order.

It does nothing else, so that nothing else can stop it.
"""

import fcntl
import gc
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import FrameType

from listener.roster import Roster
from listener.spool import discard_incoming
from safelight.child import Target, child_main, signals_held
from safelight.config import Config
from safelight.coordinator import run_coordinator
from safelight.errors import ChildFailed, SpoolInUse
from safelight.log_files import keep_log
from safelight.notify import Notifier
from safelight.ports import open_port, require_free
from safelight.receiver import Share, run_receiver

logger = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_SILENCE_SECONDS = 30.0
_RESTART_SECONDS = (0.0, 1.0, 5.0, 15.0, 30.0)
_STEADY_SECONDS = 60.0
_STOP_SECONDS = 15.0


@dataclass
class _Child:
    """One process of the daemon, and how it is."""

    name: str
    target: Target
    stop_seconds: float
    needs_doors: bool = True
    process: ForkProcess | None = None
    control: Connection | None = None
    ready: bool = False
    status: str = ""
    started: float = 0.0
    heard: float = 0.0
    failures: int = 0
    restart_at: float = 0.0


class Supervisor:
    """Runs the daemon.

    Parameters
    ----------
    config
        The configuration in force.
    on_ready
        Called once, when the daemon receives and processes.
    notifier
        Tells systemd.
    """

    def __init__(
        self, config: Config, on_ready: Callable[[], None], notifier: Notifier | None = None
    ) -> None:
        self._config = config
        self._on_ready = on_ready
        self._notifier = notifier or Notifier()
        self._stopping = False
        self._reloading = False
        self._has_terminal = _has_terminal()
        self._announced = False
        self._next_ping = 0.0
        self._doors: list[socket.socket] = []
        self._children = [_Child("coordinator", run_coordinator, _STOP_SECONDS, needs_doors=False)]

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; SIGHUP has the rules read again.

        Raises
        ------
        PortInUse
            The DICOM port or the page's port is taken.
        SpoolInUse
            Another Safelight works on the data folder.
        ChildFailed
            A process could not be started at all.
        """
        lock = lock_data(self._config.storage.data)
        keep_log(self._config.storage.log, "safelight")
        gc.freeze()  # what is imported by now stays shared with the children
        try:
            self._open_doors()
            discard_incoming(self._config.storage.spool)
            signal.signal(signal.SIGTERM, self._request_stop)
            signal.signal(signal.SIGINT, self._request_stop)
            signal.signal(signal.SIGHUP, self._hang_up)
            self._supervise()
        finally:
            self._stop_all()
            os.close(lock)

    def _open_doors(self) -> None:
        """Listen, on behalf of all receivers: while one restarts, the others take connections."""
        dicom, web = self._config.dicom, self._config.web
        require_free(web.host, web.port, "choose another with [web] listen or --web")
        remedy = "choose another with [dicom] port or --port"
        plain, secure = open_port(dicom.host, dicom.port, remedy), None
        self._doors.append(plain)
        if dicom.tls is not None:
            remedy = "choose another with [dicom.tls] port"
            secure = open_port(dicom.host, dicom.tls.port, remedy)
            self._doors.append(secure)
        roster = Roster(dicom.processes, dicom.maximum_associations)
        for process in range(dicom.processes):
            target = partial(run_receiver, Share(process, plain, secure, roster))
            seconds = dicom.drain_seconds + _STOP_SECONDS
            self._children.append(_Child(f"receiver-{process}", target, seconds))

    def _request_stop(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._stopping = True

    def _hang_up(self, signum: int, frame: FrameType | None) -> None:
        """Have the rules read again; when the terminal we run in was closed, stop."""
        del signum, frame
        if self._has_terminal and not _has_terminal():
            self._stopping = True
        else:
            self._reloading = True

    def _reload_rules(self) -> None:
        """Pass the request on to the coordinator; one that starts just now reads them anyway."""
        self._reloading = False
        coordinator = self._children[0].process
        if coordinator is not None and coordinator.pid is not None and coordinator.is_alive():
            os.kill(coordinator.pid, signal.SIGHUP)

    def _supervise(self) -> None:
        while not self._stopping:
            if self._reloading:
                self._reload_rules()
            for child in self._children:
                self._tend(child)
            self._announce()
            self._wait()

    def _tend(self, child: _Child) -> None:
        """Start a child that is not running and whose time has come."""
        now = time.monotonic()
        if child.process is not None and not child.process.is_alive():
            self._note_end(child, now)
        if child.process is None and now >= child.restart_at:
            self._start(child)

    def _start(self, child: _Child) -> None:
        """Start a child by fork: this process has no threads, and all is imported already."""
        context = multiprocessing.get_context("fork")
        child.control, theirs = context.Pipe(duplex=False)
        unneeded = () if child.needs_doors else tuple(self._doors)
        process = context.Process(
            target=child_main,
            args=(child.target, self._config, theirs, unneeded),
            name=f"safelight-{child.name}",
        )
        with signals_held():
            process.start()
        theirs.close()
        child.process = process
        child.started = child.heard = time.monotonic()

    def _note_end(self, child: _Child, now: float) -> None:
        """Note that a child ended by itself, and when to start it again."""
        assert child.process is not None  # noqa: S101 - the caller has looked
        code = child.process.exitcode
        if not self._announced:
            self._stopping = True
            raise ChildFailed(f"the {child.name} ended with code {code} before it was ready")
        steady = now - child.started > _STEADY_SECONDS
        child.failures = 1 if steady else child.failures + 1
        delay = _RESTART_SECONDS[min(child.failures, len(_RESTART_SECONDS)) - 1]
        logger.error("%s ended with code %s; starting again in %.0f s", child.name, code, delay)
        child.restart_at = now + delay
        child.process, child.ready = None, False

    def _wait(self) -> None:
        """Wait for reports or ends, and read the reports."""
        running = [c for c in self._children if c.process is not None and c.control is not None]
        sentinels = [c.process.sentinel for c in running if c.process is not None]
        controls = [c.control for c in running if c.control is not None]
        ready = wait([*controls, *sentinels], timeout=_TICK_SECONDS)
        for child in running:
            if child.control in ready:
                self._read(child)

    def _read(self, child: _Child) -> None:
        assert child.control is not None  # noqa: S101 - the caller has looked
        try:
            while child.control.poll():
                child.status = child.control.recv()
                child.heard = time.monotonic()
                child.ready = True
        except EOFError:
            child.control.close()
            child.control = None

    def _announce(self) -> None:
        """Say that the daemon is ready, once; then keep systemd's watchdog content."""
        now = time.monotonic()
        if not all(child.ready for child in self._children):
            return
        if not self._announced:
            self._announced = True
            self._notifier.send(READY=1)
            self._on_ready()
        if now < self._next_ping:
            return
        self._next_ping = now + _TICK_SECONDS
        if all(now - child.heard < _SILENCE_SECONDS for child in self._children):
            status = "; ".join(child.status for child in self._children)
            self._notifier.send(WATCHDOG=1, STATUS=status)

    def _stop_all(self) -> None:
        """Stop the receivers first, so that what they still take in is recorded."""
        self._notifier.send(STOPPING=1)
        for door in self._doors:
            door.close()
        coordinator, *receivers = self._children
        for children in (receivers, [coordinator]):
            for child in children:
                if child.process is not None:
                    child.process.terminate()
            for child in children:
                _join(child)


def _has_terminal() -> bool:
    """Whether this process runs in a terminal that is open."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _join(child: _Child) -> None:
    if child.process is None:
        return
    child.process.join(child.stop_seconds)
    if child.process.is_alive():
        logger.error("%s did not stop in time and is killed", child.name)
        child.process.kill()
        child.process.join()


def is_running(data: Path) -> bool:
    """Whether a daemon has the data folder."""
    return running_pid(data) is not None


def running_pid(data: Path) -> int | None:
    """The process number of the daemon that has the data folder; nothing is changed there.

    Raises
    ------
    OSError
        We may not look.
    """
    try:
        descriptor = os.open(data / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(descriptor, 20) or b"0")
    finally:
        os.close(descriptor)
    return None


def lock_data(data: Path) -> int:
    """Take the data folder for this process alone; closing the descriptor gives it back.

    Raises
    ------
    SpoolInUse
        Another Safelight has it.
    """
    data.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise SpoolInUse(f"another Safelight (process {owner}) works on {data}") from error
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
