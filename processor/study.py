"""What is made of a study once its series are done: its workbook and its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from processor.cells import Cell
from processor.deidentify import NAME as DEIDENTIFY
from processor.names import study_folder_name
from processor.report import REPORT_FILE, ReportedStudy, write_report
from processor.reported import ReportedSeries, read_folders, read_series
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

    What was de-identified has its own, in the folder of the study that it says it is of.

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
    named, without_identity = _parted(study.series)
    for name, folders in without_identity.items():
        _write(StudyResults(study.folder.parent / name, folders), mr_clean)
    if not named and without_identity:
        return study.folder.parent / next(iter(without_identity)) / WORKBOOK_FILE
    return _write(replace(study, series=named), mr_clean)


def _write(study: StudyResults, mr_clean: Path | None) -> Path:
    series = (*read_folders(study.series), *study.others)
    write_report(study.folder / REPORT_FILE, ReportedStudy.of(series, study.header))
    return merge_workbooks(study.series, study.folder / WORKBOOK_FILE, mr_clean)


def _parted(
    folders: Sequence[Path],
) -> tuple[tuple[Path, ...], dict[str, tuple[Path, ...]]]:
    """The folders that say who the patient is, and those that do not by the name of their study.

    In one workbook they would tell of each other.
    """
    named: list[Path] = []
    hidden: dict[str, list[Path]] = {}
    accessions: dict[str, str] = {}
    for folder in folders:
        one = read_series(folder)
        if one is None or one.step(DEIDENTIFY) is None:
            named.append(folder)
            continue
        hidden.setdefault(one.study_uid, []).append(folder)
        accession = str(one.header.get("AccessionNumber") or "")
        accessions[one.study_uid] = accession or accessions.get(one.study_uid, "")
    studies: dict[str, tuple[Path, ...]] = {}
    for uid, found in hidden.items():
        name = study_folder_name(accessions[uid], uid)
        studies[name] = (*studies.get(name, ()), *found)
    return tuple(named), studies
