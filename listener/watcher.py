"""Watches the spool: sees files land, reads their headers, and closes series.

It publishes what it found and decides nothing about it. Events of the filesystem make it
quick; the periodic rescan makes it right even if every event were lost.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from listener.errors import UnreadableInstance
from listener.grouper import Grouper, OpenSeries
from listener.header import Header
from listener.journal import AssociationEvent, JournalReader
from listener.landing import Landing
from listener.retrievals import Retrieval, Retrievals
from listener.series import Arrival, Closure, StudyClosure
from listener.settings import GroupingSettings
from listener.spool import SeriesKey, Spool
from listener.summary import read_summary
from listener.wholeness import Slice, findings_of, slice_of

logger = logging.getLogger(__name__)

_BATCH = 200
_GATHER_SECONDS = 0.2
_CLOCK_SECONDS = 0.05  # so far may the clock of a filesystem be behind


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
class ResumedSeries:
    """A series that was still arriving when an earlier run ended."""

    key: SeriesKey
    modality: str
    calling_ae: str
    associations: frozenset[str]


@dataclass(frozen=True)
class Resumed:
    """What was still arriving when an earlier run ended.

    Attributes
    ----------
    series
        The series.
    studies
        The UID of each study, and the identifiers of the associations that sent to it.
    associations
        Those that are open still, and how those ended that sent to any of these.
    """

    series: tuple[ResumedSeries, ...] = ()
    studies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    associations: tuple[AssociationEvent, ...] = ()


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
    studies: tuple[StudyClosure, ...] = ()


class _Here:
    """What is expected of studies, from the spool's retrievals, and what is here of them."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._retrievals = Retrievals(spool.root)

    def of(self, study_uid: str) -> Retrieval | None:
        return self._retrievals.of(study_uid)

    def forget(self, study_uid: str) -> None:
        self._retrievals.forget(study_uid)

    def series_here(self, study_uid: str) -> frozenset[str]:
        return frozenset(self._spool.series_of(study_uid))

    def instances_here(self, retrieval: Retrieval) -> int:
        study_uid = retrieval.StudyInstanceUID
        wanted = retrieval.series.keys() or self._spool.series_of(study_uid)
        folders = (self._spool.folder_of(SeriesKey(study_uid, uid)) for uid in wanted)
        return sum(len(_instance_files(str(folder))) for folder in folders if folder.is_dir())


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
        self._here = _Here(spool)
        self._grouper = Grouper(settings, self._here)
        self._journal = JournalReader(spool.journal, known.journal_offsets)
        self._wake = threading.Event()
        self._landed = Landing(self._wake)
        self._pending: set[str] = set()
        self._folder_times: dict[SeriesKey, int] = {}
        self._next_rescan = clock()
        self._next_look = 0.0

    def start(self, resumed: Resumed | None = None, waking: Sequence[Path] = ()) -> None:
        """Begin to watch, with what was still open when an earlier run ended.

        What happens in the folders `waking` ends a wait early, as `wake` does.
        """
        now, resumed = self._clock(), resumed or Resumed()
        for event in resumed.associations:
            self._grouper.note(event)
        for study_uid, associations in resumed.studies.items():
            self._grouper.open_study(study_uid, now, associations)
        for series in resumed.series:
            recorded = set(self._known.sop_instance_uids(series.key))
            opened = OpenSeries(
                now, set(series.associations), series.modality, series.calling_ae, recorded
            )
            self._grouper.open(series.key, opened)
        self._landed.start(self._spool, self._settings.watch, waking)
        self._prime()

    def stop(self) -> None:
        """Stop watching."""
        self._landed.stop()

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
            self._gather()
        self._wake.clear()
        events = tuple(self._journal.read())
        self._pending |= self._landed.take()
        self._rescan_if_due()
        arrivals, set_aside = self._read_pending()
        for event in events:
            self._grouper.note(event)
        closures = () if self._pending else tuple(self._close_due())
        studies = () if self._pending else tuple(self._close_due_studies())
        offsets = self._journal.offsets
        return Findings(events, arrivals, closures, set_aside, offsets, len(self._pending), studies)

    def _gather(self) -> None:
        """Wait while a feed goes on, so that it is recorded in batches and not one by one.

        Each batch costs the ledger a commit, which competes with the receivers for the disk.
        """
        pause = self._next_look - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        self._next_look = time.monotonic() + _GATHER_SECONDS

    def _close_due(self) -> Iterator[Closure]:
        """Close what is due, unless its folder holds a file that was not seen yet."""
        for closure in tuple(self._grouper.due(self._clock())):
            files = _instance_files(str(self._spool.folder_of(closure.key)))
            unseen = {
                path for path in files if not self._grouper.holds(closure.key, Path(path).stem)
            }
            if unseen:
                self._pending |= unseen
            else:
                self._grouper.close(closure.key)
                found = _header_findings(files)
                evidence = "; ".join((closure.evidence, *found))
                yield replace(closure, evidence=evidence, header_findings=len(found))

    def _close_due_studies(self) -> Iterator[StudyClosure]:
        for closure in tuple(self._grouper.due_studies(self._clock())):
            self._grouper.close_study(closure.StudyInstanceUID)
            self._here.forget(closure.StudyInstanceUID)
            yield closure

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
        for path in sorted(self._new_files(batch), key=_landed_at):
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
                is_open = self._grouper.is_open(key)  # then it holds all that is recorded
                recorded[key] = frozenset() if is_open else self._known.sop_instance_uids(key)
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
        now = self._clock()
        if not self._grouper.is_open(key):
            earlier = set(self._known.sop_instance_uids(key))
            modality, calling_ae = header.text("Modality"), header.origin.calling_ae
            self._grouper.open(key, OpenSeries(now, set(), modality, calling_ae, earlier))
        uid, association_id = header.identity.SOPInstanceUID, header.origin.association_id
        self._grouper.arrived(key, uid, association_id, now)


def _landed_at(path: Path) -> int:
    """When a file was written: of two instances with one UID, the first one counts."""
    try:
        return path.stat().st_mtime_ns
    except OSError:  # reading it will tell why
        return 0


def _instance_files(folder: str) -> set[str]:
    with os.scandir(folder) as entries:
        return {entry.path for entry in entries if entry.name.endswith(".dcm")}


def _header_findings(files: Iterable[str]) -> tuple[str, ...]:
    """What the headers of a series say against its being whole."""
    return findings_of(tuple(_slices(files)))


def _slices(files: Iterable[str]) -> Iterator[Slice]:
    for path in files:
        try:
            yield slice_of(read_summary(Path(path)))
        except (UnreadableInstance, OSError):  # changed under us; what reads it next will say so
            yield Slice()
