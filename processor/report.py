"""Reports as web pages of one file: a study with all its series, and a list of many studies.

A page needs nothing beside itself: pictures are in it, it has no script, and everything that comes
from headers is escaped.
"""

import base64
import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import jinja2
from PIL import Image

from processor.cells import Cell
from processor.publish import MANIFEST
from processor.reported import Remark, ReportedSeries, read_folders
from processor.tables import replacing
from processor.words import (
    KIND_WORDS,
    MEASURE_WORDS,
    PROCESSOR_WORDS,
    STEP_TONES,
    STEP_WORDS,
    count,
    dicom_date,
    percent,
    person_name,
    size,
)

REPORT_FILE = "report.html"
PICTURE_PIXELS = 640
_PAGES = Path(__file__).parent / "report_pages"
_TONES = ("bad", "warn")


@dataclass(frozen=True)
class ReportedStudy:
    """The series of one study, or of the studies of one accession number.

    Attributes
    ----------
    header : mapping
        Elements of the study by keyword, as far as they are known.
    """

    series: tuple[ReportedSeries, ...]
    header: Mapping[str, Cell]

    @classmethod
    def of(
        cls, series: Sequence[ReportedSeries], header: Mapping[str, Cell] | None = None
    ) -> "ReportedStudy":
        """That of series, in the order of their numbers; the first that has a header lends it."""
        lent = next((one.header for one in series if one.header), {})
        return cls(tuple(sorted(series, key=_number)), {**lent, **(header or {})})

    @property
    def uids(self) -> tuple[str, ...]:
        """The Study Instance UIDs."""
        return tuple(dict.fromkeys(one.study_uid for one in self.series))

    @property
    def patients(self) -> int:
        """How many patients: accession numbers are not unique everywhere, and name its folder."""
        told = {str(one.header.get("PatientID") or "") for one in self.series if one.header}
        return len(told)

    @property
    def modalities(self) -> str:
        """The modalities of the series."""
        found = {str(one.header.get("Modality") or "?") for one in self.series}
        return ", ".join(sorted(found))

    @property
    def instances(self) -> int:
        """How many instances were received; a series of two rules counts once."""
        return sum({(one.study_uid, one.series_uid): one.instances for one in self.series}.values())

    @property
    def missing(self) -> int:
        """How many instances are known to be missing."""
        return sum({(one.study_uid, one.series_uid): one.missing for one in self.series}.values())

    @property
    def frames(self) -> tuple[int, int]:
        """Verified frames, and frames in the source, of all conversions."""
        found = [one.frames for one in self.series if one.frames is not None]
        return sum(matched for matched, _ in found), sum(total for _, total in found)

    @property
    def low_quality(self) -> int:
        """How many series are low quality."""
        return sum(one.is_low_quality for one in self.series)

    @property
    def remarks(self) -> tuple[tuple[ReportedSeries, Remark], ...]:
        """What a person should look at, with its series, the worst first."""
        found = [
            (one, remark) for one in self.series for remark in one.remarks if remark.tone in _TONES
        ]
        return tuple(sorted(found, key=lambda pair: _TONES.index(pair[1].tone)))

    @property
    def tone(self) -> str:
        """The tone of its worst remark."""
        return self.remarks[0][1].tone if self.remarks else "good"


def write_report(out: Path, study: ReportedStudy) -> Path:
    """Write the page of a study, atomically: it has its series with all that is told of them."""
    return _write(out, "report.html", study=study, picture_of=_picture)


def write_batch_report(out: Path, studies: Sequence[ReportedStudy]) -> Path:
    """Write the page of many studies, atomically.

    It says of each what is to be looked at; links lead from its folder to their own reports.
    """
    links = {study.uids[0]: _link(study, out.parent) for study in studies}
    return _write(out, "batch.html", studies=studies, links=links)


def studies_below(results: Sequence[Path]) -> list[ReportedStudy]:
    """Every study below folders of results, by date and accession number.

    Raises
    ------
    RowsError
        A folder holds something else than what was published.
    """
    folders = sorted({folder for root in results for folder in _job_folders(root)})
    by_study: dict[str, list[ReportedSeries]] = {}
    for one in read_folders(folders):
        by_study.setdefault(one.study_uid, []).append(one)
    return sorted(map(ReportedStudy.of, by_study.values()), key=_study_order)


def _job_folders(results: Path) -> Iterator[Path]:
    """The folders with results of a job; what is hidden is work that is not published."""
    for name, inner, files in os.walk(results):
        inner[:] = [folder for folder in inner if not folder.startswith(".")]
        if MANIFEST in files:
            yield Path(name)
            inner.clear()


@cache
def style_digest() -> str:
    """The digest of the pages' style, as a Content-Security-Policy names it."""
    digest = hashlib.sha256(_style().encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@cache
def _style() -> str:
    return f"\n{(_PAGES / 'report.css').read_text(encoding='utf-8')}"


@cache
def _pages() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "dicom_date": dicom_date,
        "kind_word": lambda kind: KIND_WORDS.get(kind, kind),
        "measure_word": lambda name: MEASURE_WORDS.get(name, name),
        "percent": percent,
        "person_name": person_name,
        "processor_word": lambda name: PROCESSOR_WORDS.get(name, name),
        "size": size,
        "step_tone": lambda state: STEP_TONES.get(state, "calm"),
        "step_word": lambda state: STEP_WORDS.get(state, state),
    }
    return environment


def _write(out: Path, page: str, **shown: object) -> Path:
    stream = (
        _pages()
        .get_template(page)
        .stream(
            shown,
            style=_style(),
            made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=version("safelight"),
        )
    )
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(stream)
    return out


def _picture(one: ReportedSeries) -> str:
    """The preview of a series as a data URI, small enough to have many in a page."""
    step = one.step("preview")
    if step is None or not step.outputs or one.folder is None:
        return ""
    try:
        with Image.open(one.folder / step.outputs[0][0]) as image:
            image.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
            content = io.BytesIO()
            image.convert("L" if image.mode == "L" else "RGB").save(content, "JPEG", quality=85)
    except OSError:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def _number(one: ReportedSeries) -> tuple[float, str]:
    number = one.header.get("SeriesNumber")
    return float(number) if isinstance(number, int | float) else float("inf"), one.series_uid


def _study_order(study: ReportedStudy) -> tuple[str, str, str]:
    told = study.header
    return str(told.get("StudyDate", "")), str(told.get("AccessionNumber", "")), study.uids[0]


def _link(study: ReportedStudy, start: Path) -> str:
    """Where the report of a study is, seen from a folder; empty where it has none."""
    for one in study.series:
        if one.folder is not None and (one.folder.parent / REPORT_FILE).is_file():
            report = os.path.relpath(one.folder.parent / REPORT_FILE, start)
            return quote(Path(report).as_posix())
    return ""
