"""What a report says of series: read from their published folders, without the DICOM.

A series that has no results, because a rule left it out or its job failed, is told of by whoever
knows of it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from processor.cells import Cell
from processor.errors import RowsError
from processor.publish import MANIFEST, published_result
from processor.tables import ROWS_FILE, read_rows
from processor.words import GRADE_WORDS, NO_VOLUME, PROCESSOR_WORDS, count

Tone = Literal["good", "warn", "bad", "calm"]

_FACTS = ("grade", "evidence", "instances", "instances_expected")


@dataclass(frozen=True)
class ReportedStep:
    """What one processor said, and what it published."""

    processor: str
    state: str
    summary: str
    outputs: tuple[tuple[str, str, int], ...] = ()  # path, kind, bytes


@dataclass(frozen=True)
class Remark:
    """One thing a person should know of a series."""

    tone: Tone
    text: str


@dataclass(frozen=True)
class ReportedSeries:
    """One series of a report.

    Attributes
    ----------
    header : mapping
        Elements by keyword, as the metadata table has them; empty without that table.
    instances, expected : int or None
        How many were received, and how many the PACS or the headers told of.
    grade, evidence : str
        How sure it is that the series is whole (`listener.series.Grade`), and why.
    remark : Remark or None
        Why there are no results, where there are none.
    folder : Path or None
        The published folder.
    frames : tuple of int or None
        Verified frames and frames in the source; None where nothing was converted.
    quality : mapping
        The details of quality control.
    """

    study_uid: str
    series_uid: str
    header: Mapping[str, Cell] = field(default_factory=dict)
    instances: int = 0
    expected: int | None = None
    grade: str = ""
    evidence: str = ""
    remark: Remark | None = None
    folder: Path | None = None
    revision: int = 1
    rule: str = ""
    steps: tuple[ReportedStep, ...] = ()
    frames: tuple[int, int] | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its number and description."""
        number = self.header.get("SeriesNumber")
        description = self.header.get("SeriesDescription") or "without description"
        return f"{number} {description}" if number not in (None, "") else str(description)

    @property
    def missing(self) -> int:
        """How many instances are known to be missing."""
        return max(0, (self.expected or 0) - self.instances)

    @property
    def completeness(self) -> str:
        """In words, with the evidence."""
        if self.missing:
            word = "incomplete"
        elif self.grade:
            word = GRADE_WORDS.get(self.grade, self.grade)
        else:
            return "not judged"
        return f"{word}: {self.evidence}" if self.evidence else word

    @property
    def is_low_quality(self) -> bool:
        """Whether quality control calls it low; objects without images are not judged by that."""
        return bool(self.quality.get("low_quality")) and not self._has_no_volume

    @property
    def _has_no_volume(self) -> bool:
        """Whether it is of objects without images, such as reports."""
        convert = self.step("convert")
        return convert is not None and NO_VOLUME in convert.summary

    def step(self, processor: str) -> ReportedStep | None:
        """What a processor said; None where it did not run."""
        return next((step for step in self.steps if step.processor == processor), None)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What a person should know, the worst first."""
        found = [self.remark] if self.remark is not None else []
        if self.missing:
            expected = count(self.expected or 0, "instance")
            found.append(Remark("bad", f"{self.missing:,} of {expected} missing"))
        elif self.grade == "forced":
            found.append(Remark("warn", self.completeness))
        found += [remark for step in self.steps for remark in _step_remarks(step)]
        if self.is_low_quality:
            found.append(Remark("warn", f"low quality: {self.quality['low_quality_reason']}"))
        return tuple(sorted(found, key=lambda remark: remark.tone != "bad"))


def _step_remarks(step: ReportedStep) -> Iterator[Remark]:
    word = PROCESSOR_WORDS.get(step.processor, step.processor)
    if step.state == "failed":
        yield Remark("bad", f"{word} failed: {step.summary}")
    elif step.state == "refused" and step.processor == "convert" and NO_VOLUME not in step.summary:
        yield Remark("warn", step.summary)


def read_series(folder: Path) -> ReportedSeries | None:
    """What is published in a folder.

    Returns
    -------
    ReportedSeries or None
        None where the folder has no manifest.

    Raises
    ------
    RowsError
        Its manifest or its table is not what was published.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        result = published_result(folder.parent, Path(folder.name), manifest["key"])
        if result is None:
            return None
        facts = {name: manifest.get("facts", {}).get(name) for name in _FACTS}
        expected = facts["instances_expected"]
        details = {step.processor: step.details for step in result.steps}
        return ReportedSeries(
            manifest["study_uid"],
            manifest["series_uid"],
            header=_header(folder),
            instances=int(facts["instances"] or 0),
            expected=None if expected is None else int(expected),
            grade=facts["grade"] or "",
            evidence=facts["evidence"] or "",
            folder=folder,
            revision=int(manifest["revision"]),
            rule=manifest["rule"],
            steps=tuple(
                ReportedStep(
                    step.processor,
                    step.state,
                    step.summary,
                    tuple((one.path, one.kind, one.bytes) for one in step.outputs),
                )
                for step in result.steps
            ),
            frames=_frames(details.get("convert", {})),
            quality=_lean(details["qc"]) if details.get("qc") else {},
        )
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, LookupError, TypeError, ValueError):
        raise RowsError(f"{folder.name}: its {MANIFEST} is not what was published") from None


def read_folders(folders: Sequence[Path]) -> tuple[ReportedSeries, ...]:
    """What is published in folders, each revision of a series taking the place of earlier ones."""
    latest: dict[tuple[str, str, str], ReportedSeries] = {}
    for folder in folders:
        one = read_series(folder)
        if one is not None:
            key = one.study_uid, one.series_uid, one.rule
            known = latest.get(key)
            if known is None or known.revision <= one.revision:
                latest[key] = one
    return tuple(latest.values())


def _header(folder: Path) -> Mapping[str, Cell]:
    """The first row of the metadata table, which has the elements of the series."""
    path = folder / ROWS_FILE
    if not path.exists():
        return {}
    rows = read_rows(path)["DICOM_Metadata"]
    return rows[0] if rows else {}


def _frames(details: Mapping[str, Any]) -> tuple[int, int] | None:
    verification = details.get("verification")
    if not isinstance(verification, Mapping):
        return None
    return int(verification["matched"]), int(verification["frames"])


def _lean(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of quality control what a report shows: the images that are low, not every image."""
    if not details:
        return {}
    images = details.get("images", ())
    low = [image for image in images if image.get("low")]
    kept = {name: value for name, value in details.items() if name not in ("images", "header")}
    return {**kept, "judged": len(images), "low_images": low[:20], "low_count": len(low)}
