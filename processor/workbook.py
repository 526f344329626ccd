"""Workbooks: tables of rows written as .xlsx whose cells are only ever values, never formulas.

Rows go to the file as they come, so the memory needed does not grow with their number.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from processor.cells import Cell, Row
from processor.mr_clean.config import load_config
from processor.mr_sheet import with_cleaned
from processor.tables import ROWS_FILE, Tables, columns_of, printable, recorded_tables, replacing

WORKBOOK_FILE = "metadata.xlsx"

LONGEST = 32_767
CUT_MARK = " [cut]"
SHEET_ROWS = 1_048_575  # below the one of headings
_LARGEST_EXACT = 1 << 53
_LOOKS_ACTIVE = ("=", "+", "-", "@")


def write_workbook(path: Path, tables: Tables) -> None:
    """Write one sheet for each table; columns in the order in which rows first name them.

    Rows that a sheet cannot hold go on in a further one, `DICOM_Metadata_2`.
    """
    with Workbook(path, {"constant_memory": True}) as book:
        bold, quoted = book.add_format({"bold": True}), book.add_format()
        quoted.set_quote_prefix()
        for title, rows in tables.items():
            columns, remaining = columns_of(rows), iter(rows)
            first = next(remaining, None)
            _fill(book.add_worksheet(title), columns, _part(first, remaining), (bold, quoted))
            number = 2
            while (first := next(remaining, None)) is not None:
                sheet = book.add_worksheet(f"{title}_{number}")
                _fill(sheet, columns, _part(first, remaining), (bold, quoted))
                number += 1


def _part(first: Row | None, remaining: Iterator[Row]) -> Iterator[Row]:
    """As many rows as a sheet holds, of which the first was taken already."""
    if first is not None:
        yield first
        yield from islice(remaining, SHEET_ROWS - 1)


def _fill(
    sheet: Worksheet, columns: Sequence[str], rows: Iterable[Row], formats: tuple[Format, Format]
) -> None:
    bold, quoted = formats
    sheet.freeze_panes(1, 0)
    for at, column in enumerate(columns):
        sheet.write_string(0, at, str(safe_value(column)), bold)
    for number, row in enumerate(rows, 1):
        for at, column in enumerate(columns):
            _write(sheet, number, at, safe_value(row.get(column)), quoted)


def _write(sheet: Worksheet, row: int, column: int, value: Cell, quoted: Format) -> None:
    if isinstance(value, str):
        sheet.write_string(row, column, value, quoted if value.startswith(_LOOKS_ACTIVE) else None)
    elif isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif value is not None:
        sheet.write_number(row, column, value)


def safe_value(value: Cell) -> Cell:
    r"""A value a workbook can hold: control characters stripped, long text cut and marked.

    Numbers that it cannot hold exactly, or not at all, are text. The limit counts UTF-16 units.

    >>> safe_value("a\x07b")
    'ab'
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        return str(value)
    if not isinstance(value, str):
        return value
    clean = printable(value)
    return clean if _units(clean) <= LONGEST else _cut(clean) + CUT_MARK


def _units(text: str) -> int:
    """How many UTF-16 units a text has, which is what spreadsheets count."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _cut(text: str) -> str:
    kept = text.encode("utf-16-le")[: 2 * (LONGEST - len(CUT_MARK))]
    return kept.decode("utf-16-le", "ignore")


def merge_workbooks(folders: Sequence[Path], out: Path, mr_clean: Path | None = None) -> Path:
    """Write one workbook from the rows of many job folders, atomically.

    Parameters
    ----------
    folders : sequence of Path
        Published job folders; those without rows (no metadata step) are passed over.
    out : Path
        The workbook; readers see the old one or the new one, never a part.
    mr_clean : Path, optional
        Rules of MR normalisation in place of those shipped.

    Raises
    ------
    RowsError
        The rows of a folder cannot be read.
    MrConfigError
        The rules of MR normalisation are wrong.
    """
    config = load_config(mr_clean)
    paths = [path for folder in folders if (path := folder / ROWS_FILE).exists()]
    with replacing(out) as temporary:
        write_workbook(temporary, with_cleaned(recorded_tables(paths), config))
    return out
