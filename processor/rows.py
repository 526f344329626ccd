"""The rows of DICOM_Metadata, made from headers and the results of earlier steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from pydicom.dataset import Dataset

from processor.cells import Row, aggregated
from processor.frames import frames_of
from processor.headers import text
from processor.model import JobContext, StepResult
from processor.source import Instance, SeriesSource
from processor.templates import Entry

ONE_ROW_AN_INSTANCE = frozenset({"DX", "DR", "CR", "MG"})


@dataclass(frozen=True)
class SeriesRecord:
    """What the tables tell of one series: its headers, and what became of it if anything did.

    Attributes
    ----------
    folder : str
        Where its outputs are, relative to the results folder; of a series no job has, its own.
    facts : mapping
        What earlier stages know, as in `JobRequest`.
    steps : tuple of StepResult
        The results of the steps before this one.
    """

    source: SeriesSource
    folder: str
    facts: Mapping[str, object] = field(default_factory=dict)
    steps: tuple[StepResult, ...] = ()
    rule: str | None = None
    revision: int | None = None

    @cached_property
    def frame_headers(self) -> Sequence[Dataset]:
        """The headers of all frames, functional groups resolved."""
        return [frame.header for frame in frames_of(self.source.instances)]

    def result_of(self, processor: str) -> StepResult | None:
        """The result of a processor, None when it did not run."""
        return next((step for step in self.steps if step.processor == processor), None)

    def details_of(self, processor: str) -> Mapping[str, Any]:
        """The details of a processor's result."""
        step = self.result_of(processor)
        return step.details if step else {}


def record_of(job: JobContext) -> SeriesRecord:
    """The series of a job, with what the steps before found."""
    request = job.request
    return SeriesRecord(
        job.source,
        str(job.published),
        request.facts,
        job.earlier,
        request.rule,
        request.revision,
    )


def metadata_rows(series: SeriesRecord, entries: Sequence[Entry]) -> list[Row]:
    """The rows of DICOM_Metadata: one for the series, or one for each instance.

    One row an instance for DX, DR, CR and MG, and where an entry has level "instance".
    """
    instances = series.source.instances
    if not instances:
        return []
    each = text(instances[0].header, "Modality") in ONE_ROW_AN_INSTANCE
    if each or any(entry.level == "instance" for entry in entries):
        groups: list[Sequence[Instance]] = [(instance,) for instance in instances]
    else:
        groups = [instances]
    files = _file_of_instance(series.result_of("convert"))
    return [
        _identity(series, group, index, files) | _elements(series, group, entries)
        for index, group in enumerate(groups)
    ]


def _identity(
    series: SeriesRecord, group: Sequence[Instance], index: int, files: Mapping[str, str]
) -> Row:
    uids = [instance.uid for instance in group]
    names = sorted({files[uid] for uid in uids if uid in files})
    low, reason = _quality(series.result_of("qc"), uids)
    published = [str(PurePosixPath(series.folder) / name) for name in names]
    return {
        "SeriesFolder": series.folder,
        "FileName": published[0] if published else None,
        "SampleFileName": group[0].path.name,
        "FileIndex": index + 1,
        "TotalFilesInSeries": series.source.file_count,
        "FilesReadForMetadata": len(group),
        "SourceFile": group[0].path.name,
        "Low_quality": low,
        "Low_quality_reason": reason,
    }


def _file_of_instance(convert: StepResult | None) -> dict[str, str]:
    files = convert.details.get("files") if convert else None
    listed = files if isinstance(files, Mapping) else {}
    return {uid: path for path, uids in listed.items() for uid in uids}


def _quality(qc: StepResult | None, uids: Sequence[str]) -> tuple[int | None, str | None]:
    """The verdict on one instance where there is one row for each, else on the series."""
    if qc is None or qc.state != "done":
        return None, None
    images: Any = qc.details["images"]
    own = [image for image in images if image["uid"] in uids] if len(uids) == 1 else []
    if len(own) == 1:
        return own[0]["low"], own[0]["reason"]
    details: Any = qc.details
    return details["low_quality"], details["low_quality_reason"]


def _elements(series: SeriesRecord, group: Sequence[Instance], entries: Sequence[Entry]) -> Row:
    """The template's columns; an aggregate of level "series" is over all its frames."""
    return {entry.column: aggregated(_headers(series, group, entry), entry) for entry in entries}


def _headers(series: SeriesRecord, group: Sequence[Instance], entry: Entry) -> Sequence[Dataset]:
    if entry.agg == "first":
        return [group[0].header]
    whole = entry.level == "series" or len(group) == len(series.source.instances)
    return series.frame_headers if whole else [frame.header for frame in frames_of(group)]
