"""Hears of files that land in the spool, from the kernel or by polling."""

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil
from watchdog.events import (
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver
from watchdog.utils import BaseThread

from listener.errors import WatchingEnded
from listener.spool import Spool

logger = logging.getLogger(__name__)

_POLLING_SECONDS = 1.0
# Of no other does the kernel tell: each read of ours would be four events, which cost more than it.
_HEARD: list[type[FileSystemEvent]] = [FileCreatedEvent, FileModifiedEvent, FileMovedEvent]
NETWORK_FILESYSTEMS = ("nfs", "cifs", "smb", "9p")
"""What the names of those begin with that are on another machine."""
_WITHOUT_EVENTS = (*NETWORK_FILESYSTEMS, "fuse")


class Landing(FileSystemEventHandler):
    """Collects the names of files that landed; the watcher's own thread reads them.

    Parameters
    ----------
    wake
        Set when something landed.
    """

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._observer: BaseObserver | None = None
        self._threads: tuple[BaseThread, ...] = ()

    def start(self, spool: Spool, watch: str, others: Sequence[Path] = ()) -> None:
        """Watch by events where they work, by polling where they do not; say so when it matters.

        What happens in `others`, which are folders too, only wakes.
        """
        folders = (spool.journal, *others)
        reason = why_polling(watch, spool.instances)
        if reason is None:
            try:
                self._observer = self._started(Observer(), spool.instances, folders)
            except OSError as error:  # the limits of inotify
                reason = f"the kernel refuses ({error.strerror})"
            else:
                return
        logger.warning("spool: watching by polling: %s", reason)
        polling = PollingObserver(timeout=_POLLING_SECONDS)
        self._observer = self._started(polling, spool.instances, folders)

    def _started(self, observer: BaseObserver, tree: Path, folders: Sequence[Path]) -> BaseObserver:
        observer.schedule(self, str(tree), recursive=True, event_filter=_HEARD)
        for folder in folders:
            observer.schedule(self, str(folder), event_filter=_HEARD)
        observer.start()
        self._threads = tuple(t for t in threading.enumerate() if isinstance(t, BaseThread))
        return observer

    def stop(self) -> None:
        """Stop watching."""
        if self._observer is not None:
            self._threads = ()
            self._observer.stop()
            self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note a file."""
        path = os.fsdecode(event.dest_path or event.src_path)
        with self._lock:
            if path.endswith(".dcm"):
                self._paths.add(path)
        self._wake.set()

    def take(self) -> set[str]:
        """The paths of the files that landed since the last call.

        Raises
        ------
        WatchingEnded
            A thread that hears of them has ended.
        """
        if not all(thread.is_alive() for thread in self._threads):
            raise WatchingEnded("spool: a thread that watches it has ended")
        with self._lock:
            taken, self._paths = self._paths, set()
        return taken


def why_polling(watch: str, folder: Path) -> str | None:
    """Why events cannot be relied on for `folder`; None where they can."""
    if watch == "polling":
        return "as configured"
    kind = filesystem_of(folder)
    if watch == "auto" and kind.startswith(_WITHOUT_EVENTS):
        return f"{kind} sends no events of other machines"
    return None


def filesystem_of(folder: Path) -> str:
    """The type of the filesystem that `folder` is on, as the kernel names it."""
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    above = (str(parent) for parent in (folder.absolute(), *folder.absolute().parents))
    return next((mounts[parent] for parent in above if parent in mounts), "")
