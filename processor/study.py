"""What is made of a study once its series are done: its workbook and its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from processor.cells import Cell
from processor.report import REPORT_FILE, ReportedStudy, write_report
from processor.reported import ReportedSeries, read_folders
from processor.workbook import WORKBOOK_FILE, merge_workbooks


@dataclass(frozen=True)
class StudyResults:
    """The results of a study.

    Attributes
    ----------
    folder : Path
        Where its workbook and report go.
    series : tuple of Path
        The published folders of its series.
    others : tuple of ReportedSeries
        Series without results.
    header : mapping
        Elements of the study by keyword, as far as they are known otherwise.
    """

    folder: Path
    series: tuple[Path, ...]
    others: Sequence[ReportedSeries] = ()
    header: Mapping[str, Cell] = field(default_factory=dict)


def write_study(study: StudyResults, mr_clean: Path | None) -> Path:
    """Write the workbook and the report of a study, each atomically; return the workbook.

    Parameters
    ----------
    mr_clean : Path or None
        Rules of MR normalisation in place of those shipped.

    Raises
    ------
    RowsError
        A folder holds something else than what was published.
    MrConfigError
        The rules of MR normalisation are wrong.
    """
    series = (*read_folders(study.series), *study.others)
    write_report(study.folder / REPORT_FILE, ReportedStudy.of(series, study.header))
    return merge_workbooks(study.series, study.folder / WORKBOOK_FILE, mr_clean)
