"""The metadata processor: the workbook of a series and its rows as JSON. It runs last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from processor import options
from processor.cells import Row
from processor.headers import text
from processor.model import JobContext, Output, StepResult
from processor.publish import output_of
from processor.rows import SeriesRecord, metadata_rows, record_of
from processor.summary import summary_row
from processor.tables import ROWS_FILE, write_beside, write_rows
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
    """`metadata.xlsx` with DICOM_Metadata and Series_Summary.

    Options: `tables` ("none", "csv", "parquet" or "both"), what is written beside it.
    """

    name: str = "metadata"
    version: str = "2"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError` for a wrong option."""
        options.check(self.name, OPTIONS, given)

    def run(self, job: JobContext) -> StepResult:
        """Write the tables from the template of the series' modality."""
        series = record_of(job)
        entries = entries_for(series, job.request.settings.templates)
        tables = tables_of(series, entries)
        book, rows = job.folder / WORKBOOK_FILE, job.folder / ROWS_FILE
        write_workbook(book, tables)
        write_rows(rows, tables)
        formats = FORMATS[str(options.value_of(OPTIONS, job.options, "tables"))]
        beside = write_beside(book, tables, formats)
        count = len(tables["DICOM_Metadata"])
        return StepResult(
            "metadata",
            "done",
            f"{count} row{'s' if count != 1 else ''}, {len(entries)} columns",
            {"rows": count, "columns": len(entries)},
            (
                output_of(book, job.folder, "workbook"),
                output_of(rows, job.folder, "rows"),
                *(_table_output(path, job.folder) for path in beside),
            ),
        )


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
