"""A daemon that lasts for one call: whoever needs one that does not run starts it, and ends it."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safelight.data_lock import is_running
from safelight.errors import SafelightError

START_SECONDS = 60.0


class NotStarted(SafelightError):
    """The daemon did not start; the message says why, and where its log is."""


def start_daemon(data: Path, options: Sequence[str]) -> subprocess.Popen[str]:
    """Start ``safelight serve`` and wait until it receives and processes.

    It gets a session of its own: Ctrl-C is for whoever started it to handle.

    Parameters
    ----------
    data : Path
        Its data folder; its log is in that.
    options : sequence of str
        Of ``safelight serve``.

    Raises
    ------
    NotStarted
        It ended, or was not ready within a minute and was killed.
    """
    command = [sys.executable, "-m", "safelight", "serve", *options]
    data.mkdir(parents=True, exist_ok=True)
    log = data / "safelight.log"
    with log.open("w", encoding="utf-8") as written:
        daemon = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=written, text=True, start_new_session=True
        )
    timer = threading.Timer(START_SECONDS, daemon.kill)
    timer.start()
    line = daemon.stdout.readline() if daemon.stdout else ""  # printed when it is ready
    timer.cancel()
    if not line:
        daemon.wait()
        last = log.read_text(encoding="utf-8").strip().splitlines()[-1:]
        raise NotStarted(f"the daemon did not start: {' '.join(last)} (see {log})")
    return daemon


def stop_daemon(daemon: subprocess.Popen[str]) -> None:
    """End the daemon in order, and wait for it."""
    daemon.terminate()
    daemon.wait()
    if daemon.stdout:
        daemon.stdout.close()


@contextmanager
def running_daemon(data: Path, options: Sequence[str]) -> Iterator[None]:
    """The daemon of a data folder: that which runs, else one that ends with the context."""
    if is_running(data):
        yield
        return
    daemon = start_daemon(data, options)
    try:
        yield
    finally:
        stop_daemon(daemon)
