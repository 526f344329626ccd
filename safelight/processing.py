"""Processes series that are here, at once and without a daemon: the same steps, the same layout.

What a rule would ask for is asked for by a call. Jobs run in workers, each series is published
whole or not at all, and what an earlier call published is not made again.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from listener.errors import UnreadableInstance
from processor.deidentify import NAME as DEIDENTIFY
from processor.job import job_key
from processor.model import JobRequest, JobResult, StepResult
from processor.pool import WorkerPool
from processor.report import REPORT_FILE, ReportedStudy, write_report
from processor.reported import Remark, ReportedSeries, read_folders
from processor.settings import PoolSettings, ProcessorSettings
from processor.tables import ROWS_FILE
from processor.workbook import WORKBOOK_FILE, merge_workbooks
from rules.model import Rule, Step
from safelight.errors import in_one_line
from safelight.gathering import GatheredSeries
from safelight.seeing import see_file
from safelight.selection import left_out

SCRATCH = ".safelight"
RULE = "process"

SeriesState = Literal["done", "left out", "failed"]
Format = Literal["nifti", "npz"]


@dataclass(frozen=True)
class ProcessedSeries:
    """What became of one series.

    Attributes
    ----------
    state : {"done", "left out", "failed"}
        A step that refuses with a reason is a result, so that the series is done.
    reason : str
        Why it was left out or failed.
    folder : Path or None
        Where its outputs are.
    steps : tuple of StepResult
        What each step says, in their order.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    instances: int
    state: SeriesState
    reason: str = ""
    folder: Path | None = None
    steps: tuple[StepResult, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether nothing failed."""
        return self.state != "failed" and all(step.state != "failed" for step in self.steps)


@dataclass(frozen=True)
class Work:
    """What is to be done with series, and where it goes.

    Attributes
    ----------
    out : Path
        The folder of the results; each study gets a folder in it, each series one in that.
    steps : tuple of Step
        What runs on each series, in this order.
    rules : tuple of Rule
        They leave series out; see `safelight.selection`.
    known : mapping
        What is known of a series by its UID, as `processor.model.JobRequest.facts`.
    """

    out: Path
    steps: tuple[Step, ...]
    rules: tuple[Rule, ...] = ()
    settings: ProcessorSettings = field(default_factory=ProcessorSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    known: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def steps_of(names: Sequence[str], format_: Format) -> tuple[Step, ...]:
    """The steps of these processors; conversion writes `format_`."""
    return tuple(Step(name, {"format": format_} if name == "convert" else {}) for name in names)


def process_series(
    series: Sequence[GatheredSeries], work: Work, on_done: Callable[[int], None]
) -> tuple[ProcessedSeries, ...]:
    """Run the steps on each series that is not left out.

    Parameters
    ----------
    on_done : callable
        Told the number of instances of each series that has ended.

    Returns
    -------
    tuple of ProcessedSeries
        In the order of `series`.
    """
    ended: dict[GatheredSeries, ProcessedSeries] = {}
    with WorkerPool(work.pool) as pool:
        running: dict[Future[JobResult], GatheredSeries] = {}
        for one in series:
            reason = _why_left_out(one, work.rules)
            if reason:
                ended[one] = _of(one, "left out", reason)
                on_done(len(one.files))
            else:
                running[pool.submit(_request(one, work))] = one
        for future in as_completed(running):
            one = running[future]
            ended[one] = _ended(one, future, work.out)
            on_done(len(one.files))
    return tuple(ended[one] for one in series)


def write_studies(
    processed: Sequence[ProcessedSeries], mr_clean: Path | None
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Write `metadata.xlsx` and `report.html` of each study from what its series published.

    Parameters
    ----------
    mr_clean : Path or None
        Rules of MR normalisation in place of those shipped.

    Returns
    -------
    workbooks, reports : tuple of Path
        Those that were written; a study whose series have no tables has no workbook.
    """
    studies: dict[Path, list[Path]] = {}
    place: dict[str, Path] = {}
    for one in processed:
        if one.folder is not None:
            studies.setdefault(one.folder.parent, []).append(one.folder)
            if all(step.processor != DEIDENTIFY for step in one.steps):
                place[one.StudyInstanceUID] = one.folder.parent
    reports = tuple(
        write_report(
            study / REPORT_FILE,
            ReportedStudy.of((*read_folders(folders), *_others(processed, study, place))),
        )
        for study, folders in sorted(studies.items())
    )
    workbooks = tuple(
        merge_workbooks(folders, study / WORKBOOK_FILE, mr_clean)
        for study, folders in sorted(studies.items())
        if any((folder / ROWS_FILE).exists() for folder in folders)
    )
    return workbooks, reports


def _others(
    processed: Sequence[ProcessedSeries], study: Path, place: Mapping[str, Path]
) -> tuple[ReportedSeries, ...]:
    """The series of a study that have no results, as its report tells of them."""
    return tuple(
        ReportedSeries(
            one.StudyInstanceUID,
            one.SeriesInstanceUID,
            instances=one.instances,
            remark=Remark("bad" if one.state == "failed" else "calm", f"{one.state}: {one.reason}"),
        )
        for one in processed
        if one.folder is None and place.get(one.StudyInstanceUID) == study
    )


def _why_left_out(one: GatheredSeries, rules: Sequence[Rule]) -> str:
    if not rules:
        return ""
    try:
        seen = see_file(one.files[0], rules)
    except UnreadableInstance as error:
        return f"its first instance cannot be read: {error}"
    facts = {**seen.facts, "instances": (float(len(one.files)),)}
    return left_out(replace(seen, facts=facts), rules)


def _request(one: GatheredSeries, work: Work) -> JobRequest:
    digest = one.digest()
    return JobRequest(
        key=job_key(one.series_uid, digest, RULE, work.steps),
        study_uid=one.study_uid,
        series_uid=one.series_uid,
        revision=1,
        digest=digest,
        rule=RULE,
        steps=work.steps,
        files=one.files,
        facts={"instances": len(one.files), **work.known.get(one.series_uid, {})},
        scratch=work.out / SCRATCH,  # what is not verified is kept beside it
        results=work.out,
        settings=work.settings,
    )


def _ended(one: GatheredSeries, future: Future[JobResult], out: Path) -> ProcessedSeries:
    error = future.exception()
    if error is not None:
        return _of(one, "failed", in_one_line(error))
    result = future.result()
    return replace(_of(one, "done", ""), folder=out / result.folder, steps=result.steps)


def _of(one: GatheredSeries, state: SeriesState, reason: str) -> ProcessedSeries:
    return ProcessedSeries(one.study_uid, one.series_uid, len(one.files), state, reason)
