"""What every process of the daemon has in common: how it reports, stops and ends."""

import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import current_process, parent_process
from pathlib import Path

from listener.part10 import silence_dicom_libraries
from safelight.config import Config
from safelight.errors import in_one_line
from safelight.log_files import keep_log
from safelight.log_lines import LoggingSettings, configure_logging

logger = logging.getLogger(__name__)

Target = Callable[[Config, "Reporter", threading.Event], None]


@dataclass(frozen=True)
class Report:
    """What a process says of itself.

    Attributes
    ----------
    status
        What it is doing.
    rules_read
        How often it has read the rules again.
    """

    status: str = ""
    rules_read: int = 0


class Reporter:
    """Tells the supervisor that this process is ready, and that it is alive."""

    def __init__(self, control: Connection) -> None:
        self._control = control

    def alive(self, status: str, rules_read: int = 0) -> None:
        """Report being alive; the first report also says that the process is ready."""
        self._control.send(Report(status, rules_read))


_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals back while a child starts, so that none meets it with our handlers."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def child_main(
    target: Target, config: Config, control: Connection, unneeded: Sequence[socket.socket]
) -> None:
    """Run `target` until SIGTERM sets its stop event, or the supervisor is gone.

    Parameters
    ----------
    target
        Called with the configuration, a reporter and the stop event.
    control
        The way to the supervisor.
    unneeded
        Sockets of the supervisor to close.
    """
    for inherited in unneeded:
        inherited.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the supervisor, which stops us
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # whom it concerns handles it
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    end_with_parent()
    begin_log(config.logging)
    name = current_process().name
    Path("/proc/self/comm").write_text(name.removeprefix("safelight-"), encoding="ascii")  # for ps
    keep_log(config.storage.log, name)
    try:
        target(config, Reporter(control), stop)
    except Exception as error:  # noqa: BLE001 - the boundary of this process
        logger.critical("%s", in_one_line(error))
        sys.exit(1)


def end_with_parent() -> None:
    """End this process at once when its parent is gone, so that no orphan keeps the port."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def begin_log(settings: LoggingSettings) -> None:
    """Log as the configuration says; what libraries say of datasets is left out."""
    silence_dicom_libraries()
    # It warns when a folder is made twice in its sight, which the rescan makes harmless.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\..*")
    # It warns of headers of uploads that cannot be parsed, and quotes them: with names of files.
    warnings.filterwarnings("ignore", module=r"aiohttp\.multipart")
    configure_logging(settings)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
