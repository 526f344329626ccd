"""The lock of a data folder: one daemon works on it, and others may ask whether one does."""

import fcntl
import os
from pathlib import Path

from listener.durable import give_to_owner_of_folder
from safelight.errors import SpoolInUse


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
    give_to_owner_of_folder(data / "lock")
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
