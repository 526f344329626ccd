"""Watches the spool: sees files land, reads their headers, and closes series.

It publishes what it found and decides nothing about it. Events of the filesystem make it
quick; the periodic rescan makes it right even if every event were lost.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from listener.errors import UnreadableInstance
from listener.grouper import Grouper
from listener.header import Header
from listener.journal import AssociationEvent, JournalReader
from listener.series import Arrival, Closure
from listener.settings import GroupingSettings
from listener.spool import SeriesKey, Spool
from listener.summary import read_summary

logger = logging.getLogger(__name__)

_POLLING_SECONDS = 1.0
_BATCH = 200
_CLOCK_SECONDS = 0.05  # so far may the clock of a filesystem be behind
_WITHOUT_EVENTS = ("nfs", "cifs", "smb", "9p", "fuse")


@dataclass(frozen=True)
class Known:
    """What the ledger knows of the spool, asked when the watcher must not rely on memory.

    Attributes
    ----------
    sop_instance_uids
        The instances of a series that are recorded.
    series_of
        The series that hold an instance of a SOP Instance UID.
    counts
        How many instances each series has, and when the last of them was recorded, in seconds
        since the epoch; a folder with as many files and no later change needs no reading.
    journal_offsets
        How far each journal file was read.
    """

    sop_instance_uids: Callable[[SeriesKey], frozenset[str]]
    series_of: Callable[[str], frozenset[SeriesKey]]
    counts: Callable[[], Mapping[SeriesKey, tuple[int, float]]]
    journal_offsets: Mapping[str, int]


@dataclass(frozen=True)
class Findings:
    """What one look at the spool brought, in the order it must be recorded.

    `waiting` files were seen and are left for the next look.
    """

    events: tuple[AssociationEvent, ...]
    arrivals: tuple[Arrival, ...]
    closures: tuple[Closure, ...]
    set_aside: int
    journal_offsets: Mapping[str, int]
    waiting: int = 0


class _Landed(FileSystemEventHandler):
    """Collects the names of files that landed; the watcher's own thread reads them."""

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._paths: set[str] = set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in ("created", "moved", "modified"):
            return
        path = os.fsdecode(event.dest_path or event.src_path)
        with self._lock:
            if path.endswith(".dcm") and not event.is_directory:
                self._paths.add(path)
        self._wake.set()

    def take(self) -> set[str]:
        with self._lock:
            taken, self._paths = self._paths, set()
        return taken


class Watcher:
    """Groups what lands in the spool into series.

    All methods but the constructor belong to one thread.

    Parameters
    ----------
    spool, settings
        What to watch, and when a series is closed.
    known
        What earlier runs recorded.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        spool: Spool,
        settings: GroupingSettings,
        known: Known,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._settings = settings
        self._known = known
        self._clock = clock
        self._grouper = Grouper(settings)
        self._journal = JournalReader(spool.journal, known.journal_offsets)
        self._wake = threading.Event()
        self._landed = _Landed(self._wake)
        self._observer: BaseObserver | None = None
        self._pending: set[str] = set()
        self._folder_times: dict[SeriesKey, int] = {}
        self._next_rescan = clock()

    def start(self, arriving: Mapping[SeriesKey, tuple[str, set[str]]]) -> None:
        """Begin to watch.

        Parameters
        ----------
        arriving
            The series that were still open when an earlier run ended, with their modality
            and their associations' identifiers.
        """
        for key, (modality, associations) in arriving.items():
            self._grouper.resume(key, modality, set(associations), self._clock())
        self._observer = self._start_observer()
        self._prime()

    def stop(self) -> None:
        """Stop watching."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def wake(self) -> None:
        """End a wait early; may be called from any thread."""
        self._wake.set()

    def look(self, timeout_seconds: float) -> Findings:
        """Wait for something to happen, at most `timeout_seconds`, and say what did.

        Associations are looked at before files and series are closed last, so that a series
        never closes before an instance that was kept earlier has been seen.
        """
        if not self._pending:
            self._wake.wait(timeout_seconds)
        self._wake.clear()
        events = tuple(self._journal.read())
        self._pending |= self._landed.take()
        self._rescan_if_due()
        arrivals, set_aside = self._read_pending()
        for event in events:
            self._grouper.note(event)
        closures = () if self._pending else tuple(self._close_due())
        return Findings(
            events, arrivals, closures, set_aside, self._journal.offsets, len(self._pending)
        )

    def _close_due(self) -> Iterator[Closure]:
        """Close what is due, unless its folder holds a file that was not seen yet."""
        for closure in tuple(self._grouper.due(self._clock())):
            files = _instance_files(str(self._spool.folder_of(closure.key)))
            unseen = {
                path
                for path in self._unrecorded(closure.key, files)
                if not self._grouper.holds(closure.key, Path(path).stem)
            }
            if unseen:
                self._pending |= unseen
            else:
                self._grouper.close(closure.key)
                yield closure

    def _start_observer(self) -> BaseObserver:
        """Watch by events where they work, by polling where they do not; say so when it matters."""
        reason = _why_polling(self._settings.watch, self._spool.instances)
        if reason is None:
            try:
                return self._started(Observer())
            except OSError as error:  # the limits of inotify
                reason = f"the kernel refuses ({error.strerror})"
        logger.warning("spool: watching by polling: %s", reason)
        return self._started(PollingObserver(timeout=_POLLING_SECONDS))

    def _started(self, observer: BaseObserver) -> BaseObserver:
        observer.schedule(self._landed, str(self._spool.instances), recursive=True)
        observer.schedule(self._landed, str(self._spool.journal))
        observer.start()
        return observer

    def _prime(self) -> None:
        """Find what landed while nobody watched: folders that hold more than was recorded."""
        counts = self._known.counts()
        for key, entry in self._spool.series_folders():
            changed = entry.stat().st_mtime_ns
            self._folder_times[key] = changed
            files = _instance_files(entry.path)
            count, recorded = counts.get(key, (0, 0.0))
            if len(files) != count or changed / 1e9 > recorded - _CLOCK_SECONDS:
                self._pending |= self._unrecorded(key, files)
        self._next_rescan = self._clock() + self._settings.rescan_seconds

    def _rescan_if_due(self) -> None:
        if self._clock() >= self._next_rescan:
            self._pending |= self._rescan()
            self._next_rescan = self._clock() + self._settings.rescan_seconds

    def _rescan(self) -> set[str]:
        """Files in folders that changed since they were last looked at."""
        found: set[str] = set()
        for key, entry in self._spool.series_folders():
            changed = entry.stat().st_mtime_ns
            if self._folder_times.get(key) != changed:
                self._folder_times[key] = changed
                found |= self._unrecorded(key, _instance_files(entry.path))
        return found

    def _unrecorded(self, key: SeriesKey, files: set[str]) -> set[str]:
        recorded = self._known.sop_instance_uids(key)
        return {path for path in files if Path(path).stem not in recorded}

    def _read_pending(self) -> tuple[tuple[Arrival, ...], int]:
        """Read a batch of pending files, so that recording them never waits for long."""
        batch = sorted(self._pending)[:_BATCH]
        self._pending.difference_update(batch)
        arrivals: list[Arrival] = []
        kept: dict[str, SeriesKey] = {}
        set_aside = 0
        for path in self._new_files(batch):
            try:
                arrivals.append(self._read(path, kept))
            except UnreadableInstance as error:
                target = self._spool.set_aside(path, str(error))
                logger.warning("spool: %s set aside: %s", target.name, error)
                set_aside += 1
        return tuple(arrivals), set_aside

    def _new_files(self, batch: list[str]) -> Iterator[Path]:
        """Files of the batch that are instances and not recorded yet."""
        recorded: dict[SeriesKey, frozenset[str]] = {}
        for name in batch:
            path = Path(name)
            key = SeriesKey(path.parent.parent.name, path.parent.name)
            if self._grouper.holds(key, path.stem) or not path.is_file():
                continue
            if key not in recorded:
                recorded[key] = self._known.sop_instance_uids(key)
            if path.stem not in recorded[key]:
                yield path

    def _read(self, path: Path, kept: dict[str, SeriesKey]) -> Arrival:
        """Read a file; `kept` says which series the others of its batch are in."""
        header = read_summary(path)
        key = SeriesKey(header.identity.StudyInstanceUID, header.identity.SeriesInstanceUID)
        if self._spool.path_of(header.identity) != path:
            raise UnreadableInstance(
                "the file lies in another series' folder or has another's name"
            )
        uid = header.identity.SOPInstanceUID
        if {*self._known.series_of(uid), kept.setdefault(uid, key)} != {key}:
            raise UnreadableInstance(
                "an instance of this SOP Instance UID was kept before in another series"
            )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._note(key, header)
        return Arrival(key, header, path, path.stat().st_size, digest)

    def _note(self, key: SeriesKey, header: Header) -> None:
        self._grouper.arrived(
            key,
            header.identity.SOPInstanceUID,
            header.origin.association_id,
            header.text("Modality"),
            self._clock(),
        )


def _why_polling(watch: str, folder: Path) -> str | None:
    """Why events cannot be relied on for `folder`; None where they can."""
    if watch == "polling":
        return "as configured"
    kind = _filesystem(folder)
    if watch == "auto" and kind.startswith(_WITHOUT_EVENTS):
        return f"{kind} sends no events of other machines"
    return None


def _filesystem(folder: Path) -> str:
    """The type of the filesystem that `folder` is on, as the kernel names it."""
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    above = (str(parent) for parent in (folder.absolute(), *folder.absolute().parents))
    return next((mounts[parent] for parent in above if parent in mounts), "")


def _instance_files(folder: str) -> set[str]:
    with os.scandir(folder) as entries:
        return {entry.path for entry in entries if entry.name.endswith(".dcm")}
