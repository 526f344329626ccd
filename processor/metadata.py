"""The metadata processor: the workbook of a series and its rows as JSON. It runs last."""

from collections.abc import Mapping
from dataclasses import dataclass

from processor import options
from processor.headers import text
from processor.model import JobContext, StepResult
from processor.publish import output_of
from processor.rows import metadata_rows, summary_row
from processor.templates import template_for
from processor.workbook import ROWS_FILE, WORKBOOK_FILE, write_rows, write_workbook


@dataclass(frozen=True)
class Metadata:
    """`metadata.xlsx` with DICOM_Metadata and Series_Summary. It has no options."""

    name: str = "metadata"
    version: str = "1"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError`: metadata has no options."""
        options.check(self.name, (), given)

    def run(self, job: JobContext) -> StepResult:
        """Write the tables from the template of the series' modality."""
        modality = text(job.source.first_header(), "Modality")
        entries = template_for(modality, job.request.settings.templates)
        tables = {
            "DICOM_Metadata": metadata_rows(job, entries),
            "Series_Summary": [summary_row(job)],
        }
        book, rows = job.folder / WORKBOOK_FILE, job.folder / ROWS_FILE
        write_workbook(book, tables)
        write_rows(rows, tables)
        count = len(tables["DICOM_Metadata"])
        return StepResult(
            "metadata",
            "done",
            f"{count} row{'s' if count != 1 else ''}, {len(entries)} columns",
            {"rows": count, "columns": len(entries)},
            (output_of(book, job.folder, "workbook"), output_of(rows, job.folder, "rows")),
        )
