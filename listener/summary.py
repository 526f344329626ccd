"""The few elements of a Part 10 file that grouping and the ledger need, found without decoding it.

Every instance is looked at once on its way in, so this is fast: bytes of a known encoding are
walked, and whatever is unusual is left to `listener.header`.
"""

from collections.abc import Mapping
from pathlib import Path
from struct import pack

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from listener.elements import find_elements
from listener.errors import UnreadableInstance, UnusableInstance
from listener.header import Header, Value, plain_values, read_header
from listener.identity import DEFLATED_SYNTAXES, PARSE_ERRORS, Identity, require_uid
from listener.part10 import ASSOCIATION_CREATOR_UID, Origin, dataset_offset

SUMMARY_KEYWORDS = (
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"),
    *("StudyDate", "AccessionNumber", "Modality", "StudyDescription", "SeriesDescription"),
    *("PatientName", "PatientID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber"),
    *("ImagePositionPatient", "ImageOrientationPatient", "NumberOfTemporalPositions"),
    *("ImagesInAcquisition", "NumberOfFrames"),
)
"""What a summary holds, where the instance has it."""

_FIRST_LOOK_BYTES = 1 << 16
_LONGER_LOOK_BYTES = 1 << 20
_CHARACTER_SET = 0x00080005
_ESCAPE = 0x1B
# An element behind all others, where the bytes end with the last element.
_END = pack("<HH2sH", 0xFFFF, 0xFFFF, b"UI", 0)
_END_IMPLICIT = pack("<HHI", 0xFFFF, 0xFFFF, 0)


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None  # noqa: S101 - the keywords above are of the dictionary
    return tag


_TAGS = frozenset({_CHARACTER_SET, *map(_tag, SUMMARY_KEYWORDS)})
_VRS = {tag: dictionary_VR(tag) for tag in _TAGS}
_KEYWORDS = {tag: keyword_for_tag(tag) for tag in _TAGS}
_SYNTAX, _SENDING, _RECEIVING, _CREATOR, _ASSOCIATION = (
    *(0x00020010, 0x00020017, 0x00020018),
    *(0x00020100, 0x00020102),
)
_META_TAGS = frozenset({_SYNTAX, _SENDING, _RECEIVING, _CREATOR, _ASSOCIATION})


def read_summary(path: Path) -> Header:
    """Read the elements `SUMMARY_KEYWORDS` of a Part 10 file.

    Returns
    -------
    Header
        As `read_header` gives it, with these elements only.

    Raises
    ------
    UnreadableInstance
        The file is not Part 10, breaks off before its UIDs, or has an unsafe UID.
    """
    for size in (_FIRST_LOOK_BYTES, _LONGER_LOOK_BYTES):
        with path.open("rb", buffering=0) as file:
            beginning = file.read(size)
        summary = _summary(beginning, is_whole=len(beginning) < size)
        if summary is not None:
            return summary
        if len(beginning) < size:
            break
    header = read_header(path)
    values = {k: v for k, v in header.values.items() if k in SUMMARY_KEYWORDS}
    return Header(header.identity, header.transfer_syntax_uid, header.origin, values)


def _summary(beginning: bytes, *, is_whole: bool) -> Header | None:
    """The summary, or None where only `read_header` can read it, or more bytes are needed."""
    end = dataset_offset(beginning)
    meta = find_elements(beginning[132:end] + _END, _META_TAGS, is_implicit=False) or {}
    syntax = meta.get(_SYNTAX, b"").rstrip(b"\0 ").decode("latin-1")
    if not syntax or syntax == ExplicitVRBigEndian or syntax in DEFLATED_SYNTAXES:
        return None
    is_implicit = syntax == ImplicitVRLittleEndian
    dataset = memoryview(beginning)[end:]
    if is_whole:
        dataset = memoryview(bytes(dataset) + (_END_IMPLICIT if is_implicit else _END))
    found = find_elements(dataset, _TAGS, is_implicit=is_implicit)
    if found is None:
        return None
    values = _values(found, is_implicit=is_implicit)
    try:
        identity = _identity(values)
    except UnusableInstance as error:
        raise UnreadableInstance(str(error)) from error
    return Header(identity, syntax, _origin(meta), values)


def _identity(values: Mapping[str, tuple[Value, ...]]) -> Identity:
    return Identity(
        *(
            require_uid("\\".join(map(str, values.get(keyword, ()))), keyword)
            for keyword in SUMMARY_KEYWORDS[:4]
        )
    )


def _origin(meta: Mapping[int, bytes]) -> Origin:
    ours = meta.get(_CREATOR, b"").rstrip(b"\0") == ASSOCIATION_CREATOR_UID.encode()
    return Origin(
        meta.get(_SENDING, b"").decode("latin-1").strip("\0 "),
        meta.get(_RECEIVING, b"").decode("latin-1").strip("\0 "),
        meta.get(_ASSOCIATION, b"").rstrip(b"\0 ").decode("ascii", "replace") if ours else "",
    )


def _values(found: dict[int, bytes], *, is_implicit: bool) -> dict[str, tuple[Value, ...]]:
    character_set = found.pop(_CHARACTER_SET, b"")
    values: dict[str, tuple[Value, ...]] = {}
    for tag, raw in found.items():
        plain = _plain(raw, _VRS[tag])
        if plain is None:
            plain = _decoded(tag, raw, character_set, is_implicit=is_implicit)
        if plain:
            values[_KEYWORDS[tag]] = plain
    return values


def _plain(raw: bytes, vr: str) -> tuple[Value, ...] | None:
    """The values of an element in plain ASCII, as `plain_values` gives them; None if it is not."""
    if not raw.isascii() or _ESCAPE in raw:
        return None
    parts = (part.rstrip("\0 ") for part in raw.decode("ascii").rstrip("\0 ").split("\\"))
    filled = tuple(part for part in parts if part)
    if vr not in ("IS", "DS"):
        return filled
    try:
        return tuple(map(float, filled))
    except ValueError:
        return None


def _decoded(tag: int, raw: bytes, character_set: bytes, *, is_implicit: bool) -> tuple[Value, ...]:
    """The values of an element with other characters, by pydicom."""
    terms = [term.strip() for term in character_set.decode("ascii").rstrip("\0 ").split("\\")]
    raw_element = RawDataElement(Tag(tag), _VRS[tag], len(raw), raw, 0, is_implicit, True, True)
    try:
        return plain_values(
            convert_raw_data_element(raw_element, encoding=convert_encodings(terms)).value
        )
    except PARSE_ERRORS:  # one bad element costs only itself
        return ()
