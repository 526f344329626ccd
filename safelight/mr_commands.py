"""The command ``mr-clean``: MR normalisation of anyone's table."""

import warnings
from collections import Counter
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import click
import pandas as pd

from processor.cells import Row
from processor.mr_clean import process_mri_dataframe
from processor.mr_clean.reading import columns_read
from processor.mr_sheet import TITLE
from processor.tables import replacing, write_csv
from processor.workbook import write_workbook
from safelight.errors import SafelightError

_SHEET = "DICOM_Metadata"
_READERS_SAY = (
    *(ValueError, KeyError, OSError, LookupError, BadZipFile),
    *(pd.errors.ParserError, pd.errors.ParserWarning),
)


class TableUnusable(SafelightError, ValueError):
    """A table cannot be read or written; the message says why, without values of it."""


def mr_clean(
    table: Path, out: Path | None, sheet: str | None, rules: Path | None, encoding: str
) -> None:
    """Write a table with the columns of MR normalisation, and say what was found.

    Raises
    ------
    TableUnusable
        It cannot be read, has no such sheet, no known column, or `out` is of another kind.
    MrConfigError
        The rules are wrong.
    """
    read = _read(table, sheet, encoding)
    if not columns_read(read.columns):
        raise TableUnusable(
            f"{table.name}: no column has a name that is known; the first row must name columns by "
            "DICOM keywords, such as SeriesDescription or ProtocolName"
        )
    target = out or table.with_name(f"{table.stem}_cleaned{table.suffix}")
    if target.suffix.lower() not in (".xlsx", ".csv"):
        raise TableUnusable(f"{target.name}: expected a .xlsx or .csv file")
    cleaned = process_mri_dataframe(read, config_path=rules)
    values = cleaned.astype(object).where(cleaned.notna(), None)
    rows: list[Row] = [{str(key): cell for key, cell in row.items()} for row in _records(values)]
    with replacing(target) as temporary:
        if target.suffix.lower() == ".csv":
            write_csv(temporary, rows)
        else:
            write_workbook(temporary, {TITLE: rows})
    for name, count in Counter(row["sequenceClass"] for row in rows).most_common():
        click.echo(f"{count:>7}  {name}")
    others = len(read) - len(rows)
    left = f"; {others} rows are of other modalities" if others else ""
    click.echo(f"{len(rows)} MR series in {target}{left}")


def _records(values: pd.DataFrame) -> list[dict[Any, Any]]:
    return values.to_dict("records")


def _read(table: Path, sheet: str | None, encoding: str) -> pd.DataFrame:
    """A table as text, so that nothing of it is changed; numbers are read where they are needed."""
    try:
        if table.suffix.lower() == ".csv":
            return _read_csv(table, encoding)
        if table.suffix.lower() == ".xlsx":
            with pd.ExcelFile(table, engine="openpyxl") as book:
                return pd.read_excel(book, sheet_name=_sheet_of(book, table, sheet), dtype=object)
    except _READERS_SAY as error:
        if isinstance(error, TableUnusable):
            raise
        raise TableUnusable(f"{table.name} cannot be read: {_reason(error)}") from None
    raise TableUnusable(f"{table.name}: expected a .xlsx or .csv file")


def _read_csv(table: Path, encoding: str) -> pd.DataFrame:
    """A CSV separated by comma, semicolon or tab, as its first line is."""
    with table.open(encoding=encoding) as file:
        header = file.readline()
    delimiter = max(",;\t", key=header.count)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            table,
            sep=delimiter,
            dtype=str,
            keep_default_na=False,
            encoding=encoding,
            index_col=False,
        )


def _reason(error: Exception) -> str:
    """Why a table cannot be read and what to do, without values of it."""
    if isinstance(error, pd.errors.EmptyDataError):
        return "it is empty"
    if isinstance(error, pd.errors.ParserError | pd.errors.ParserWarning):
        return "a row has more values than there are columns; quote values that hold the separator"
    if type(error) is LookupError:
        return "there is no such encoding"
    if isinstance(error, UnicodeError):
        return "its text is of another encoding; name it (--encoding gb18030), or save it as .xlsx"
    if isinstance(error, BadZipFile):
        return "it is no workbook"
    return type(error).__name__


def _sheet_of(book: pd.ExcelFile, table: Path, sheet: str | None) -> str:
    names = [str(name) for name in book.sheet_names]
    if sheet is None:
        return _SHEET if _SHEET in names else names[0]
    if sheet not in names:
        raise TableUnusable(f"{table.name}: no sheet {sheet!r}; it has {', '.join(names)}")
    return sheet
