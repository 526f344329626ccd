"""Turns the details of a step, which may be any JSON, into what a template can lay out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from processor.words import percent

SHOWN_AT_ONCE = 6

_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "std": "standard deviation (stored values)",
        "dynamic_range": "dynamic range (stored values)",
        "affine_ras": "affine (RAS, mm)",
        "lossy_ratio": "lossy compression, times smaller",
        "shape": "shape (voxels)",
        "border_level": "border level (share of the range)",
        "centre_level": "centre level (share of the range)",
        "unique_ratio": "distinct values (share)",
        "qc_mode": "images judged",
        "width": "width (pixels)",
        "height": "height (pixels)",
        "uid": "SOP Instance UID",
    }
)
_UNITS: Mapping[str, str] = MappingProxyType(
    {"_mm": "mm", "_degrees": "degrees", "_seconds": "s", "_voxel": "voxel", "_bytes": "bytes"}
)
_YES_NO = frozenset({"low", "low_quality"})
_ABSENT = "\N{EN DASH}"


@dataclass(frozen=True)
class Table:
    """Rows of text under their headings; no headings for a matrix."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Entry:
    """One labelled detail: a text, or a table.

    `long` says that it should be folded away at first.
    """

    label: str
    text: str = ""
    table: Table | None = None
    long: bool = False


def entries(details: Mapping[str, Any], prefix: str = "") -> tuple[Entry, ...]:
    """The details as labelled entries; nested ones carry the labels they are below.

    >>> entries({"spacing_mm": [0.5, 0.5, 2], "low_ratio": 0.25})[0]
    Entry(label='spacing (mm)', text='0.5, 0.5, 2', table=None, long=False)
    """
    found: list[Entry] = []
    for key, value in details.items():
        label = f"{prefix}{_label(key)}"
        if isinstance(value, Mapping):
            found += entries(value, f"{label}: ")
        else:
            found.append(_entry(key, label, value))
    return tuple(found)


def _entry(key: str, label: str, value: Any) -> Entry:
    if not isinstance(value, list):
        return Entry(label, _text(key, value))
    if value and all(isinstance(item, Mapping) for item in value):
        return Entry(label, table=_table(value), long=True)
    if value and all(isinstance(item, list) for item in value):
        rows = tuple(tuple(_text("", cell) for cell in row) for row in value)
        return Entry(label, table=Table((), rows), long=len(rows) > SHOWN_AT_ONCE)
    text = ", ".join(_text("", item) for item in value) or _ABSENT
    return Entry(label, text, long=len(value) > SHOWN_AT_ONCE)


def _table(records: Sequence[Mapping[str, Any]]) -> Table:
    flat = [_flat(record) for record in records]
    keys = tuple(dict.fromkeys(key for record in flat for key in record))
    rows = tuple(tuple(_text(key, record.get(key)) for key in keys) for record in flat)
    return Table(tuple(_label(key) for key in keys), rows)


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the entries of its inner records beside its own."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        flat |= _flat(value) if isinstance(value, Mapping) else {key: value}
    return flat


def _label(key: str) -> str:
    if key in _LABELS:
        return _LABELS[key]
    for ending, unit in _UNITS.items():
        if key.endswith(ending):
            return f"{key.removesuffix(ending).replace('_', ' ')} ({unit})"
    return key.replace("_", " ")


def _text(key: str, value: Any) -> str:
    if value is None or value == "":
        return _ABSENT
    if isinstance(value, bool) or key in _YES_NO:
        return "yes" if value else "no"
    if isinstance(value, int | float) and key.endswith("_ratio") and key not in _LABELS:
        return percent(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
