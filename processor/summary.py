"""The row of Series_Summary: what a series is, whether it is whole, and what became of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from processor.cells import Cell, Row, cell_of
from processor.geometry import SPACING_TOLERANCE
from processor.rows import SeriesRecord
from processor.series_checks import check_headers

_SEED_COLUMNS = ("Modality", "SeriesDescription", "PatientID", "AccessionNumber", "StudyDate")
_NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber")


def summary_row(series: SeriesRecord) -> Row:
    """The seed's columns first, then identity, completeness, geometry, outputs and quality."""
    header = series.source.first_header()
    qc = series.details_of("qc")
    checks = qc.get("header") or check_headers(series.source, series.facts)
    return {
        "SeriesFolder": series.folder,
        "FileCount": series.source.file_count,
        **{keyword: cell_of(header, keyword) for keyword in (*_SEED_COLUMNS, *_NAMES)},
        "Revision": series.revision,
        "Rule": series.rule,
        **_completeness(series),
        **_geometry(series, checks),
        **_outputs(series),
        "qc_mode": _cell(qc.get("qc_mode")),
        "low_quality": _cell(qc.get("low_quality")),
        "low_quality_ratio": _cell(qc.get("low_quality_ratio")),
        "Low_quality_reason": _cell(qc.get("low_quality_reason")),
        **_measures(qc),
    }


def _measures(qc: Mapping[str, Any]) -> Row:
    """What the measures of the modality say, and why others say nothing."""
    found = {f"qc_{name}": _cell(value) for name, value in qc.get("measures", {}).items()}
    reasons = [f"{name}: {why}" for name, why in qc.get("not_measurable", {}).items()]
    return {**found, "qc_not_measurable": "; ".join(reasons) or None}


def _completeness(series: SeriesRecord) -> Row:
    facts = series.facts
    return {
        "InstancesReceived": _cell(facts.get("instances", series.source.file_count)),
        "InstancesExpected": _cell(facts.get("instances_expected")),
        "UnreadableFiles": len(series.source.findings),
        "Completeness": _cell(facts.get("grade")),
        "Evidence": _cell(facts.get("evidence")),
        "CallingAE": _cell(facts.get("calling_ae")),
    }


def _geometry(series: SeriesRecord, checks: Mapping[str, Any]) -> Row:
    convert = series.details_of("convert")
    placed = "orientations" in checks
    return {
        "Stacks": checks.get("orientations"),
        "Volumes": _volumes(convert),
        "Shape": _cell(convert.get("shape")),
        "Spacing": _cell(convert.get("spacing_mm")),
        "standardOrientation": checks.get("standard_orientation"),
        "obliquityDeg": checks.get("obliquity_degrees"),
        "isSingleOrientation": checks["orientations"] == 1 if placed else None,
        "isEvenlySpaced": _is_even(checks["spacing_range_mm"]) if placed else None,
        "hasUniquePositions": checks["duplicate_positions"] == 0 if placed else None,
        "hasAllPositions": checks["missing_positions"] == 0 if placed else None,
        "MissingPositions": checks["missing_positions"] if placed else None,
        "DuplicatePositions": checks["duplicate_positions"] if placed else None,
        "MissingInstanceNumbers": checks.get("missing_instance_numbers"),
        "TransferSyntaxes": "; ".join(checks.get("transfer_syntaxes", ())),
    }


def _is_even(spacing_range_mm: list[float]) -> bool:
    """Whether the gaps between positions are equal within the tolerance of conversion."""
    if not spacing_range_mm:
        return True
    low, high = spacing_range_mm
    return bool(high - low <= SPACING_TOLERANCE * high)


def _volumes(convert: Mapping[str, Any]) -> int | None:
    """The time points of one file, else the number of files; None where that tells too little."""
    shape: Sequence[int] = convert.get("shape") or ()
    files = convert.get("files") or ()
    if len(files) == 1 and len(shape) > 2:
        return int(shape[3]) if len(shape) > 3 else 1
    return len(files) if files and len(shape) == 3 else None


def _outputs(series: SeriesRecord) -> Row:
    convert = series.result_of("convert")
    details = series.details_of("convert")
    verification = details.get("verification") or {}
    return {
        "Engine": _cell(details.get("engine")),
        "Conversion": convert.summary if convert else None,
        "Outputs": "; ".join(out.path for step in series.steps for out in step.outputs),
        "FramesVerified": verification.get("matched"),
        "FramesInSource": verification.get("frames"),
    }


def _cell(value: object) -> Cell:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return " x ".join(str(item) for item in value)
    return str(value)
