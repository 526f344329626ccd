"""Safelight from Python: fetch and process a study, or a folder or ZIP of DICOM, in one call.

>>> from safelight import Client
>>> Client().process("studies.zip", output_dir="out")  # doctest: +SKIP
ProcessResult(...)
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from processor.errors import PackageError
from processor.package import LARGEST_MB, package_studies
from processor.registry import PROCESSORS
from query.settings import Method
from safelight.config import Config, find_file, load_config
from safelight.errors import SafelightError
from safelight.fetching import Fetched, Fetching
from safelight.gathering import GatheredSeries, gather
from safelight.list_rules import STEPS
from safelight.processing import (
    SCRATCH,
    Format,
    ProcessedSeries,
    Work,
    process_series,
    steps_of,
    write_studies,
)
from safelight.retrieve_orders import Wish
from safelight.retrieve_progress import HowFar
from safelight.selection import Selection
from safelight.unpacking import is_archive, unpack

Stage = Literal["retrieve", "read", "process", "write"]


class NothingToProcess(SafelightError, ValueError):
    """What was given cannot be processed; the message says why."""


@dataclass(frozen=True)
class Progress:
    """How far a call is: `done` of `total` instances of a stage; a total of 0 is not known yet."""

    stage: Stage
    done: int = 0
    total: int = 0
    note: str = ""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class ProcessResult:
    """What came of a call.

    Attributes
    ----------
    output_dir : Path
        Where everything is: ``STUDY/SERIES/`` with the outputs and their ``manifest.json``.
    series : tuple of ProcessedSeries
        Each series that was found, with its steps or why it was left out or failed.
    retrieved : Fetched or None
        What came of the retrieve; None where nothing was fetched.
    skipped : int
        Files that are none of a series.
    workbooks, reports, packages : tuple of Path
        ``metadata.xlsx`` and ``report.html`` of each study; its ZIP where that was asked for.
    problems : tuple of str
        What else went wrong.
    """

    output_dir: Path
    series: tuple[ProcessedSeries, ...]
    retrieved: Fetched | None = None
    skipped: int = 0
    workbooks: tuple[Path, ...] = ()
    reports: tuple[Path, ...] = ()
    packages: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all was there, and nothing failed; a refusal with a reason is no failure."""
        whole = self.retrieved is None or self.retrieved.state == "whole"
        return whole and not self.problems and all(one.is_well for one in self.series)


class Client:
    """Fetches and processes as the daemon does, in one call.

    Parameters
    ----------
    config : path, optional
        The configuration file; else ``./safelight.toml``, ``/etc/safelight/safelight.toml`` or
        the embedded defaults, as for every command.

    Raises
    ------
    ConfigError
        It is wrong; the key is named.
    """

    def __init__(self, config: str | os.PathLike[str] | None = None) -> None:
        self._file = find_file(None if config is None else Path(config))
        self._config: Config = load_config(self._file, os.environ)

    def process(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        output_dir: str | os.PathLike[str],
        accession_number: str | None = None,
        output_format: Format = "nifti",
        run: Sequence[str] = STEPS,
        modalities: Sequence[str] = (),
        minimum_instances: int = 1,
        derived: bool = True,
        package: bool = False,
        pacs: str | None = None,
        by: Method | None = None,
        tries: int = 2,
        on_progress: OnProgress | None = None,
    ) -> ProcessResult:
        """Process the study of an accession number, or what lies in a folder, file or ZIP.

        What was published by an earlier call with the same arguments is not made again.

        Parameters
        ----------
        source : path, optional
            A folder, a DICOM file or a ZIP of them. Either this or `accession_number` is given.
        output_dir : path
            Where results go; it is made.
        accession_number : str, optional
            The study is fetched from `pacs` by the daemon of this configuration. Where none
            runs, one runs for as long as this takes, and processes nothing by itself.
        output_format : {"nifti", "npz"}
            What conversion writes.
        run : sequence of str
            The processors, in their order: of convert, qc, preview, metadata.
        modalities, minimum_instances, derived
            Leave series out, see `safelight.selection.Selection`; a series of another modality
            or derived is not even fetched.
        package : bool
            Whether a ZIP of each study's results is written beside its folder.
        pacs : str, optional
            Which ``[[pacs]]``; the first without it.
        by : {"move", "get", "dicomweb"}, optional
            How to fetch; else as the configuration says.
        tries : int
            How often to try to fetch.
        on_progress : callable, optional
            Told a `Progress` again and again, from this thread.

        Raises
        ------
        NothingToProcess
            Neither or both are given, there is no such file, no DICOM, or an unknown processor.
        UnusableArchive
            A ZIP cannot be unpacked.
        SafelightError
            The accession number is none, or the daemon did not start or answer.
        """
        _check(source, accession_number, run)
        selection = Selection(tuple(modalities), minimum_instances, derived)
        out = Path(output_dir).absolute()
        told = on_progress or _nobody
        with _scratch(out) as scratch:
            if accession_number is None:
                found = _in_folder(Path(source or ""), scratch, self._config, told)
            else:
                rules = _rules_file(selection, scratch)
                wish = Wish((accession_number,), None, pacs, by, rules, 0, tries)
                fetching = Fetching(self._config, self._file, wish, scratch)
                found = _Found(*fetching.run(partial(_tell_retrieve, told)))
            work = Work(
                out,
                steps_of(run, output_format),
                selection.rules(),
                self._config.processor,
                self._config.processing,
                found.known,
            )
            processed = _processed(found.series, work, told)
        told(Progress("write"))
        workbooks, reports = write_studies(processed, self._config.output.mr_clean)
        packages, problems = _packaged(processed) if package else ((), ())
        return ProcessResult(
            *(out, processed, found.fetched, found.skipped),
            workbooks=workbooks,
            reports=reports,
            packages=packages,
            problems=problems,
        )


@dataclass(frozen=True)
class _Found:
    """What there is to process: of a retrieve with what the PACS told, or of a folder."""

    fetched: Fetched | None
    series: Sequence[GatheredSeries]
    known: Mapping[str, Mapping[str, object]]
    skipped: int = 0


def _check(source: object, accession_number: str | None, run: Sequence[str]) -> None:
    if (source is None) == (accession_number is None):
        raise NothingToProcess("expected either a source or an accession number")
    unknown = [name for name in run if name not in PROCESSORS]
    if unknown or not run:
        known = ", ".join(PROCESSORS)
        raise NothingToProcess(f"expected processors of {known}; got {', '.join(run) or 'none'}")


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder of this call in `out`, on the same filesystem."""
    root = out / SCRATCH
    root.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=root) as folder:
            yield Path(folder)
    finally:
        with suppress(OSError):  # another call works in it
            root.rmdir()


def _in_folder(source: Path, scratch: Path, config: Config, told: OnProgress) -> _Found:
    told(Progress("read"))
    if not source.exists():
        raise NothingToProcess(f"{source}: there is no such file or folder")
    folder = source
    if is_archive(source):
        folder = scratch / "zip"
        folder.mkdir()
        unpack(source, folder, reserve_bytes=config.storage.free_bytes_process)
    gathered = gather(folder)
    if not gathered.series:
        raise NothingToProcess(f"{source}: no DICOM that is of a series")
    return _Found(None, gathered.series, {}, gathered.skipped)


def _rules_file(selection: Selection, scratch: Path) -> Path | None:
    """What leaves series out before the transfer, as the file that a retrieve takes."""
    text = selection.text_before_transfer()
    if not text:
        return None
    path = scratch / "selection.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _tell_retrieve(told: OnProgress, far: HowFar) -> None:
    told(Progress("retrieve", far.received, far.expected, far.stage))


def _processed(
    series: Sequence[GatheredSeries], work: Work, told: OnProgress
) -> tuple[ProcessedSeries, ...]:
    total = sum(len(one.files) for one in series)
    done = 0

    def ended(instances: int) -> None:
        nonlocal done
        done += instances
        told(Progress("process", done, total))

    told(Progress("process", 0, total))
    return process_series(series, work, ended)


def _packaged(
    processed: Sequence[ProcessedSeries],
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """A ZIP beside the folder of each study, and why one has none."""
    packages, problems = [], []
    for study in sorted({one.folder.parent for one in processed if one.folder is not None}):
        path = study.with_name(f"{study.name}.zip")
        try:
            package_studies([study], path, LARGEST_MB * 1_000_000)
            packages.append(path)
        except PackageError as error:
            problems.append(f"no package: {error}")
    return tuple(packages), tuple(problems)


def _nobody(_progress: Progress) -> None:
    """Nobody wants to know."""
