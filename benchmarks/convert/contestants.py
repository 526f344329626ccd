"""Who converts: ours as a worker does it, dcm2niix as a program, dicom2nifti as a library.

Each turn has a process of its own and a fresh folder. Ours and dicom2nifti are forked with their
modules imported, as Safelight's workers are; dcm2niix starts in milliseconds.
"""

import multiprocessing
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from processor.job import run_job
from processor.model import JobRequest
from processor.settings import ProcessorSettings
from rules.model import Step

_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Turn:
    """What one conversion took.

    Attributes
    ----------
    cpu_seconds
        Of all its threads and programs; less than `seconds` on a busy machine.
    output_bytes
        Of the NIfTI files it left.
    peak_bytes
        Of its largest process.
    """

    seconds: float
    cpu_seconds: float
    output_bytes: int
    peak_bytes: int


class ConversionFailed(Exception):
    """A contestant left no whole NIfTI: its time would mean nothing."""


Contestant = Callable[[Path, Path], Turn]
"""Converts the series of the first folder into the second, which is empty."""


def ours(*steps: str, options: Mapping[str, object] | None = None) -> Contestant:
    """A job of Safelight, from the files to the published folder."""

    def convert(series: Path, place: Path) -> Turn:
        return _forked(_run_job, (series, place, steps, options or {}), place)

    return convert


def _run_job(
    series: Path, place: Path, steps: tuple[str, ...], options: Mapping[str, object]
) -> None:
    for name in ("scratch", "results"):
        (place / name).mkdir()
    result = run_job(
        JobRequest(
            key="0" * 64,
            study_uid="2.25.101",
            series_uid="2.25.102",
            revision=1,
            digest="",
            rule="bench",
            steps=tuple(Step(name, options if name == "convert" else {}) for name in steps),
            files=tuple(sorted(series.iterdir())),
            facts={},
            scratch=place / "scratch",
            results=place / "results",
            settings=ProcessorSettings(),
        )
    )
    for step in result.steps:
        if step.state != "done":
            raise ConversionFailed(step.summary)


def dcm2niix_with(compression: str) -> Contestant:
    """The program of the PyPI wheel: `i` compresses by itself, `y` with pigz, `n` not at all."""

    def convert(series: Path, place: Path) -> Turn:
        import dcm2niix  # noqa: PLC0415 - nobody else needs it

        flags = ("-g", "i", "-b", "y", "-ba", "y", "-c", "", "-p", "n", "-w", "1")
        command = (dcm2niix.bin, *flags, "-z", compression, "-f", "out", "-o", place, series)
        started = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as program:
            _, _, used = os.wait4(program.pid, 0)
            seconds = time.monotonic() - started
            program.returncode = 0  # not evidence of anything; what counts is in the folder
        cpu_seconds = used.ru_utime + used.ru_stime
        return Turn(seconds, cpu_seconds, nifti_bytes(place), used.ru_maxrss * 1024)

    return convert


def dicom2nifti(series: Path, place: Path) -> Turn:
    """The library's function for one series, without turning the result."""
    return _forked(_dicom2nifti, (series, place), place)


def _dicom2nifti(series: Path, place: Path) -> None:
    import dicom2nifti as library  # noqa: PLC0415 - nobody else needs it

    library.dicom_series_to_nifti(series, place / "out.nii.gz", reorient_nifti=False)


def _forked(function: Callable[..., None], arguments: tuple[object, ...], place: Path) -> Turn:
    reader, writer = _fork.Pipe(duplex=False)
    process = _fork.Process(target=_report, args=(writer, function, arguments))
    started = time.monotonic()
    process.start()
    writer.close()
    try:
        cpu_seconds, peak = reader.recv()
    except EOFError:
        raise ConversionFailed(f"{function.__name__} failed") from None
    seconds = time.monotonic() - started
    process.join()
    return Turn(seconds, cpu_seconds, nifti_bytes(place), peak)


def _report(
    writer: Connection, function: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    function(*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF)
    writer.send((used.ru_utime + used.ru_stime, used.ru_maxrss * 1024))


def nifti_bytes(place: Path) -> int:
    """How large the compressed files under a folder are.

    Raises
    ------
    ConversionFailed
        There is none.
    """
    found = [path.stat().st_size for path in place.rglob("*.nii*")]
    if not found:
        raise ConversionFailed("no NIfTI was written")
    return sum(found)


def has_pigz() -> bool:
    """Whether dcm2niix can compress in threads."""
    return shutil.which("pigz") is not None
