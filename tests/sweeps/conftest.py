"""Receivers to kill and to fuzz, and how long a sweep is.

``SAFELIGHT_SWEEP=full`` makes the sweeps long; without it a short version runs with the other
tests. The full version draws a new seed each time; ``SAFELIGHT_SWEEP_SEED`` repeats one.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

# Beside the tests there are plain modules, which are also programs.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("spool_check")


NOTES = pytest.StashKey[list]()


@dataclass(frozen=True)
class Sweep:
    """How long a sweep is, the seed that it draws from, and where it says what it did."""

    full: bool
    seed: int
    note: Callable[[str], None]


@pytest.fixture(scope="session")
def sweep(pytestconfig):
    """The version that runs; its seed and its notes are in the summary at the end."""
    full = os.environ.get("SAFELIGHT_SWEEP") == "full"
    drawn = random.SystemRandom().getrandbits(32) if full else 1
    seed = int(os.environ.get("SAFELIGHT_SWEEP_SEED") or drawn)
    notes = pytestconfig.stash[NOTES] = [f"SAFELIGHT_SWEEP_SEED={seed}"]
    return Sweep(full, seed, notes.append)


def pytest_terminal_summary(terminalreporter, config):
    """Show the notes also where nothing failed."""
    for note in config.stash.get(NOTES, []):
        terminalreporter.write_line(f"sweep: {note}")


@dataclass(frozen=True)
class Running:
    """A receiver in a process of its own."""

    process: psutil.Process
    port: int
    spool: Path
    log: Path

    def kill(self):
        """End it as a power cut would end it."""
        self.process.kill()
        self.process.wait(60)

    def stop(self):
        """End it in order."""
        self.process.terminate()
        self.process.wait(60)

    def incoming(self):
        """Names of the unfinished files."""
        found = (self.spool / "incoming").rglob("*")
        return sorted(path.name for path in found if path.is_file())


@pytest.fixture
def lone_receiver(tmp_path, free_port):
    """Factory of receivers without a daemon: ``lone_receiver(spool, durable=True, **dicom)``."""
    log = tmp_path / "receiver.log"
    with log.open("wb") as output:
        nursery = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "lone_receiver.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
        )

    def start(spool, *, durable=True, **dicom):
        port = free_port()
        settings = {
            "spool": {"root": str(spool), "free_bytes_min": 0, "durable": durable},
            "dicom": {"port": port, **dicom},
        }
        nursery.stdin.write(json.dumps(settings).encode() + b"\n")
        nursery.stdin.flush()
        line = nursery.stdout.readline()
        assert line, log.read_text()[-4000:]
        return Running(psutil.Process(int(line)), port, spool, log)

    yield start
    nursery.stdin.close()  # its end is also its receiver's
    nursery.wait(60)
    nursery.stdout.close()
