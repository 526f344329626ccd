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

from pydicom import config, uid
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
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


_tag = lru_cache(maxsize=1024)(Tag)  # pydicom looks a keyword up anew each time


def _own_value(header: Dataset, key: str | int) -> Any:
    try:
        tag = _tag(key)
        if tag not in header:
            return None
        value = header[tag].value
    except _UNDECODABLE:
        return None
    empty = value is None or (isinstance(value, (str, bytes, MultiValue, list)) and not value)
    return None if empty else value


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
    value = element_value(header, key)
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (MultiValue, list, tuple)) else (value,)


def text(header: Dataset, key: str | int) -> str:
    r"""The value as DICOM writes it (several joined by ``\``), "" when there is none."""
    return "\\".join("" if item is None else str(item) for item in values(header, key)).strip()


def numbers(header: Dataset, key: str | int) -> tuple[float, ...]:
    """Every value as a number, () when one of them is not."""
    try:
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
