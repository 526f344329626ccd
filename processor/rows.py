"""The rows of the metadata tables, made from headers and the results of earlier steps."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from processor.diffusion import b_value_of
from processor.headers import text, values
from processor.model import JobContext, StepResult
from processor.source import Instance
from processor.templates import Aggregate, Entry

Cell = str | int | float | None
Row = dict[str, Cell]

ONE_ROW_AN_INSTANCE = frozenset({"DX", "DR", "CR", "MG"})
_NUMERIC = frozenset({"DS", "IS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})


def metadata_rows(job: JobContext, entries: Sequence[Entry]) -> list[Row]:
    """The rows of DICOM_Metadata: one for the series, or one for each instance.

    One row an instance for DX, DR, CR and MG, and where an entry has level "instance".
    """
    instances = job.source.instances
    if not instances:
        return []
    each = text(instances[0].header, "Modality") in ONE_ROW_AN_INSTANCE
    if each or any(entry.level == "instance" for entry in entries):
        groups: list[Sequence[Instance]] = [(instance,) for instance in instances]
    else:
        groups = [instances]
    files = _file_of_instance(job.result_of("convert"))
    return [
        _identity(job, group, index, files) | _elements(group, entries)
        for index, group in enumerate(groups)
    ]


def _identity(
    job: JobContext, group: Sequence[Instance], index: int, files: Mapping[str, str]
) -> Row:
    uids = [instance.uid for instance in group]
    names = sorted({files[uid] for uid in uids if uid in files})
    low, reason = _quality(job.result_of("qc"), uids)
    published = [str(PurePosixPath(job.published) / name) for name in names]
    return {
        "SeriesFolder": str(job.published),
        "FileName": published[0] if published else None,
        "SampleFileName": group[0].path.name,
        "FileIndex": index + 1,
        "TotalFilesInSeries": job.source.file_count,
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


def _elements(group: Sequence[Instance], entries: Sequence[Entry]) -> Row:
    headers = [instance.header for instance in group]
    return {entry.column: aggregated(headers, entry) for entry in entries}


def aggregated(headers: Sequence[Dataset], entry: Entry) -> Cell:
    """One cell from the values of several headers, by the entry's aggregate."""
    if entry.agg == "first":
        return cell_of(headers[0], entry.key)
    found = [
        cell for cell in (cell_of(header, entry.key) for header in headers) if cell is not None
    ]
    return _AGGREGATES[entry.agg](found)


def _distinct(found: Sequence[Cell]) -> Cell:
    seen = list(dict.fromkeys(found))
    return seen[0] if len(seen) == 1 else "; ".join(map(str, seen)) or None


def _min_max(found: Sequence[Cell]) -> Cell:
    measured = [cell for cell in found if isinstance(cell, int | float)]
    if not measured:
        return None
    return f"{min(measured):g} to {max(measured):g}"


_AGGREGATES: Mapping[Aggregate, Callable[[Sequence[Cell]], Cell]] = MappingProxyType(
    {"distinct": _distinct, "min_max": _min_max, "count": lambda found: len(set(found))}
)


def cell_of(header: Dataset, key: int | str) -> Cell:
    r"""An element as a cell: a number where its VR is numeric and it has one value, else text.

    Several values are joined by ``\`` as in DICOM; sequences and missing elements are empty.
    """
    if key == "b_value":
        return b_value_of(header)
    found = values(header, key)
    if not found or isinstance(found[0], Dataset):
        return None
    if isinstance(found[0], bytes):
        return _printable(found[0])
    if len(found) == 1 and _vr(header, key) in _NUMERIC:
        return _number(found[0])
    return text(header, key)


def _vr(header: Dataset, key: int | str) -> str:
    if key in header:
        return str(header[key].VR)
    try:
        return dictionary_VR(key)
    except KeyError:
        return ""


def _number(value: object) -> Cell:
    try:
        measured = float(str(value))
    except ValueError:
        return str(value)
    return int(measured) if measured.is_integer() else measured


def _printable(value: bytes) -> str:
    shown = value.rstrip(b"\0 ").decode("ascii", "replace")
    return shown if shown.isprintable() and "\ufffd" not in shown else f"{len(value)} bytes"


def summary_row(job: JobContext) -> Row:
    """The row of Series_Summary: what the series is and what became of it."""
    header = job.source.first_header()
    facts, request = job.request.facts, job.request
    convert, qc = _details(job.result_of("convert")), _details(job.result_of("qc"))
    checks: Any = qc.get("header", {})
    verification: Any = convert.get("verification", {})
    outputs = [output.path for step in job.earlier for output in step.outputs]
    return {
        "SeriesFolder": str(job.published),
        "FileCount": job.source.file_count,
        **{keyword: cell_of(header, keyword) for keyword in _SEED_COLUMNS},
        "StudyInstanceUID": request.study_uid,
        "SeriesInstanceUID": request.series_uid,
        "SeriesNumber": cell_of(header, "SeriesNumber"),
        "Revision": request.revision,
        "Rule": request.rule,
        "InstancesReceived": _cell(facts.get("instances", job.source.file_count)),
        "InstancesExpected": _cell(facts.get("instances_expected")),
        "Completeness": _cell(facts.get("grade")),
        "Evidence": _cell(facts.get("evidence")),
        "CallingAE": _cell(facts.get("calling_ae")),
        "Stacks": checks.get("orientations"),
        "Shape": _cell(convert.get("shape")),
        "Spacing": _cell(convert.get("spacing_mm")),
        "obliquityDeg": checks.get("obliquity_degrees"),
        "MissingPositions": checks.get("missing_positions"),
        "DuplicatePositions": checks.get("duplicate_positions"),
        "MissingInstanceNumbers": checks.get("missing_instance_numbers"),
        "TransferSyntaxes": "; ".join(
            sorted({instance.transfer_syntax for instance in job.source.instances})
        ),
        "Engine": _cell(convert.get("engine")),
        "Conversion": _words(job.result_of("convert")),
        "Outputs": "; ".join(outputs),
        "FramesVerified": verification.get("matched"),
        "FramesInSource": verification.get("frames"),
        "qc_mode": _cell(qc.get("qc_mode")),
        "low_quality": _cell(qc.get("low_quality")),
        "low_quality_ratio": _cell(qc.get("low_quality_ratio")),
        "Low_quality_reason": _cell(qc.get("low_quality_reason")),
    }


_SEED_COLUMNS = ("Modality", "SeriesDescription", "PatientID", "AccessionNumber", "StudyDate")


def _details(step: StepResult | None) -> Mapping[str, object]:
    return step.details if step else {}


def _words(step: StepResult | None) -> str | None:
    return step.summary if step else None


def _cell(value: object) -> Cell:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return " x ".join(str(item) for item in value)
    return str(value)
