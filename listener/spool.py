"""The spool: where every acknowledged instance is, durably, as a Part 10 file.

    <root>/instances/<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm
    <root>/quarantine/<name>.dcm with <name>.json, the reason
    <root>/incoming/<writer>/   temporary files; what is there at the start is left over
    <root>/journal/      see `listener.journal`

The spool decodes nothing and knows nothing of series being complete.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from listener.durable import sync_folder, write_durably
from listener.errors import SpoolUnavailable
from listener.identity import Identity
from listener.part10 import dataset_offset
from listener.settings import RELIEF

StoreOutcome = Literal["kept", "duplicate", "quarantined"]
_META_HEAD_BYTES = 144  # preamble, prefix and group length
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
    durable
        Whether everything is fsynced before it counts as kept. Only a benchmark, which
        compares with receivers that never do it, turns this off.
    """

    root: Path
    free_bytes_min: int = 1 << 28
    durable: bool = True


class Spool:
    """Keeps instances so that an acknowledgement can be given.

    A file is written under a temporary name, fsynced, linked to its final name and the
    folder fsynced. Linking rather than renaming makes two senders of the same instance
    safe: a rename would silently replace what was acknowledged before.

    Parameters
    ----------
    settings
        Where it is.
    writer
        The name of the process that writes; its temporary files lie apart from others'.
    """

    def __init__(self, settings: SpoolSettings, writer: str = "main") -> None:
        self.root = settings.root
        self.instances = settings.root / "instances"
        self.quarantine = settings.root / "quarantine"
        self.incoming = settings.root / "incoming" / writer
        self.journal = settings.root / "journal"
        self._free_bytes_min = settings.free_bytes_min
        self._is_refusing = False
        self._durable_folders: set[str] = set()
        self._numbers = itertools.count()  # of temporary files; next() is atomic
        for folder in (self.instances, self.quarantine, self.incoming, self.journal):
            folder.mkdir(parents=True, exist_ok=True)
        self._is_durable = settings.durable
        self.sync_folder(str(settings.root))
        self._instances = str(self.instances)
        self._incoming = str(self.incoming)

    def discard_incoming(self) -> int:
        """Remove what an earlier run left unfinished, and so unacknowledged. Return how many."""
        left_over = list(self.incoming.iterdir())
        for path in left_over:
            path.unlink()
        return len(left_over)

    def temporary_name(self) -> str:
        """A new name in the folder of this writer's temporary files."""
        return f"{self._incoming}/{next(self._numbers)}"

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

    def series_of(self, study_uid: str) -> frozenset[str]:
        """The series of a study that have a folder."""
        study = self.instances / study_uid
        return frozenset(entry.name for entry in _folders(study)) if study.is_dir() else frozenset()

    def set_aside(self, path: Path, reason: str) -> Path:
        """Move an unusable file of the spool into quarantine."""
        with path.open("rb") as file:
            target = self._quarantine_name(path.stem, hashlib.file_digest(file, "sha256"))
        self._write_reason(target, reason, {"SeriesInstanceUID": path.parent.name})
        path.replace(target)
        self.sync_folder(str(self.quarantine))
        self.sync_folder(str(path.parent))
        return target

    def require_space(self, needed: int) -> None:
        """Raise `SpoolUnavailable` where less than the floor would stay free.

        Once that was so, somewhat more must be free: one refusal in ten would leave every
        study in pieces.
        """
        status = os.statvfs(self._incoming)
        floor = self._free_bytes_min * (RELIEF if self._is_refusing else 1)
        self._is_refusing = status.f_bavail * status.f_frsize < floor + needed
        if self._is_refusing:
            raise SpoolUnavailable(errno.ENOSPC, "less space is free than [storage] free_bytes_min")

    def place(self, temporary: str, identity: Identity, offset: int) -> StoreOutcome:
        """Give a temporary file, written and fsynced, its final name durably.

        Parameters
        ----------
        temporary
            The file; it is left where it is.
        identity
            Its UIDs, checked to be safe as file names.
        offset
            Where its dataset begins.
        """
        series = self._series_folder(identity)
        final = f"{series}/{identity.SOPInstanceUID}.dcm"
        try:
            os.link(temporary, final)
        except FileExistsError:
            return self._place_second(temporary, final, offset)
        except FileNotFoundError:  # somebody removed the folder
            self._durable_folders.discard(series)
            raise
        self.sync_folder(series)
        return "kept"

    def sync_file(self, descriptor: int) -> None:
        """Make a file's content durable."""
        if self._is_durable:
            os.fsync(descriptor)

    def sync_folder(self, folder: str) -> None:
        """Make the names in a folder durable."""
        if self._is_durable:
            sync_folder(folder)

    def _series_folder(self, identity: Identity) -> str:
        """Make study and series folders; their names are durable before they are used.

        A folder that another sender has just made may not be durable yet, so whoever uses a
        series for the first time syncs, and not only who made it.
        """
        study = f"{self._instances}/{identity.StudyInstanceUID}"
        series = f"{study}/{identity.SeriesInstanceUID}"
        if series in self._durable_folders:
            return series
        for folder, parent in ((study, self._instances), (series, study)):
            _make(folder)
            self.sync_folder(parent)
        if len(self._durable_folders) >= _REMEMBERED:
            self._durable_folders.clear()
        self._durable_folders.add(series)
        return series

    def _place_second(self, temporary: str, final: str, offset: int) -> StoreOutcome:
        """Keep the first version of an instance; put other bytes into quarantine."""
        if _same_dataset(temporary, offset, final):
            # Its first sender may still wait for this folder's fsync.
            self.sync_folder(os.path.dirname(final))  # noqa: PTH120
            return "duplicate"
        with open(temporary, "rb") as file:  # noqa: PTH123
            file.seek(offset)
            target = self._quarantine_name(Path(final).stem, hashlib.file_digest(file, "sha256"))
        if not target.exists():  # sent again, it is there already
            self._quarantine_second(temporary, Path(final), target)
        self.sync_folder(str(self.quarantine))
        return "quarantined"

    def _quarantine_second(self, temporary: str, final: Path, target: Path) -> None:
        where = {
            "StudyInstanceUID": final.parent.parent.name,
            "SeriesInstanceUID": final.parent.name,
        }
        self._write_reason(
            target, "other bytes were kept before under this SOP Instance UID", where
        )
        with contextlib.suppress(FileExistsError):  # the same bytes on two associations
            os.link(temporary, target)

    def _quarantine_name(self, stem: str, digest: "hashlib._Hash") -> Path:
        return self.quarantine / f"{stem}-{digest.hexdigest()[:16]}.dcm"

    def _write_reason(self, target: Path, reason: str, details: Mapping[str, str]) -> None:
        """Write beside `target` why it is in quarantine; a reader finds it whole or not at all."""
        content = json.dumps({"reason": reason, **details}).encode()
        write_durably(target.with_suffix(".json"), content, Path(self.temporary_name()))


def discard_incoming(root: Path) -> None:
    """Remove what all earlier writers of a spool left unfinished; none may be running."""
    shutil.rmtree(root / "incoming", ignore_errors=True)


def _make(folder: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)  # noqa: PTH102


def _folders(parent: Path | str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(parent) as entries:
        yield from (entry for entry in entries if entry.is_dir())


def _same_dataset(path: str, offset: int, other: str) -> bool:
    """Whether two files hold the same dataset; their file meta may differ by the sender."""
    with open(path, "rb") as first, open(other, "rb") as second:  # noqa: PTH123
        second_offset = dataset_offset(second.read(_META_HEAD_BYTES))
        if first.seek(0, 2) - offset != second.seek(0, 2) - second_offset:
            return False
        first.seek(offset)
        second.seek(second_offset)
        while piece := first.read(_CHUNK):
            if piece != second.read(_CHUNK):
                return False
        return True
