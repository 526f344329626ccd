"""Reading header elements of any quality: a value of the asked type, or None. Decodes no pixels.

Elements of enhanced objects are found through the shared and then the first per-frame functional
groups (PS3.3 C.7.6.16).
"""

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from pydicom import config, uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

PROJECTION = frozenset({"CR", "DX", "DR", "MG", "XA", "RF", "IO", "PX", "US"})
"""The modalities whose images are projections or have no patient frame."""

_VOLUMES = frozenset(
    {
        uid.XRay3DAngiographicImageStorage,
        uid.XRay3DCraniofacialImageStorage,
        uid.BreastTomosynthesisImageStorage,
        uid.EnhancedUSVolumeStorage,
    }
)
_UNDECODABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
_SHORTS = {True: np.dtype("<u2"), False: np.dtype(">u2")}
_DECIMALS = frozenset({"DS", "IS"})
_SEVERAL_WORDS = frozenset({"CS", "UI"})
_WORDS = _SEVERAL_WORDS | {"SH", "LO"}
_FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@contextmanager
def quiet_reading() -> Iterator[None]:
    """Keep pydicom from warning about or logging values: they may be patient data."""
    logger = logging.getLogger("pydicom")
    before = config.settings.reading_validation_mode, logger.disabled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config.settings.reading_validation_mode = config.IGNORE
        logger.disabled = True
        try:
            yield
        finally:
            config.settings.reading_validation_mode, logger.disabled = before


def element_value(header: Dataset, key: str | int) -> Any:
    """The value of an element by keyword or tag; None when absent, empty or undecodable."""
    value = _own_value(header, key)
    return value if value is not None else _grouped_value(header, key)


_TAGS: dict[int, BaseTag] = {}


def tag_of(number: int) -> BaseTag:
    """The one object for a tag: a dictionary finds it without comparing, which pydicom's tags do
    in Python.
    """
    found = _TAGS.get(number)
    return found or _TAGS.setdefault(number, BaseTag(number))


@lru_cache(maxsize=4096)
def _tag(key: str | int) -> BaseTag:
    return tag_of(int(Tag(key)))


def _own_value(header: Dataset, key: str | int) -> Any:
    try:
        tag = _tag(key)
        if tag not in header.keys():  # noqa: SIM118 - a Dataset's own `in` is several times slower
            return None
        value = header[tag].value
    except _UNDECODABLE:
        return None
    empty = value is None or (isinstance(value, (str, bytes, MultiValue, list)) and not value)
    return None if empty else value


def _undecoded(header: Dataset, key: str | int) -> RawDataElement | None:
    """An element that pydicom has not decoded yet, which takes it far longer than ASCII needs."""
    try:
        tag = _tag(key)
        if tag not in header.keys():  # noqa: SIM118 - as above
            return None
        found = header.get_item(tag, keep_deferred=True)
    except _UNDECODABLE:
        return None
    return found if isinstance(found, RawDataElement) and found.value else None


@lru_cache(maxsize=1024)
def _ascii(value: bytes) -> str | None:
    """A value's text without padding, None where a character set matters."""
    plain = value.isascii() and b"\x1b" not in value
    return value.decode("ascii").rstrip("\0 ") if plain else None


@lru_cache(maxsize=1024)
def _decimals(value: bytes) -> tuple[float, ...] | None:
    """The numbers of a DS or IS, one object for all frames that have them; None if not ASCII."""
    plain = _ascii(value)
    return tuple(float(item) for item in plain.split("\\")) if plain else None


def _grouped_value(header: Dataset, key: str | int) -> Any:
    for keyword in _FUNCTIONAL_GROUPS:
        groups = _own_value(header, keyword)
        for macro in groups[0] if groups else ():
            value = _own_value(macro.value[0], key) if macro.VR == "SQ" and macro.value else None
            if value is not None:
                return value
    return None


def values(header: Dataset, key: str | int) -> tuple[Any, ...]:
    """Every value of an element, () when it is absent, empty or undecodable."""
    raw = _undecoded(header, key)
    if raw is not None and raw.VR in _WORDS:
        plain = _ascii(raw.value or b"")
        if plain and (raw.VR in _SEVERAL_WORDS or "\\" not in plain):
            return tuple(plain.split("\\"))
    value = element_value(header, key)
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (MultiValue, list, tuple)) else (value,)


def text(header: Dataset, key: str | int) -> str:
    r"""The value as DICOM writes it (several joined by ``\``), "" when there is none."""
    return "\\".join("" if item is None else str(item) for item in values(header, key)).strip()


def numbers(header: Dataset, key: str | int) -> tuple[float, ...]:
    """Every value as a number, () when one of them is not."""
    raw = _undecoded(header, key)
    try:
        if raw is not None and raw.VR in _DECIMALS:
            found = _decimals(raw.value or b"")
            if found is not None:
                return found
        if raw is not None and raw.VR == "US":
            return tuple(map(float, np.frombuffer(raw.value or b"", _SHORTS[raw.is_little_endian])))
        return tuple(float(item) for item in values(header, key))
    except (TypeError, ValueError):
        return ()


def number(header: Dataset, key: str | int) -> float | None:
    """The first value as a number, None when there is none."""
    found = numbers(header, key)
    return found[0] if found else None


def integer(header: Dataset, key: str | int, default: int = 0) -> int:
    """The first value as a whole number, else `default`."""
    found = number(header, key)
    return default if found is None else int(found)


def image_types(header: Dataset) -> tuple[str, ...]:
    """The values of ImageType in capitals."""
    return tuple(str(item).upper() for item in values(header, "ImageType"))


def is_projection(header: Dataset) -> bool:
    """Whether the image is a projection (or an ultrasound image), which has no place in space.

    Objects that are reconstructed volumes whatever their modality are none.
    """
    if text(header, "SOPClassUID") in _VOLUMES:
        return False
    return text(header, "Modality") in PROJECTION


def sop_class_name(header: Dataset) -> str:
    """The standard's name of the SOP class, the UID itself when it is private."""
    found = text(header, "SOPClassUID")
    return str(UID(found).name) if found else "an object without SOP class"


def private_numbers(header: Dataset, key: int) -> tuple[float, ...]:
    r"""The numbers of a private element, which implicit VR leaves as bytes.

    Those may be text (``b"500\\8"``) or binary floats, of 4 bytes or, if a multiple of 8, of 8.
    """
    value = element_value(header, key)
    if not isinstance(value, bytes):
        return numbers(header, key)
    try:
        return tuple(float(item) for item in value.decode("ascii").strip("\0 ").split("\\"))
    except ValueError:
        size = 8 if len(value) % 8 == 0 else 4
    if len(value) % size:
        return ()
    return struct.unpack(f"<{len(value) // size}{'d' if size == 8 else 'f'}", value)
