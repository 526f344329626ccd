"""The metadata processor: the workbook of a series and its rows as JSON. It runs last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from processor import options
from processor.cells import Row
from processor.findings import MR_FINDINGS
from processor.headers import text
from processor.model import JobContext, Output, StepResult
from processor.mr_clean.config import load_config
from processor.mr_sheet import TITLE, with_cleaned
from processor.publish import output_of
from processor.rows import SeriesRecord, metadata_rows, record_of
from processor.summary import summary_row
from processor.tables import ROWS_FILE, Tables, write_beside, write_rows
from processor.templates import Entry, template_for
from processor.workbook import WORKBOOK_FILE, write_workbook

FORMATS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "csv": ("csv",),
    "parquet": ("parquet",),
    "both": ("csv", "parquet"),
}
OPTIONS = (options.choice("tables", "none", FORMATS),)


@dataclass(frozen=True)
class Metadata:
    """`metadata.xlsx` with DICOM_Metadata, Series_Summary and, of MR, MR_Cleaned.

    Options: `tables` ("none", "csv", "parquet" or "both"), what is written beside it.
    """

    name: str = "metadata"
    version: str = "3"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError` for a wrong option."""
        options.check(self.name, OPTIONS, given)

    def run(self, job: JobContext) -> StepResult:
        """Write the tables from the template of the series' modality."""
        series = record_of(job)
        entries = entries_for(series, job.request.settings.templates)
        tables = tables_of(series, entries)
        sheets = with_cleaned(tables, load_config(job.request.settings.mr_clean))
        book, rows = job.folder / WORKBOOK_FILE, job.folder / ROWS_FILE
        write_workbook(book, sheets)
        write_rows(rows, tables)
        formats = FORMATS[str(options.value_of(OPTIONS, job.options, "tables"))]
        beside = write_beside(book, sheets, formats)
        count = len(tables["DICOM_Metadata"])
        return StepResult(
            "metadata",
            "done",
            f"{count} row{'s' if count != 1 else ''}, {len(entries)} columns",
            {"rows": count, "columns": len(entries), **_mr_findings(sheets)},
            (
                output_of(book, job.folder, "workbook"),
                output_of(rows, job.folder, "rows"),
                *(_table_output(path, job.folder) for path in beside),
            ),
        )


def _mr_findings(sheets: Tables) -> Mapping[str, object]:
    """What later rules can ask for of an MR series."""
    cleaned = next(iter(sheets.get(TITLE, ())), None)
    return {} if cleaned is None else {name: cleaned[name] for name in MR_FINDINGS}


def _table_output(path: Path, folder: Path) -> Output:
    return output_of(path, folder, path.suffix.removeprefix("."))


def entries_for(series: SeriesRecord, templates: Path | None) -> tuple[Entry, ...]:
    """The template for a series' modality, a site's own before the one shipped."""
    return template_for(text(series.source.first_header(), "Modality"), templates)


def tables_of(series: SeriesRecord, entries: Sequence[Entry]) -> dict[str, list[Row]]:
    """The rows of a series for each sheet that has them."""
    return {
        "DICOM_Metadata": metadata_rows(series, entries),
        "Series_Summary": [summary_row(series)],
    }
