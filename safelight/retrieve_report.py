"""What came of a retrieve list, for people: a table, a CSV file or an Excel workbook."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from ledger.retrieve_reader import RetrieveItemRow, RetrieveReader
from processor.tables import inert
from safelight.errors import ListError

Row = tuple[str | int, ...]

ITEM_HEADINGS = (
    *("AccessionNumber", "State", "Studies", "Series", "LeftOut", "Found", "Received", "Missing"),
    *("Outputs", "LowQualitySeries", "Tries", "Reason"),
)
_SERIES_HEADINGS = (
    *("AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality"),
    *("SeriesDescription", "Found", "Received", "Missing", "LeftOutBy", "Doubt"),
)
_MISSING_HEADINGS = (
    *("AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
)
_WIDEST = 60


def item_row(item: RetrieveItemRow) -> Row:
    """One line of the report."""
    return (
        *(item.accession_number, item.state, item.studies, item.series, item.left_out),
        *(item.found, item.received, item.missing, item.outputs, item.low_quality),
        *(item.tries, item.reason),
    )


def write_report(reader: RetrieveReader, list_id: int, target: Path) -> None:
    """Write the report of a list.

    A ``.csv`` file has a line for each accession number; an ``.xlsx`` workbook a second sheet of
    the series and a third that names each missing instance.

    Raises
    ------
    NotInLedger
        There is no such list.
    ListError
        `target` has another suffix, or cannot be written.
    """
    reader.one_list(list_id)
    items = reader.items(list_id)
    writers = {".csv": _write_csv, ".xlsx": _write_excel}
    writer = writers.get(target.suffix.lower())
    if writer is None:
        raise ListError(f"{target.name}: expected a .csv or .xlsx file")
    try:
        writer(target, reader, items)
    except OSError as error:
        raise ListError(f"{target.name}: cannot be written: {error.strerror}") from error


def _write_csv(target: Path, reader: RetrieveReader, items: Sequence[RetrieveItemRow]) -> None:
    del reader
    # Excel takes a file without the mark for one in its own character set.
    with target.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(ITEM_HEADINGS)
        writer.writerows(map(inert, item_row(item)) for item in items)


def _write_excel(target: Path, reader: RetrieveReader, items: Sequence[RetrieveItemRow]) -> None:
    workbook = Workbook()
    workbook.remove(workbook.worksheets[0])
    _sheet(workbook, "Accession numbers", ITEM_HEADINGS, map(item_row, items))
    _sheet(workbook, "Series", _SERIES_HEADINGS, _series_rows(reader, items))
    _sheet(workbook, "Missing", _MISSING_HEADINGS, _missing_rows(reader, items))
    workbook.save(target)


def _sheet(workbook: Workbook, title: str, headings: Sequence[str], rows: Iterable[Row]) -> None:
    sheet = workbook.create_sheet(title)
    sheet.append(headings)
    widths = [len(heading) for heading in headings]
    for row in rows:
        sheet.append([inert(cell) for cell in row])
        widths = [max(a, len(str(b))) for a, b in zip(widths, row, strict=True)]
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    for place, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(place)].width = min(width, _WIDEST) + 2
    sheet.freeze_panes = "A2"


def _series_rows(reader: RetrieveReader, items: Sequence[RetrieveItemRow]) -> Iterator[Row]:
    for item in items:
        for one in reader.series(item.id):
            yield (
                *(item.accession_number, one.StudyInstanceUID, one.SeriesInstanceUID),
                "" if one.SeriesNumber is None else one.SeriesNumber,
                *(one.Modality, one.SeriesDescription),
                "" if one.expected is None else one.expected,
                *(one.received, len(one.missing), one.left_out, one.doubt),
            )


def _missing_rows(reader: RetrieveReader, items: Sequence[RetrieveItemRow]) -> Iterator[Row]:
    for item in items:
        for one in reader.series(item.id):
            for uid in one.missing:
                yield item.accession_number, one.StudyInstanceUID, one.SeriesInstanceUID, uid
