"""The series that are converted: those of a folder of scans, and the faults built in code."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.misc import is_dicom

from benchmarks.verify import faults
from processor.headers import text


@dataclass(frozen=True)
class Case:
    """One series; `group` is the fault, or the folder of scans it is from."""

    group: str
    name: str
    files: tuple[Path, ...]


def of_faults(folder: Path) -> Iterator[Case]:
    """The fault set, written below a folder."""
    for number, (name, build) in enumerate(faults.FAULTS.items()):
        yield Case(name, name, tuple(faults.write(build(), folder / f"fault-{number}")))


def of_scans(scans: Path) -> Iterator[Case]:
    """Every series of a folder of scans, whose first level are sources.

    Collections hold unrelated files under one Series Instance UID: files of a series that lie in
    several folders count as a series for each folder.
    """
    for source in sorted(path for path in scans.iterdir() if path.is_dir()):
        found: dict[tuple[str, Path], list[Path]] = defaultdict(list)
        for path in sorted(source.rglob("*")):
            if path.is_file() and is_dicom(path):
                header = dcmread(path, specific_tags=["SeriesInstanceUID"])
                found[text(header, "SeriesInstanceUID"), path.parent].append(path)
        for number, ((_, folder), files) in enumerate(found.items(), 1):
            place = folder.relative_to(source / "dicom") if folder != source else Path()
            yield Case(source.name, f"{source.name} {number}: {place}", tuple(files))
