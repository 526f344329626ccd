"""Workbooks: tables of rows written as .xlsx whose cells are only ever values, never formulas."""

import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from processor.publish import sync
from processor.rows import Cell, Row

SHEETS = ("DICOM_Metadata", "Series_Summary")
ROWS_FILE = "metadata.json"
WORKBOOK_FILE = "metadata.xlsx"
SCHEMA = 1

LONGEST = 32_767
CUT_MARK = " [cut]"
# What XML 1.0 cannot hold: control characters and halves of surrogate pairs.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

Tables = Mapping[str, Sequence[Row]]


def write_workbook(path: Path, tables: Tables) -> None:
    """Write one sheet for each table; columns in the order in which rows first name them."""
    book = Workbook(write_only=True)
    for title, rows in tables.items():
        _fill(book.create_sheet(title), rows)
    book.save(path)


def _fill(sheet: WriteOnlyWorksheet, rows: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    sheet.freeze_panes = "A2"
    sheet.append([_cell(sheet, column, bold=True) for column in columns])
    for row in rows:
        sheet.append([_cell(sheet, row.get(column)) for column in columns])


def _cell(sheet: WriteOnlyWorksheet, value: Cell, *, bold: bool = False) -> object:
    safe = safe_value(value)
    cell = WriteOnlyCell(sheet, value=safe)
    if isinstance(safe, str):
        cell.data_type = "s"
        cell.quotePrefix = safe.startswith(("=", "+", "-", "@"))
    if bold:
        cell.font = Font(bold=True)
    return cell


def safe_value(value: Cell) -> Cell:
    r"""A value a workbook can hold: control characters stripped, long text cut and marked.

    >>> safe_value("a\x07b")
    'ab'
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if not isinstance(value, str):
        return value
    clean = _UNWRITABLE.sub("", value)
    return clean if len(clean) <= LONGEST else clean[: LONGEST - len(CUT_MARK)] + CUT_MARK


def write_rows(path: Path, tables: Tables) -> None:
    """Write the same tables as JSON, so that they can be merged without reading DICOM again."""
    content = {"schema": SCHEMA, **{title: list(rows) for title, rows in tables.items()}}
    path.write_text(json.dumps(content, ensure_ascii=True) + "\n", encoding="utf-8")


def merge_workbooks(folders: Sequence[Path], out: Path) -> Path:
    """Write one workbook from the rows of many job folders, atomically.

    Parameters
    ----------
    folders : sequence of Path
        Published job folders; those without rows (no metadata step) are passed over.
    out : Path
        The workbook; readers see the old one or the new one, never a part.
    """
    tables: dict[str, list[Row]] = {title: [] for title in SHEETS}
    for rows in _recorded(folders):
        for title in SHEETS:
            tables[title].extend(rows.get(title, []))
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.stem}-", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write_workbook(temporary, tables)
        temporary.chmod(0o640)
        sync(temporary)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    sync(out.parent)
    return out


def _recorded(folders: Sequence[Path]) -> Iterable[dict[str, list[Row]]]:
    for folder in folders:
        path = folder / ROWS_FILE
        if path.exists():
            yield json.loads(path.read_text(encoding="utf-8"))
