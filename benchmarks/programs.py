"""Programs that are measured: started on loopback, and ended whatever happens."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

READY_SECONDS = 30
CHECKOUT = Path(__file__).parents[1]


class PeerFailed(Exception):
    """A receiver is not installed, did not start, or ended by itself."""


@contextmanager
def running(
    command: list[str], folder: Path, port: int, environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program until the context ends; it is up when it listens.

    Raises
    ------
    PeerFailed
        It is not installed, or does not come up.
    """
    program = found(command[0])
    if program is None:
        raise PeerFailed(f"{command[0]} is not installed (Debian: dcmtk, orthanc)")
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        wait_for_port(port, process, log)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a program listens there; raises `PeerFailed` with its log where it does not."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            shown = log.read_text(errors="replace")[-2000:]
            raise PeerFailed(f"{process.args!r} does not listen: {shown}")
        time.sleep(0.02)


def found(program: str) -> str | None:
    """The path of a program; None where it is not installed."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
