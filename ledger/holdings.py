"""What lies in a spool, looked at without changing it: instances, and what is in quarantine."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from listener.errors import UnreadableInstance
from listener.spool import SeriesKey
from listener.summary import read_summary


@dataclass(frozen=True)
class SetAside:
    """A file in quarantine, as its reason describes it.

    Attributes
    ----------
    name
        Of the file, without its suffix.
    reason, series_uid
        What stands beside it.
    is_second_version
        Whether it was acknowledged as a second version of a kept instance. Else it was kept as
        an instance first, and set aside when it was read.
    """

    name: str
    reason: str
    series_uid: str
    is_second_version: bool


def series_files(root: Path) -> Iterator[tuple[SeriesKey, list[str]]]:
    """Every series of the spool at `root`, with the sorted paths of its instances."""
    for study in _folders(root / "instances"):
        for series in _folders(study.path):
            with os.scandir(series.path) as entries:
                files = sorted(entry.path for entry in entries if entry.name.endswith(".dcm"))
            yield SeriesKey(study.name, series.name), files


def set_aside_files(root: Path) -> Iterator[SetAside]:
    """Every file in quarantine that has its reason."""
    for path in sorted((root / "quarantine").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        # Only the receiver, which has no ledger to ask, notes the study too.
        yield SetAside(
            path.stem,
            content["reason"],
            content["SeriesInstanceUID"],
            "StudyInstanceUID" in content,
        )


def association_of(path: Path) -> str:
    """The association that brought a file; empty where it cannot be read."""
    try:
        return read_summary(path).origin.association_id
    except (UnreadableInstance, OSError):
        return ""


def _folders(parent: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(parent) as entries:
            return sorted((e for e in entries if e.is_dir()), key=lambda entry: entry.name)
    except FileNotFoundError:  # nothing was received yet, or retention has just removed it
        return []
