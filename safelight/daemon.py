"""The supervisor: starts receivers and coordinator, keeps them alive, stops them in order.

It does nothing else, so that nothing else can stop it.
"""

import gc
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from types import FrameType

from listener.roster import Roster
from listener.spool import discard_incoming
from safelight.announcing import TICK_SECONDS, Announcer
from safelight.audit_deeds import audit_trail
from safelight.children import Child
from safelight.config import Config
from safelight.coordinator import run_coordinator
from safelight.data_lock import lock_data
from safelight.doors import Doors, open_doors, passed_sockets
from safelight.errors import ChildFailed
from safelight.log_files import keep_log
from safelight.notify import Notifier
from safelight.ports import require_free
from safelight.pulse import Pulse
from safelight.receiver import Share, run_receiver
from safelight.receptions import begin_to_tell
from web_status.audit_events import Deed

_STOP_SECONDS = 15.0


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
        self._announcer = Announcer(notifier or Notifier(), on_ready)
        self._stopping = False
        self._reloading = False
        self._reload: _Reload | None = None
        self._has_terminal = _has_terminal()
        self._doors: Doors | None = None
        receivers = [f"receiver-{number}" for number in range(config.dicom.processes)]
        self._pulse = Pulse(["coordinator", *receivers])
        coordinate = partial(run_coordinator, self._pulse)
        self._children = [Child("coordinator", coordinate, _STOP_SECONDS, needs_doors=False)]

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; SIGHUP has the rules read again.

        Raises
        ------
        PortInUse
            The DICOM port or the page's port is taken.
        SpoolInUse
            Another Safelight works on the data folder.
        ConfigError
            systemd listens for us on something else than what is configured.
        ChildFailed
            A process could not be started at all.
        """
        lock = lock_data(self._config.storage.data)
        keep_log(self._config.storage.log, "safelight")
        begin_to_tell(self._config)
        trail = audit_trail(self._config)
        trail.record(Deed("application started"))
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
            trail.record(Deed("application stopped"))
            os.close(lock)

    def _open_doors(self) -> None:
        """Listen, on behalf of all receivers: while one restarts, the others take connections."""
        dicom, web = self._config.dicom, self._config.web
        require_free(web.host, web.port, "choose another with [web] listen or --web")
        self._doors = open_doors(self._config, passed_sockets(os.environ))
        roster = Roster(dicom.processes, dicom.maximum_associations)
        for process in range(dicom.processes):
            share = Share(process, self._doors.plain, self._doors.secure, roster)
            seconds = dicom.drain_seconds + _STOP_SECONDS
            self._children.append(
                Child(f"receiver-{process}", partial(run_receiver, share), seconds)
            )

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

    def _pass_reload_on(self) -> None:
        """Have the coordinator read the rules again, and say when it has.

        One that has just been started is waited for; one that ends before it has read them has
        another started, which reads them anyway.
        """
        coordinator = self._children[0]
        if self._reload is not None and self._reload.is_done(coordinator):
            self._reload = None
            self._announcer.reloaded()
        if self._reload is None and self._reloading and coordinator.ready:
            process = coordinator.process
            if process is not None and process.pid is not None and process.is_alive():
                self._reloading = False
                self._reload = _Reload(process, coordinator.report.rules_read)
                self._announcer.reloading()
                os.kill(process.pid, signal.SIGHUP)

    def _supervise(self) -> None:
        while not self._stopping:
            for child in self._children:
                self._tend(child)
            if self._announcer.is_ready:
                self._pass_reload_on()
            self._announcer.tell(self._children)
            self._pulse.note(self._children, self._announcer.announced)
            self._wait()

    def _tend(self, child: Child) -> None:
        """Start a child that is not running and whose time has come."""
        now = time.monotonic()
        if child.has_ended:
            if not self._announcer.is_ready:
                self._stopping = True
                code = child.process and child.process.exitcode
                raise ChildFailed(f"the {child.name} ended with code {code} before it was ready")
            child.note_end(now)
        if child.process is None and now >= child.restart_at:
            child.start(self._config, () if self._doors is None else self._doors.all())

    def _wait(self) -> None:
        """Wait for reports or ends, and read the reports."""
        running = [c for c in self._children if c.process is not None and c.control is not None]
        sentinels = [c.process.sentinel for c in running if c.process is not None]
        controls = [c.control for c in running if c.control is not None]
        ready = wait([*controls, *sentinels], timeout=TICK_SECONDS)
        for child in running:
            if child.control in ready:
                child.read()

    def _stop_all(self) -> None:
        """Stop the receivers first, so that what they still take in is recorded."""
        if self._doors is not None:
            self._doors.close()
        coordinator, *receivers = self._children
        for what, children in (
            ("associations that are open may end", receivers),
            ("the coordinator records what came", [coordinator]),
        ):
            self._announcer.stopping(what)
            for child in children:
                if child.process is not None:
                    child.process.terminate()
            for child in children:
                child.join()


@dataclass(frozen=True)
class _Reload:
    """A request to read the rules again: to which process, and how often it had before."""

    process: ForkProcess
    rules_read: int

    def is_done(self, coordinator: Child) -> bool:
        """Whether that process has read them, or another one has started since."""
        if coordinator.process is self.process:
            return coordinator.report.rules_read > self.rules_read
        return coordinator.ready


def _has_terminal() -> bool:
    """Whether this process runs in a terminal that is open."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
