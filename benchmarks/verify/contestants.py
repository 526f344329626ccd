"""Who converts: dcm2niix as a program, dicom2nifti and ours in a process of their own.

Exit codes mean nothing here: what counts is in the folder afterwards.
"""

import importlib
import multiprocessing
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from processor.convert import convert_series
from processor.headers import quiet_reading
from processor.source import SeriesSource

_fork = multiprocessing.get_context("fork")
_SECONDS = 300


@dataclass(frozen=True)
class Made:
    """What a converter left.

    Attributes
    ----------
    files
        Its NIfTI files.
    said
        Why there is none, as far as it told.
    """

    files: tuple[Path, ...]
    said: str = ""


Contestant = Callable[[Sequence[Path], Path], Made]
"""Converts the files of one series into a folder, which is empty."""


def with_dcm2niix(series: Sequence[Path], folder: Path) -> Made:
    """The program of the PyPI wheel; `-w 2`, since with `-w 1` images overwrite each other."""
    flags = ("-g", "i", "-b", "y", "-ba", "y", "-c", "", "-p", "n", "-w", "2", "-z", "y")
    program = importlib.import_module("dcm2niix").bin
    command = (program, *flags, "-f", "out_%s", "-o", folder, _alone(series, folder))
    try:
        subprocess.run(
            command,
            check=False,
            timeout=_SECONDS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Made((), "no answer in time")
    return Made(_written(folder))


def with_dicom2nifti(series: Sequence[Path], folder: Path) -> Made:
    """The library's function for one series, its axes left as they are."""
    return _apart(_dicom2nifti, series, folder)


def with_ours(series: Sequence[Path], folder: Path) -> Made:
    """Our own conversion, which hands on only what it verified."""
    return _apart(_ours, series, folder)


CONTESTANTS: Mapping[str, Contestant] = {
    "dcm2niix": with_dcm2niix,
    "dicom2nifti": with_dicom2nifti,
    "Safelight": with_ours,
}
"""The columns of the tables."""


def _alone(series: Sequence[Path], folder: Path) -> Path:
    """A folder beside `folder` that links the files of the series and nothing else."""
    place = folder.with_name(f"{folder.name}-series")
    place.mkdir()
    for number, path in enumerate(series):
        (place / f"{number:05d}.dcm").symlink_to(path.absolute())
    return place


def _written(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted((*folder.glob("*.nii"), *folder.glob("*.nii.gz"))))


def _dicom2nifti(series: Sequence[Path], folder: Path) -> str:
    library = importlib.import_module("dicom2nifti")
    place = _alone(series, folder)
    library.dicom_series_to_nifti(place, folder / "out.nii.gz", reorient_nifti=False)
    return ""


def _ours(series: Sequence[Path], folder: Path) -> str:
    with quiet_reading():
        return convert_series(SeriesSource(series), folder).reason


def _apart(
    convert: Callable[[Sequence[Path], Path], str], series: Sequence[Path], folder: Path
) -> Made:
    """Convert in a process of its own: one that dies or hangs is an answer too."""
    reader, writer = _fork.Pipe(duplex=False)
    process = _fork.Process(target=_answer, args=(writer, convert, series, folder))
    process.start()
    writer.close()
    try:
        said = str(reader.recv()) if reader.poll(_SECONDS) else "no answer in time"
    except EOFError:
        said = "its process died"
    process.kill()
    process.join()
    return Made(_written(folder), said)


def _answer(
    writer: Connection,
    convert: Callable[[Sequence[Path], Path], str],
    series: Sequence[Path],
    folder: Path,
) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    try:
        said = convert(series, folder)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever it raises is its answer
        said = f"{type(error).__name__}"
    writer.send(said)
