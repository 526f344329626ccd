"""Tables of rows: as JSON beside each job's workbook, and as CSV and Parquet.

A table may be iterated again and again: what merges the rows of many jobs reads them from their
files each time, so that no more than one job's rows are in memory.
"""

import csv
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from processor.cells import Cell, Row
from processor.errors import RowsError
from processor.publish import sync

SHEETS = ("DICOM_Metadata", "Series_Summary")
ROWS_FILE = "metadata.json"
SCHEMA = 1
_BATCH = 2000
# What XML 1.0 cannot hold: control characters and halves of surrogate pairs.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d+([.]\d*)?([eE][+-]?\d+)?")

Tables = Mapping[str, Iterable[Row]]


@dataclass(frozen=True)
class RecordedTable:
    """The rows of one sheet in the `metadata.json` of many jobs."""

    paths: Sequence[Path]
    title: str

    def __iter__(self) -> Iterator[Row]:
        """Each row; raises `RowsError` for a file that is not what `write_rows` writes."""
        for path in self.paths:
            yield from read_rows(path).get(self.title, ())


@dataclass(frozen=True)
class TypedTable:
    """A table that says itself which columns it has, so that its rows are read only once.

    Attributes
    ----------
    kinds
        Column to "bool", "int", "float" or "str", in their order.
    rows
        Reads them from the first one on.
    """

    kinds: Mapping[str, str]
    rows: Callable[[], Iterator[Row]]

    def __iter__(self) -> Iterator[Row]:
        """Each row."""
        return self.rows()


def recorded_tables(paths: Sequence[Path]) -> Tables:
    """The sheets of the workbook of many jobs, in their order, from the rows files of each."""
    return {title: RecordedTable(paths, title) for title in SHEETS}


def write_rows(path: Path, tables: Tables) -> None:
    """Write tables as JSON, so that they can be merged without reading DICOM again."""
    content = {"schema": SCHEMA, **{title: list(rows) for title, rows in tables.items()}}
    path.write_text(json.dumps(content, ensure_ascii=True) + "\n", encoding="utf-8")


def read_rows(path: Path) -> Mapping[str, list[Row]]:
    """What `write_rows` wrote.

    Raises
    ------
    RowsError
        The file holds something else, or is cut off; its name is told, never a value.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise RowsError(f"{path}: no JSON, or cut off") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise RowsError(f"{path}: expected tables of schema {SCHEMA}")
    return {title: content.get(title, []) for title in SHEETS}


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """The columns of a table: as it says, else in the order in which rows first name them."""
    if isinstance(rows, TypedTable):
        return tuple(rows.kinds)
    return tuple(dict.fromkeys(column for row in rows for column in row))


def printable(value: str) -> str:
    r"""Text without control characters and halves of surrogate pairs.

    >>> printable("a\x07b")
    'ab'
    """
    return _UNWRITABLE.sub("", value)


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write a table as CSV (RFC 4180, UTF-8 with the mark that spreadsheets look for)."""
    columns = columns_of(rows)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([inert(column) for column in columns])
        writer.writerows([inert(row.get(column)) for column in columns] for row in rows)


def inert(value: Cell) -> Cell:
    """A CSV field that no spreadsheet takes for a formula: an apostrophe goes before such text.

    >>> inert("=1+1"), inert("-1.5"), inert(-1.5)
    ("'=1+1", '-1.5', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    looks = text.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if looks else text


def write_parquet(path: Path, rows: Iterable[Row]) -> None:
    """Write a table as Parquet: a column of one type has it, one of mixed types is text."""
    import pyarrow as pa  # noqa: PLC0415 - 40 MB of memory that only this format needs
    from pyarrow import parquet  # noqa: PLC0415

    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}
    kinds = column_kinds(rows)
    schema: Any = pa.schema([(column, types[kind]) for column, kind in kinds.items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            cells = [
                {name: _typed(row.get(name), kind) for name, kind in kinds.items()} for row in batch
            ]
            writer.write_table(pa.Table.from_pylist(cells, schema))


def column_kinds(rows: Iterable[Row]) -> dict[str, str]:
    """For each column "bool", "int", "float" or "str": what holds all of its values."""
    if isinstance(rows, TypedTable):
        return dict(rows.kinds)
    found: dict[str, set[str]] = {}
    for row in rows:
        for column, value in row.items():
            kinds = found.setdefault(column, set())
            if value is not None:
                kinds.add(_kind_of(value))
    return {column: _kind(kinds) for column, kinds in found.items()}


def _kind_of(value: Cell) -> str:
    """Whole numbers that 64 bits cannot hold are text, as in a workbook."""
    too_large = isinstance(value, int) and not -(1 << 63) <= value < 1 << 63
    return "str" if too_large else type(value).__name__


def _kind(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    return "float" if kinds == {"int", "float"} else "str"


def _typed(value: Cell, kind: str) -> Cell:
    if value is None:
        return None
    if kind == "str":
        return printable(str(value))
    return float(value) if kind == "float" else value


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


FORMATS = {"csv": write_csv, "parquet": write_parquet}


def write_beside(book: Path, tables: Tables, formats: Iterable[str]) -> list[Path]:
    """Write each table in each format beside a workbook: `metadata.Series_Summary.csv`.

    Returns
    -------
    list of Path
        What was written; readers see each old or new, never a part.
    """
    written = []
    for name in formats:
        for title, rows in tables.items():
            path = book.with_name(f"{book.stem}.{title}.{name}")
            with replacing(path) as temporary:
                FORMATS[name](temporary, rows)
            written.append(path)
    return written


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path`, durably, once the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o640)
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)
