"""Daemons as systemd starts them, with what it would pass; beside the tests, a booted Debian."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

CONFIG = """
[dicom]
port = {port}
accept = [{{ calling_ae = "*", addresses = ["127.0.0.0/8"] }}]
[web]
listen = "127.0.0.1:{web}"
[storage]
data = "data"
[rules]
file = "rules.toml"
"""
DROP = '[[rule]]\nname = "Stop"\nthen = { drop = "the study is over" }\n'

# What systemd does between fork and exec; then a shorter patience, where a test asks for one.
PASS = """
import os, runpy, sys
names, silence, *arguments = sys.argv[1:]
if names:
    os.dup2(int(os.environ.pop("DOOR")), 3)
    passed = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": names}
    os.environ.update(LISTEN_PID=os.environ.pop("FOR", str(os.getpid())), **passed)
import safelight.children
safelight.children.SILENCE_SECONDS = float(silence)
sys.argv[1:] = arguments
runpy.run_module("safelight", run_name="__main__")
"""


@dataclass
class Service:
    """A daemon, and what it tells the socket that systemd would read."""

    process: subprocess.Popen[str]
    folder: Path
    port: int
    notify: socket.socket
    told: list[dict[str, str]] = field(default_factory=list)

    def wait_for(self, name: str, value: str = "") -> dict[str, str]:
        """The next message that has a variable, and `value` in it."""
        while name not in (told := self.hear()) or value not in told[name]:
            pass
        return told

    def hear(self) -> dict[str, str]:
        """The next message."""
        lines = self.notify.recv(1 << 16).decode().splitlines()
        self.told.append(dict(line.split("=", 1) for line in lines))
        return self.told[-1]

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Have it end; return its exit code."""
        self.process.send_signal(by)
        return self.process.wait(60)

    def log(self) -> str:
        """What it logged."""
        return (self.folder / "log").read_text()

    def children(self) -> dict[str, int]:
        """Its children by the name that ps shows."""
        path = Path("/proc", str(self.process.pid), "task", str(self.process.pid), "children")
        numbers = path.read_text().split()
        return {Path("/proc", n, "comm").read_text().strip(): int(n) for n in numbers}


@pytest.fixture
def service(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Service]]:
    """Function that starts a daemon on the same folders each time.

    ``service(door=socket, name="dicom")`` passes it a listening socket; `silence` is how long its
    processes may be silent, in seconds.
    """
    running: list[Service] = []
    port, web = free_port(), free_port()
    (tmp_path / "safelight.toml").write_text(CONFIG.format(port=port, web=web))
    (tmp_path / "rules.toml").write_text(DROP)

    def start(
        door: socket.socket | None = None,
        name: str = "dicom",
        silence: float = 30.0,
        **environment: str,
    ) -> Service:
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = tmp_path / f"notify-{len(running)}"
        notify.bind(str(address))
        notify.settimeout(60)
        environment |= {} if door is None else {"DOOR": str(door.fileno())}
        arguments = [name if door else "", str(silence), "serve", "--config", "safelight.toml"]
        with (tmp_path / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", PASS, *arguments],
                cwd=tmp_path,
                env={**os.environ, "NOTIFY_SOCKET": str(address), **environment},
                pass_fds=() if door is None else (door.fileno(),),
                stdout=log,
                stderr=log,
                text=True,
            )
        running.append(Service(process, tmp_path, port, notify))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.end()
        one.notify.close()


@pytest.fixture
def door(service: Callable[..., Service], tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that listens on the port of the service, as systemd opens it."""
    port = int((tmp_path / "safelight.toml").read_text().split("port = ")[1].split()[0])
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("0.0.0.0", port))
        listening.listen(512)
        listening.setblocking(False)
        yield listening
