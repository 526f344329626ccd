"""Gathers the DICOM files below a folder into series."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from ledger.cases import instances_digest
from listener.identity import PARSE_ERRORS
from processor.headers import quiet_reading, text

_TAGS = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


@dataclass(frozen=True)
class GatheredSeries:
    """The files of one series, in the order of their paths, with their SOP Instance UIDs."""

    study_uid: str
    series_uid: str
    files: tuple[Path, ...]
    sop_instance_uids: tuple[str, ...]

    def digest(self) -> str:
        """The digest of the set of instances, as `ledger.cases.instances_digest`."""
        return instances_digest(
            (uid, _sha256(path))
            for uid, path in zip(self.sop_instance_uids, self.files, strict=True)
        )


@dataclass(frozen=True)
class Gathered:
    """The series below a folder, and how many of the files are none of a series."""

    series: tuple[GatheredSeries, ...]
    skipped: int


def gather(folder: Path) -> Gathered:
    """Read which series the files at or below `folder` are of.

    What is no DICOM, a DICOMDIR, and what names no study or series is skipped.
    """
    found: dict[tuple[str, str], list[tuple[Path, str]]] = defaultdict(list)
    paths = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
    files = [path for path in paths if path.is_file()]
    with quiet_reading():
        for path in files:
            header = _read(path)
            if header is not None:
                key = text(header, "StudyInstanceUID"), text(header, "SeriesInstanceUID")
                found[key].append((path, text(header, "SOPInstanceUID")))
    skipped = len(files) - sum(map(len, found.values()))
    return Gathered(tuple(_series(*key, members) for key, members in found.items()), skipped)


def gather_from(folders: Mapping[tuple[str, str], Path]) -> tuple[GatheredSeries, ...]:
    """Series whose instances lie in one folder each, by (study, series) UID, named by their UID."""
    return tuple(
        _series(*key, [(path, path.stem) for path in sorted(folder.glob("*.dcm"))])
        for key, folder in folders.items()
    )


def _series(study: str, series: str, members: Sequence[tuple[Path, str]]) -> GatheredSeries:
    files, uids = zip(*members, strict=True) if members else ((), ())
    return GatheredSeries(study, series, tuple(files), tuple(uids))


def _read(path: Path) -> Dataset | None:
    try:
        header = dcmread(path, specific_tags=_TAGS, stop_before_pixels=True)
    except (*PARSE_ERRORS, OSError):
        return None
    if text(header, "SOPClassUID") == MediaStorageDirectoryStorage:
        return None
    named = text(header, "StudyInstanceUID") and text(header, "SeriesInstanceUID")
    return header if named else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
