"""The elements of a plain Part 10 file in memory, read several times as fast as pydicom does.

Plain is little endian with no element of undefined length at the top level, as most files are. Of
any other, and wherever there is doubt, nothing is said: pydicom reads it. Values stay undecoded, as
pydicom leaves them.
"""

from struct import Struct
from typing import Any

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from listener.part10 import dataset_offset
from processor.headers import tag_of, text, values

_META_OFFSET = 132
_EXPLICIT = Struct("<HH2sH").unpack_from
_IMPLICIT = Struct("<HHL").unpack_from
_LENGTH = Struct("<L").unpack_from
_VRS = {vr.value.encode(): vr.value for vr in VR if len(vr.value) == 2}
_LONG = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)
_ITEMS = 0xFFFE

_SHORT = 128

_Elements = dict[BaseTag, DataElement | RawDataElement]
Known = dict[tuple[int, str | None, bytes | None], RawDataElement]
"""Short elements by tag, VR and value."""


def plain_header(contents: bytes, known: Known | None = None) -> FileDataset | None:
    """The dataset of a whole file as `pydicom.dcmread` would give it; None where it is not plain.

    Parameters
    ----------
    known : dict
        Elements of the files read so far: those that are the same take room once.

    Raises
    ------
    Exception
        What pydicom raises on character sets that do not exist.
    """
    start = dataset_offset(contents[:144])
    shared: Known = {} if known is None else known
    begins = 0 < start <= len(contents)
    meta = _elements(contents, _META_OFFSET, start, shared, implicit=False) if begins else None
    if not meta or any(tag.group != 2 for tag in meta):
        return None
    file_meta = FileMetaDataset(meta)
    file_meta.set_original_encoding(False, True, default_encoding)
    syntax = text(file_meta, "TransferSyntaxUID")
    implicit = syntax == ImplicitVRLittleEndian
    misnamed = contents[start + 4 : start + 6] in _VRS
    if (not implicit and syntax != ExplicitVRLittleEndian) or (implicit and misnamed):
        return None
    elements = _elements(contents, start, len(contents), shared, implicit=implicit)
    if not elements:
        return None
    header = FileDataset("", elements, contents[:128], file_meta, implicit, True)
    header.set_original_encoding(implicit, True, _encodings(header))
    return header


def _encodings(header: FileDataset) -> str | list[str]:
    if "SpecificCharacterSet" not in header:
        return default_encoding
    return convert_encodings(list(values(header, "SpecificCharacterSet")))


def _elements(
    contents: bytes, at: int, end: int, known: Known, *, implicit: bool
) -> _Elements | None:
    """What lies from `at` to `end`; None unless whole elements of known VRs fill it."""
    found: _Elements = {}
    while at < end:
        if end - at < 8:
            return None
        if implicit:
            vr = None
            group, element, length = _IMPLICIT(contents, at)
        else:
            group, element, code, length = _EXPLICIT(contents, at)
            vr = _VRS.get(code)
            if vr is None:
                return None
            if vr in _LONG:
                if end - at < 12:
                    return None
                (length,) = _LENGTH(contents, at + 8)
                at += 4
        at += 8
        if length > end - at or group in (0, _ITEMS):
            return None
        tag = tag_of(group << 16 | element)
        empty: Any = None if length else empty_value_for_VR(vr, raw=True)
        value = contents[at : at + length] or empty
        if length > _SHORT or vr == "SQ":
            found[tag] = RawDataElement(tag, vr, length, value, at, implicit, True)
        else:
            key = (tag, vr, value)
            shared = known.get(key)
            if shared is None:
                shared = RawDataElement(tag, vr, length, value, at, implicit, True)
                known[key] = shared
            found[tag] = shared
        at += length
    return found
