"""The records of the PROCESS step: what a job is asked, and what it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from processor.sending import Sender
from processor.settings import ProcessorSettings
from processor.source import SeriesSource
from rules.model import Step

StepState = Literal["done", "refused", "failed"]


@dataclass(frozen=True)
class Output:
    """One published file.

    Attributes
    ----------
    path : str
        Relative to the job's folder, with forward slashes.
    kind : str
        What it is: "nifti", "sidecar", "preview", "workbook", "rows", "dicom".
    bytes, sha256 : int, str
        Its size and checksum, as in the manifest.
    """

    path: str
    kind: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class StepResult:
    """What one processor has to say about a series.

    Attributes
    ----------
    state : {"done", "refused", "failed"}
        "refused" is a result ("cannot convert because ..."), "failed" is a fault.
    summary : str
        One line a radiographer understands, without patient data.
    details : mapping
        What the summary rests on; JSON values only.
    """

    processor: str
    state: StepState
    summary: str
    details: Mapping[str, object] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True)
class JobRequest:
    """One job: the steps one rule asks for, on one revision of one series.

    Attributes
    ----------
    key : str
        `processor.job.job_key` of this request.
    files : tuple of Path
        The spool files, undecoded and in any transfer syntax, perhaps damaged.
    facts : mapping
        What earlier stages know: grade, evidence, instances, instances_expected, calling_ae.
    destination : str
        The folder below the results folder that the rule asks for, already made safe; of a job
        that de-identifies its template; empty for the one every job has otherwise.
    sender : Sender or None
        Who sends what is to be forwarded; None where nobody does.
    scratch, results : Path
        The folder for temporary work and the results folder, on one filesystem.
    """

    key: str
    study_uid: str
    series_uid: str
    revision: int
    digest: str
    rule: str
    steps: tuple[Step, ...]
    files: tuple[Path, ...]
    facts: Mapping[str, object]
    scratch: Path
    results: Path
    settings: ProcessorSettings = field(default_factory=ProcessorSettings)
    destination: str = ""
    sender: Sender | None = None

    @property
    def unverified(self) -> Path:
        """Where converted files are kept that do not match the source, with the report."""
        return self.scratch.parent / "unverified" / self.key


@dataclass(frozen=True)
class JobResult:
    """What became of a job; `folder` is relative to the results folder."""

    key: str
    folder: Path
    steps: tuple[StepResult, ...]
    seconds: float


@dataclass(frozen=True)
class JobContext:
    """What a processor sees of its job.

    Attributes
    ----------
    source : SeriesSource
        The series, shared by all steps: headers are read once, frames decoded once.
    folder : Path
        Where to write; files not named in the step's outputs are removed after it.
    published : PurePosixPath
        Where `folder` will be, relative to the results folder.
    earlier : tuple of StepResult
        The results of the steps before this one.
    progress : callable
        Told the fraction done of this step, 0 to 1.
    """

    request: JobRequest
    source: SeriesSource
    options: Mapping[str, object]
    folder: Path
    published: PurePosixPath
    earlier: tuple[StepResult, ...]
    progress: Callable[[float], None]

    def result_of(self, processor: str) -> StepResult | None:
        """The result of an earlier step, None when it was not asked for."""
        return next((step for step in self.earlier if step.processor == processor), None)


class Processor(Protocol):
    """One kind of processing. Instances are stateless and shared."""

    @property
    def name(self) -> str:
        """The name rules use."""

    @property
    def version(self) -> str:
        """Part of the job key: raising it makes the work be done again."""

    def check_options(self, options: Mapping[str, object]) -> None:
        """Raise `OptionError` naming the option and what was expected."""

    def run(self, job: JobContext) -> StepResult:
        """Do the work; refusals are results, `RetriableError` asks for the job to be run again."""
