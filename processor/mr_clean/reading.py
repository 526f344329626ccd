"""Reads cells of anyone's table: missing, numbers, text, lists, several values in one text.

Whatever stands in a cell, reading it raises nothing.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from functools import lru_cache

from pydicom.datadict import dictionary_description, dictionary_has_tag

Row = Mapping[str, object]

READ = frozenset(
    {
        *("AcquisitionContrast", "AcquisitionDate", "AcquisitionDateTime", "AcquisitionTime"),
        *("AngioFlag", "b_value", "Columns", "ComplexImageComponent", "ContrastBolusAgent"),
        *("ContrastBolusStartTime", "DiffusionBValue", "EchoNumbers", "EchoTime"),
        *("EchoTrainLength", "FlipAngle", "FrameOfReferenceUID", "FrameType"),
        *("ImageOrientationPatient", "ImagePositionPatient", "ImageType", "InversionRecovery"),
        *("InversionTime", "MRAcquisitionType", "MagneticFieldStrength", "Manufacturer"),
        *("ManufacturerModelName", "Modality", "NominalInterval", "PixelSpacing"),
        *("ProtocolName", "PulseSequenceName", "RepetitionTime", "Rows", "SOPClassUID"),
        *("ScanOptions", "ScanningSequence", "SequenceName", "SequenceVariant", "SeriesDate"),
        *("SeriesDescription", "SeriesNumber", "SeriesTime", "SliceThickness"),
        *("SpectrallySelectedSuppression", "StudyDate", "StudyInstanceUID"),
        *("TemporalPositionIdentifier", "TriggerTime"),
    }
)
"""The columns that normalisation looks at; a table may have any of them, and others."""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _written(keyword: str) -> set[str]:
    """The plain forms of a keyword and of its name in the standard."""
    known = {dictionary_description(keyword)} if dictionary_has_tag(keyword) else set()
    return {_plain(name) for name in {keyword} | known}


_KEYWORDS: Mapping[str, str] = {plain: keyword for keyword in READ for plain in _written(keyword)}


def columns_read(names: Iterable[object]) -> dict[str, object]:
    """Which column each element is read from: that of its keyword, else one of its name.

    >>> columns_read(["Series Description", "image_type", "EchoTime", "Echo Time", "note"])
    {'SeriesDescription': 'Series Description', 'ImageType': 'image_type', 'EchoTime': 'EchoTime'}
    """
    listed = list(names)
    found: dict[str, object] = {}
    for name in listed:
        keyword = _KEYWORDS.get(_plain(str(name)))
        if keyword is not None:
            found.setdefault(keyword, keyword if keyword in listed else name)
    return found


_SEVERAL = re.compile(r"[\\;|]")
_GAUSS = 100.0  # what is larger is no magnet for people, in tesla
_WITHIN_QUOTES = re.compile(r"^[\[(]|[\])]$|['\"]")


def text_of(row: Row, column: str) -> str:
    """A cell as text; empty where it is missing or not a number (NaN).

    >>> text_of({"a": float("nan"), "b": 7.0}, "a"), text_of({"b": 7.0}, "b")
    ('', '7')
    """
    return _text(row.get(column))


def _text(value: object) -> str:
    if isinstance(value, str):
        text = value.strip()
        return "" if len(text) < 5 and text.lower() in ("nan", "none", "<na>", "nat") else text
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else ""
    if isinstance(value, Sequence):
        return "\\".join(filter(None, map(_text, value)))
    return "" if str(value) in ("<NA>", "NaT") else str(value)


def parts_of(row: Row, column: str) -> tuple[str, ...]:
    r"""The values of a cell that has several: separated as in DICOM, or a list, or one written out.

    >>> parts_of({"a": "ORIGINAL\\PRIMARY"}, "a"), parts_of({"a": "['M', 'ND']"}, "a")
    (('ORIGINAL', 'PRIMARY'), ('M', 'ND'))
    """
    return _parts(text_of(row, column))


@lru_cache(maxsize=65_536)
def _parts(text: str) -> tuple[str, ...]:
    if text.startswith(("[", "(")):
        text = _WITHIN_QUOTES.sub("", text).replace(",", "\\")
    return tuple(part.strip() for part in _SEVERAL.split(text) if part.strip())


def number_of(row: Row, column: str) -> float | None:
    """The first number of a cell; None where there is none.

    >>> number_of({"TE": "30; 60"}, "TE"), number_of({"TE": "a"}, "TE")
    (30.0, None)
    """
    found = numbers_of(row, column)
    return found[0] if found else None


def numbers_of(row: Row, column: str) -> tuple[float, ...]:
    """Every number of a cell, in order; what is none is passed over."""
    value = row.get(column)
    if isinstance(value, float):
        return (value,) if math.isfinite(value) else ()
    return _numbers(text_of(row, column))


@lru_cache(maxsize=65_536)
def _numbers(text: str) -> tuple[float, ...]:
    return tuple(number for part in _parts(text) if (number := _number(part)) is not None)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def tesla_of(row: Row) -> float | None:
    """The field strength in tesla; some scanners write it in gauss."""
    value = number_of(row, "MagneticFieldStrength")
    if value is None or value <= 0:
        return None
    return value / 10_000 if value > _GAUSS else value


def began_at(row: Row) -> datetime | None:
    """When the acquisition began, by its date and time, else by those of the series or study.

    Returns
    -------
    datetime or None
        None where no time is told. Without a date it is of the first day there is.
    """
    whole = _digits(text_of(row, "AcquisitionDateTime"))
    if len(whole) >= 12:
        return _joined(whole[:8], whole[8:])
    day = next(
        (
            digits[:8]
            for column in ("AcquisitionDate", "SeriesDate", "StudyDate")
            if len(digits := _digits(text_of(row, column))) >= 8
        ),
        "00010101",
    )
    for column in ("AcquisitionTime", "SeriesTime"):
        clock = _digits(text_of(row, column))
        if clock:
            return _joined(day, clock)
    return None


def _digits(text: str) -> str:
    """The digits before a fraction; a number has lost its leading zeros in a spreadsheet."""
    whole, _, fraction = text.partition(".")
    digits = re.sub(r"\D", "", whole)
    if 0 < len(digits) < 6 and not text.startswith("0"):
        digits = digits.zfill(6)
    return digits + re.sub(r"\D.*", "", fraction)


def _joined(day: str, clock: str) -> datetime | None:
    try:
        date = datetime.strptime(day, "%Y%m%d")  # noqa: DTZ007 - scanners tell no zone
        moment = time(int(clock[:2]), int(clock[2:4] or 0), int(clock[4:6] or 0))
    except ValueError:
        return None
    fraction = float(f"0.{clock[6:]}") if clock[6:] else 0.0
    return datetime.combine(date, moment) + timedelta(seconds=fraction)
