"""The cells of the metadata tables: an element of headers as a number or as text."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from processor.diffusion import b_value_of
from processor.headers import element_value, text, values
from processor.templates import Aggregate, Entry

Cell = str | int | float | None
Row = dict[str, Cell]

_NUMERIC = frozenset({"DS", "IS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})
_LARGEST_EXACT = 1 << 53  # whole numbers that a double, and so a workbook, can hold
_ENHANCED: Mapping[int, str] = MappingProxyType(
    {
        Tag(classic): enhanced
        for classic, enhanced in (
            ("EchoTime", "EffectiveEchoTime"),
            ("InversionTime", "InversionTimes"),
            ("ImagingFrequency", "TransmitterFrequency"),
            ("SAR", "SpecificAbsorptionRateValue"),
            ("XRayTubeCurrent", "XRayTubeCurrentInmA"),
            ("ExposureTime", "ExposureTimeInms"),
            ("Exposure", "ExposureInmAs"),
            ("Laterality", "FrameLaterality"),
            ("AcquisitionNumber", "FrameAcquisitionNumber"),
            ("AcquisitionDateTime", "FrameAcquisitionDateTime"),
        )
    }
)
"""What enhanced objects call elements of others, in the same unit (PS3.3 C.8.13 to C.8.15)."""
_DIRECTIONS = "DiffusionGradientDirectionSequence"


def aggregated(headers: Sequence[Dataset], entry: Entry) -> Cell:
    """One cell from the values of several headers, by the entry's aggregate."""
    if entry.agg == "first":
        return cell_of(headers[0], entry.key)
    found = [
        cell for cell in (cell_of(header, entry.key) for header in headers) if cell is not None
    ]
    return _AGGREGATES[entry.agg](found)


def _distinct(found: Sequence[Cell]) -> Cell:
    seen = list(dict.fromkeys(found))
    return seen[0] if len(seen) == 1 else "; ".join(map(str, seen)) or None


def _min_max(found: Sequence[Cell]) -> Cell:
    measured = [cell for cell in found if isinstance(cell, int | float)]
    if not measured:
        return None
    return f"{min(measured):g} to {max(measured):g}"


_AGGREGATES: Mapping[Aggregate, Callable[[Sequence[Cell]], Cell]] = MappingProxyType(
    {"distinct": _distinct, "min_max": _min_max, "count": lambda found: len(set(found))}
)


def cell_of(header: Dataset, key: int | str) -> Cell:
    r"""An element as a cell: a number where its VR is numeric and it has one value, else text.

    Several values are joined by ``\`` as in DICOM; sequences and missing elements are empty. An
    element an enhanced object has under another keyword is found there.
    """
    if key == "b_value":
        return b_value_of(header)
    found = _plain(_holder(header, key), key)
    enhanced = _ENHANCED.get(key) if found is None and isinstance(key, int) else None
    return found if enhanced is None else _plain(header, int(Tag(enhanced)))


def _holder(header: Dataset, key: int | str) -> Dataset:
    """The dataset that holds an element: the header, or the sequence within its diffusion macro."""
    if element_value(header, key) is not None:
        return header
    directions: Sequence[Dataset] = element_value(header, _DIRECTIONS) or ()
    return directions[0] if directions else header


def _plain(header: Dataset, key: int | str) -> Cell:
    found = values(header, key)
    if not found or isinstance(found[0], Dataset):
        return None
    if isinstance(found[0], bytes):
        return _printable(found[0])
    if len(found) == 1 and _vr(header, key) in _NUMERIC:
        return _number(found[0])
    return text(header, key)


def _vr(header: Dataset, key: int | str) -> str:
    if key in header:
        return str(header[key].VR)
    try:
        return dictionary_VR(key)
    except KeyError:
        return ""


def _number(value: object) -> Cell:
    """A number that a workbook holds exactly, else the text it was."""
    try:
        measured = float(str(value))
    except ValueError:
        return str(value)
    if not measured.is_integer():
        return measured
    return int(measured) if abs(measured) < _LARGEST_EXACT else str(value)


def _printable(value: bytes) -> str:
    shown = value.rstrip(b"\0 ").decode("ascii", "replace")
    return shown if shown.isprintable() and "\ufffd" not in shown else f"{len(value)} bytes"
