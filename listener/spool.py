"""The spool: where every acknowledged instance is, durably, as a Part 10 file.

    <root>/instances/<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm
    <root>/quarantine/<name>.dcm with <name>.json, the reason
    <root>/incoming/     temporary files; what is there at the start is left over
    <root>/journal/      see `listener.journal`

The spool decodes nothing and knows nothing of series being complete.
"""

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from listener.errors import SpoolUnavailable
from listener.part10 import Identity, dataset_offset

StoreOutcome = Literal["kept", "duplicate", "quarantined"]
_CHUNK = 1 << 20
_REMEMBERED = 10_000


class SeriesKey(NamedTuple):
    """What instances are grouped by."""

    StudyInstanceUID: str
    SeriesInstanceUID: str


@dataclass(frozen=True)
class SpoolSettings:
    """Where the spool is, and how much of its filesystem must stay free.

    Attributes
    ----------
    root
        The spool's folder; temporary and final files share its filesystem.
    free_bytes_min
        Instances are refused with 0xA700 when less than this is free.
    """

    root: Path
    free_bytes_min: int = 1 << 28


class Spool:
    """Keeps instances so that an acknowledgement can be given.

    A file is written under a temporary name, fsynced, linked to its final name and the
    folder fsynced. Linking rather than renaming makes two senders of the same instance
    safe: a rename would silently replace what was acknowledged before.
    """

    def __init__(self, settings: SpoolSettings) -> None:
        self.instances = settings.root / "instances"
        self.quarantine = settings.root / "quarantine"
        self.incoming = settings.root / "incoming"
        self.journal = settings.root / "journal"
        self._free_bytes_min = settings.free_bytes_min
        self._durable: set[Path] = set()
        for folder in (self.instances, self.quarantine, self.incoming, self.journal):
            folder.mkdir(parents=True, exist_ok=True)

    def discard_incoming(self) -> int:
        """Remove what an earlier run left unfinished, and so unacknowledged. Return how many."""
        left_over = list(self.incoming.iterdir())
        for path in left_over:
            path.unlink()
        return len(left_over)

    def store(self, identity: Identity, file_meta: bytes, dataset: bytes) -> StoreOutcome:
        """Keep one instance durably.

        Parameters
        ----------
        identity
            The instance's UIDs, checked to be safe as file names.
        file_meta
            Preamble and file meta information.
        dataset
            The dataset as it was received.

        Returns
        -------
        StoreOutcome
            ``kept``: it is in its series. ``duplicate``: the same bytes were there already.
            ``quarantined``: other bytes were there under this UID; the first stay, these are
            kept apart. All three may be acknowledged.

        Raises
        ------
        SpoolUnavailable
            The disk is full or failing; nothing partial remains.
        """
        final = self.path_of(identity)
        try:
            self._require_space(len(dataset))
            temporary = self._write(file_meta, dataset)
            try:
                return self._place(temporary, final, dataset)
            finally:
                temporary.unlink(missing_ok=True)
        except SpoolUnavailable:
            raise
        except OSError as error:
            raise SpoolUnavailable(error.errno, os.strerror(error.errno or 0)) from error

    def path_of(self, identity: Identity) -> Path:
        """Where an instance lies once it is kept."""
        return (
            self.instances
            / identity.StudyInstanceUID
            / identity.SeriesInstanceUID
            / f"{identity.SOPInstanceUID}.dcm"
        )

    def folder_of(self, key: SeriesKey) -> Path:
        """Where the instances of a series lie."""
        return self.instances / key.StudyInstanceUID / key.SeriesInstanceUID

    def series_folders(self) -> Iterator[tuple[SeriesKey, os.DirEntry[str]]]:
        """Every series that has a folder."""
        for study in _folders(self.instances):
            for entry in _folders(study.path):
                yield SeriesKey(study.name, entry.name), entry

    def set_aside(self, path: Path, reason: str) -> Path:
        """Move an unusable file of the spool into quarantine."""
        with path.open("rb") as file:
            target = self._quarantine_name(path.stem, hashlib.file_digest(file, "sha256"))
        self._write_reason(target, reason, {"SeriesInstanceUID": path.parent.name})
        path.replace(target)
        _sync_folder(self.quarantine)
        _sync_folder(path.parent)
        return target

    def _require_space(self, needed: int) -> None:
        status = os.statvfs(self.incoming)
        if status.f_bavail * status.f_frsize < self._free_bytes_min + needed:
            raise SpoolUnavailable(errno.ENOSPC, "less space is free than [storage] free_bytes_min")

    def _write(self, head: bytes, body: bytes) -> Path:
        """Write a temporary file, durably."""
        temporary = self.incoming / uuid.uuid4().hex
        try:
            with temporary.open("xb", buffering=0) as file:
                _write_all(file.fileno(), head)
                _write_all(file.fileno(), body)
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return temporary

    def _place(self, temporary: Path, final: Path, dataset: bytes) -> StoreOutcome:
        self._make_folders(final.parent)
        try:
            os.link(temporary, final)
        except FileExistsError:
            if _holds(final, dataset):
                # Its first sender may still wait for this folder's fsync.
                _sync_folder(final.parent)
                return "duplicate"
            self._quarantine_second(temporary, final, dataset)
            return "quarantined"
        _sync_folder(final.parent)
        return "kept"

    def _make_folders(self, series: Path) -> None:
        """Make study and series folders; their names are durable before they are used.

        A folder that another sender has just made may not be durable yet, so whoever uses a
        series for the first time syncs, and not only who made it.
        """
        known = series in self._durable
        for folder in (series.parent, series):
            if _made(folder) or not known:
                _sync_folder(folder.parent)
        if len(self._durable) >= _REMEMBERED:
            self._durable.clear()
        self._durable.add(series)

    def _quarantine_second(self, temporary: Path, final: Path, dataset: bytes) -> None:
        """Keep the second version of an instance; sent again, it is there already."""
        target = self._quarantine_name(final.stem, hashlib.sha256(dataset))
        if target.exists():
            _sync_folder(self.quarantine)
            return
        where = {
            "StudyInstanceUID": final.parent.parent.name,
            "SeriesInstanceUID": final.parent.name,
        }
        self._write_reason(
            target, "other bytes were kept before under this SOP Instance UID", where
        )
        temporary.replace(target)
        _sync_folder(self.quarantine)

    def _quarantine_name(self, stem: str, digest: "hashlib._Hash") -> Path:
        return self.quarantine / f"{stem}-{digest.hexdigest()[:16]}.dcm"

    def _write_reason(self, target: Path, reason: str, details: Mapping[str, str]) -> None:
        """Write beside `target` why it is in quarantine; a reader finds it whole or not at all."""
        temporary = self._write(json.dumps({"reason": reason, **details}).encode(), b"")
        temporary.replace(target.with_suffix(".json"))


def _made(folder: Path) -> bool:
    """Make a folder unless it is there; return whether it was made now."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _folders(parent: Path | str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(parent) as entries:
        yield from (entry for entry in entries if entry.is_dir())


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds(path: Path, dataset: bytes) -> bool:
    """Whether the file's dataset is `dataset`; the file meta may differ by its sender."""
    with path.open("rb") as file:
        offset = dataset_offset(file)
        if path.stat().st_size - offset != len(dataset):
            return False
        file.seek(offset)
        return all(
            file.read(_CHUNK) == dataset[start : start + _CHUNK]
            for start in range(0, len(dataset), _CHUNK)
        )
