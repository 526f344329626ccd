"""Reads a list of accession numbers from a text, CSV or Excel file."""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from query.errors import InvalidKey
from query.keys import StudyCriteria
from safelight.errors import ListError

_HEADING = re.compile(r"accession[\s_]*(number|no\.?|nr\.?|#)?", re.IGNORECASE)
_DELIMITERS = ",;\t"
_READERS_SAY = (zipfile.BadZipFile, KeyError, ValueError, OSError)

Numbered = tuple[int, str]
"""An accession number with the row it stands in, from 1."""


def read_list(path: Path) -> tuple[str, ...]:
    """Read the accession numbers of a file, each once, in its order.

    A ``.txt`` file has one in each line; lines that begin with ``#`` are comments. A ``.csv`` or
    ``.xlsx`` file has them in the column with the heading AccessionNumber, or in its only column.

    Raises
    ------
    ListError
        The file cannot be read, has no such column, or a row holds no accession number.
    """
    reader = {".txt": _text, ".csv": _csv, ".xlsx": _excel}.get(path.suffix.lower())
    if reader is None:
        raise ListError(f"{path.name}: expected a .txt, .csv or .xlsx file")
    try:
        return checked(reader(path), path.name)
    except OSError as error:
        raise ListError(f"{path.name}: cannot be read: {error.strerror}") from error


def checked(numbers: Iterable[Numbered], source: str) -> tuple[str, ...]:
    """The accession numbers, each once, when all of them are some.

    Raises
    ------
    ListError
        One is none, by its row and never by its value; or there is none at all.
    """
    found: dict[str, None] = {}
    for row, number in numbers:
        try:
            StudyCriteria(accession_number=number)
        except InvalidKey as error:
            raise ListError(f"{source}: row {row}: {error}") from None
        found[number] = None
    if not found:
        raise ListError(f"{source}: there is no accession number in it")
    return tuple(found)


def _text(path: Path) -> Iterator[Numbered]:
    for row, line in enumerate(_decoded(path).splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield row, line.strip()


def _csv(path: Path) -> Iterator[Numbered]:
    text = _decoded(path)
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    return _column(list(csv.reader(io.StringIO(text), delimiter=delimiter)), path.name)


def _excel(path: Path) -> Iterator[Numbered]:
    from openpyxl import load_workbook  # noqa: PLC0415 - it takes long, and few lists need it
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    try:
        workbook = load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, *_READERS_SAY) as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise ListError(f"{path.name}: is no Excel workbook") from error
    try:
        rows = [[_cell(value) for value in row] for row in workbook.worksheets[0].values]
    finally:
        workbook.close()
    return _column(rows, path.name)


def _decoded(path: Path) -> str:
    """Text as UTF-8, or as GB18030: what Excel writes in China, and harmless to ASCII."""
    raw = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ListError(f"{path.name}: is no text in UTF-8 or GB18030")


def _cell(value: object) -> str:
    """A cell as it is seen: Excel keeps a number of digits as a number."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _column(rows: Sequence[Sequence[str]], source: str) -> Iterator[Numbered]:
    """The column of accession numbers, without its heading and without empty cells."""
    heading = [cell.strip() for cell in rows[0]] if rows else []
    places = [place for place, cell in enumerate(heading) if _HEADING.fullmatch(cell)]
    if not places and max(map(len, rows), default=0) > 1:
        raise ListError(f"{source}: no column has the heading AccessionNumber")
    place, begin = (places[0], 1) if places else (0, 0)
    for row, cells in enumerate(rows[begin:], start=begin + 1):
        number = cells[place].strip() if place < len(cells) else ""
        if number:
            yield row, number
