"""The header of a Part 10 file, as the rules need it. Pixel data is not touched."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from listener.errors import UnreadableInstance, UnusableInstance
from listener.identity import (
    DEFLATED_SYNTAXES,
    PARSE_ERRORS,
    Identity,
    identity_of,
    inflated_beginning,
)
from listener.part10 import ASSOCIATION_CREATOR_UID, Origin, Part10File, dataset_offset

Value = str | float
_LONGEST_VALUE = 1024
_META_BYTES = 1 << 10
_HEADER_BYTES = 1 << 24


@dataclass(frozen=True)
class Header:
    """What the elements before the pixel data say, with the file meta's account of the origin.

    Attributes
    ----------
    values
        DICOM keyword to its values as text or number. Empty and binary elements,
        sequences and values beyond 1,024 characters are left out.
    """

    identity: Identity
    transfer_syntax_uid: str
    origin: Origin
    values: Mapping[str, tuple[Value, ...]]

    def text(self, keyword: str) -> str:
        """The element as DICOM writes it; empty where it is absent."""
        return "\\".join(_shown(value) for value in self.values.get(keyword, ()))

    def number(self, keyword: str) -> int | None:
        """The element's first value as an integer; None where it is absent or no number."""
        try:
            return int(float(self.values[keyword][0]))
        except (KeyError, ValueError, OverflowError):
            return None


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


Look = Callable[[Dataset], Mapping[str, tuple[Value, ...]]]
"""Finds further values, such as those of private elements, under names of its own."""


def read_header(path: Path, look: Look | None = None) -> Header:
    """Read the header of a Part 10 file; the pixel data is not touched.

    Parameters
    ----------
    path
        The file.
    look
        Asked for values beyond those of the standard elements; they are added to `values`.

    Raises
    ------
    UnreadableInstance
        The file is not Part 10, breaks off before its UIDs, or has an unsafe UID.
    """
    try:
        meta, dataset = _read(path)
        return Header(
            identity_of(dataset),
            str(meta.get("TransferSyntaxUID", "")),
            _origin(meta),
            _values(dataset) | dict(look(dataset) if look else {}),
        )
    except UnusableInstance as error:
        raise UnreadableInstance(str(error)) from error
    except PARSE_ERRORS as error:
        raise UnreadableInstance(f"{type(error).__name__} while reading the header") from error


def _read(path: Path) -> tuple[Dataset, Dataset]:
    """File meta and the elements before the pixel data."""
    with Part10File(path) as file:
        beginning = file.read(_META_BYTES)
        if not any(syntax.encode() in beginning for syntax in DEFLATED_SYNTAXES):
            file.seek(0)
            dataset = dcmread(file, stop_before_pixels=True)
            return dataset.file_meta, dataset
        # pydicom would inflate all of it.
        file.seek(dataset_offset(beginning))
        beginning = inflated_beginning(file.read(_HEADER_BYTES), _HEADER_BYTES)
    source = BytesIO(beginning)
    return read_file_meta_info(path), read_dataset(source, False, True, stop_when=_is_pixel_data)


def _is_pixel_data(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001
    return tag in (0x7FE00008, 0x7FE00009, 0x7FE00010)


def _origin(meta: Dataset) -> Origin:
    ours = meta.get("PrivateInformationCreatorUID") == ASSOCIATION_CREATOR_UID
    identifier = cast("bytes", meta.get("PrivateInformation", b"")) if ours else b""
    return Origin(
        _title(meta.get("SendingApplicationEntityTitle", "")),
        _title(meta.get("ReceivingApplicationEntityTitle", "")),
        identifier.rstrip(b"\0 ").decode("ascii", "replace"),
    )


def _title(value: object) -> str:
    """An AE title; with a backslash in it, which is forbidden and sent, pydicom makes two."""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)


def _values(dataset: Dataset) -> dict[str, tuple[Value, ...]]:
    """Each standard element with plain values; one bad element costs only itself."""
    values: dict[str, tuple[Value, ...]] = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating a Dataset parses every element at once
        try:
            element = dataset[tag]
            plain = (
                plain_values(element.value) if element.keyword and element.VR not in _BULK else ()
            )
        except PARSE_ERRORS:
            continue
        if plain:
            values[element.keyword] = plain
    return values


_BULK = frozenset({"SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW", "UT", "UC"})


def plain_values(value: object) -> tuple[Value, ...]:
    """A value of pydicom's as text and numbers; nothing where it is empty or too long."""
    items = list(value) if isinstance(value, MultiValue | list) else [value]
    plain = tuple(
        float(item) if isinstance(item, int | float) else str(item)
        for item in items
        if item not in (None, "")
    )
    return plain if sum(len(str(item)) for item in plain) <= _LONGEST_VALUE else ()
