"""Hears of files that land in the spool, from the kernel or by polling."""

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from listener.spool import Spool

logger = logging.getLogger(__name__)

_POLLING_SECONDS = 1.0
_WITHOUT_EVENTS = ("nfs", "cifs", "smb", "9p", "fuse")


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
        observer.schedule(self, str(tree), recursive=True)
        for folder in folders:
            observer.schedule(self, str(folder))
        observer.start()
        return observer

    def stop(self) -> None:
        """Stop watching."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note a file."""
        if event.event_type not in ("created", "moved", "modified"):
            return
        path = os.fsdecode(event.dest_path or event.src_path)
        with self._lock:
            if path.endswith(".dcm") and not event.is_directory:
                self._paths.add(path)
        self._wake.set()

    def take(self) -> set[str]:
        """The paths of the files that landed since the last call."""
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
