"""Part 10 files: file meta in, identity and header out. Pixel data is never decoded here."""

import logging
import re
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import BinaryIO, cast

import pydicom.config
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from listener.elements import find_elements
from listener.errors import MismatchedInstance, UnreadableInstance, UnusableInstance

IMPLEMENTATION_CLASS_UID = UID("2.25.228931457163120186290183516271954338561")
IMPLEMENTATION_VERSION = "SAFELIGHT_0_1"
ASSOCIATION_CREATOR_UID = UID("2.25.330216484613519872063450131976210446713")
"""(0002,0100) of our files; (0002,0102) then holds the association's identifier."""

_PREAMBLE = b"\0" * 128 + b"DICM"
_UID_PATTERN = re.compile(r"[0-9]+(\.[0-9]+)*")
_INFLATE_LIMIT = 1 << 20
_BOMB_BYTES = 1 << 26
_BOMB_RATIO = 100
_LONGEST_VALUE = 1024

Value = str | float


@dataclass(frozen=True)
class Identity:
    """The four UIDs that say what an instance is and where it belongs."""

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    SOPClassUID: str


@dataclass(frozen=True)
class Origin:
    """How an instance came: AE titles and the association's identifier."""

    calling_ae: str
    called_ae: str
    association_id: str


def silence_dicom_libraries() -> None:
    """Keep values of elements out of logs and warnings of pydicom and pynetdicom.

    Their messages quote what they could not parse, which may be a patient's name.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
    for name in ("pydicom", "pynetdicom"):
        library = logging.getLogger(name)
        library.handlers = [logging.NullHandler()]
        library.propagate = False


def require_uid(value: object, keyword: str) -> str:
    """`value` as a UID that is safe as a file name (PS3.5 9.1).

    Components with leading zeros exist in the field and are let pass.

    Raises
    ------
    UnusableInstance
        Empty, longer than 64 characters, or not digits and single dots.
    """
    uid = str(value or "").rstrip("\0 ")
    if len(uid) > 64 or not _UID_PATTERN.fullmatch(uid):
        problem = "missing" if not uid else "not a valid UID"
        raise UnusableInstance(f"{keyword} is {problem}")
    return uid


def read_identity(beginning: bytes | memoryview, transfer_syntax_uid: str) -> Identity | None:
    """The UIDs of an encoded dataset, from its first bytes.

    Parameters
    ----------
    beginning
        The dataset as it came over the network, undecoded, or its first part.
    transfer_syntax_uid
        How it is encoded.

    Returns
    -------
    Identity or None
        None where `beginning` does not reach far enough, or holds what only
        `read_identity_of_file` can read.

    Raises
    ------
    UnusableInstance
        A UID is missing or invalid.
    """
    if transfer_syntax_uid == ExplicitVRBigEndian:
        return None
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        beginning = _inflate_beginning(beginning)
    is_implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    found = find_elements(beginning, _WANTED, is_implicit=is_implicit)
    if found is None:
        return None
    uids = (found.get(tag, b"").decode("latin-1") for tag in _IDENTITY_TAGS)
    sop_class, sop_instance, study, series = uids
    return _identity(study, series, sop_instance, sop_class)


def read_identity_of_file(path: str, offset: int, transfer_syntax_uid: str) -> Identity:
    """The UIDs of the dataset that begins at `offset`, read by pydicom as far as they reach.

    Raises
    ------
    UnusableInstance
        A UID is missing or invalid, or the elements before it cannot be parsed.
    """
    syntax = UID(transfer_syntax_uid)
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the receive path keeps names as text
            file.seek(offset)
            source: BinaryIO = file
            if syntax == DeflatedExplicitVRLittleEndian:
                source = BytesIO(_inflate_beginning(file.read(_INFLATE_LIMIT)))
            head = read_dataset(
                source,
                is_implicit_VR=syntax.is_implicit_VR,
                is_little_endian=syntax.is_little_endian,
                stop_when=_is_after_series_uid,
                specific_tags=[BaseTag(tag) for tag in _IDENTITY_TAGS],
            )
    except _PARSE_ERRORS as error:
        raise UnusableInstance("the first elements of the dataset cannot be parsed") from error
    return _identity_of(head)


# SOP class, SOP instance, study, series; in the order they stand in.
_IDENTITY_TAGS = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
_WANTED = frozenset(_IDENTITY_TAGS)
# What pydicom raises on damaged data.
_PARSE_ERRORS = (EOFError, InvalidDicomError, NotImplementedError, RecursionError, ValueError)


def _identity_of(dataset: Dataset) -> Identity:
    return _identity(
        dataset.get("StudyInstanceUID"),
        dataset.get("SeriesInstanceUID"),
        dataset.get("SOPInstanceUID"),
        dataset.get("SOPClassUID"),
    )


def _identity(study: object, series: object, sop_instance: object, sop_class: object) -> Identity:
    return Identity(
        require_uid(study, "StudyInstanceUID"),
        require_uid(series, "SeriesInstanceUID"),
        require_uid(sop_instance, "SOPInstanceUID"),
        require_uid(sop_class, "SOPClassUID"),
    )


def _is_after_series_uid(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001
    return bool(tag > 0x0020000E)


def _inflate_beginning(deflated: bytes | memoryview) -> bytes:
    """At most 1 MiB of a deflated dataset: enough for the UIDs, too little for a bomb."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, _INFLATE_LIMIT)
    except zlib.error as error:
        raise UnusableInstance("the deflated dataset cannot be inflated") from error


def require_bounded_inflation(path: str, offset: int) -> None:
    """Raise `UnusableInstance` where a deflated dataset inflates beyond any use.

    That is over 64 MiB and over 100 times its size. It is inflated piece by piece and nothing
    of it is kept.
    """
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = 0
    with open(path, "rb") as file:  # noqa: PTH123 - the receive path keeps names as text
        size = file.seek(0, 2) - offset
        file.seek(offset)
        while piece := inflate.unconsumed_tail or file.read(_INFLATE_LIMIT):
            try:
                inflated += len(inflate.decompress(piece, _INFLATE_LIMIT))
            except zlib.error as error:
                raise UnusableInstance("the deflated dataset cannot be inflated") from error
            if inflated > max(_BOMB_BYTES, _BOMB_RATIO * size):
                raise UnusableInstance("the deflated dataset inflates beyond any use")
            if inflate.eof:
                return


def require_same_instance(identity: Identity, sop_class_uid: str, sop_instance_uid: str) -> None:
    """Raise `MismatchedInstance` where command and dataset differ (PS3.4 B.2.3, 0xA900)."""
    if (identity.SOPClassUID, identity.SOPInstanceUID) != (sop_class_uid, sop_instance_uid):
        raise MismatchedInstance("the C-STORE command and its dataset name different instances")


def encode_file_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, origin: Origin
) -> bytes:
    """Preamble, prefix and file meta information of a Part 10 file (PS3.10 7.1)."""
    body = b"".join(
        (
            b"\2\0\1\0OB\0\0\2\0\0\0\0\1",
            _meta(0x0002, b"UI", sop_class_uid, b"\0"),
            _meta(0x0003, b"UI", sop_instance_uid, b"\0"),
            _meta(0x0010, b"UI", transfer_syntax_uid, b"\0"),
            _meta(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _meta(0x0013, b"SH", IMPLEMENTATION_VERSION, b" "),
            _meta(0x0016, b"AE", origin.calling_ae, b" "),
            _meta(0x0017, b"AE", origin.calling_ae, b" "),
            _meta(0x0018, b"AE", origin.called_ae, b" "),
            _meta(0x0100, b"UI", ASSOCIATION_CREATOR_UID, b"\0"),
            b"\2\0\2\1OB\0\0" + _sized(origin.association_id, b"\0", "I"),
        )
    )
    return _PREAMBLE + b"\2\0\0\0UL\4\0" + len(body).to_bytes(4, "little") + body


def _meta(element: int, vr: bytes, text: str, padding: bytes) -> bytes:
    return pack("<HH2s", 2, element, vr) + _sized(text, padding, "H")


def _sized(text: str, padding: bytes, size: str) -> bytes:
    value = text.encode("latin-1", "replace")
    if len(value) % 2:
        value += padding
    return pack("<" + size, len(value)) + value


def dataset_offset(file: BinaryIO) -> int:
    """Where the dataset begins in a Part 10 file of ours: after the file meta group.

    The group length (0002,0000) is the first element and counts from its own end.
    """
    file.seek(len(_PREAMBLE) + 8)
    return len(_PREAMBLE) + 12 + int.from_bytes(file.read(4), "little")


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


def read_header(path: Path) -> Header:
    """Read the header of a Part 10 file; the pixel data is not touched.

    Raises
    ------
    UnreadableInstance
        The file is not Part 10, breaks off before its UIDs, or has an unsafe UID.
    """
    try:
        dataset = dcmread(path, stop_before_pixels=True)
        return Header(
            _identity_of(dataset),
            str(dataset.file_meta.get("TransferSyntaxUID", "")),
            _origin(dataset.file_meta),
            _plain_values(dataset),
        )
    except UnusableInstance as error:
        raise UnreadableInstance(str(error)) from error
    except _PARSE_ERRORS as error:
        raise UnreadableInstance(f"{type(error).__name__} while reading the header") from error


def _origin(meta: Dataset) -> Origin:
    ours = meta.get("PrivateInformationCreatorUID") == ASSOCIATION_CREATOR_UID
    identifier = cast("bytes", meta.get("PrivateInformation", b"")) if ours else b""
    return Origin(
        str(meta.get("SendingApplicationEntityTitle", "")),
        str(meta.get("ReceivingApplicationEntityTitle", "")),
        identifier.rstrip(b"\0 ").decode("ascii", "replace"),
    )


def _plain_values(dataset: Dataset) -> dict[str, tuple[Value, ...]]:
    """Each standard element with plain values; one bad element costs only itself."""
    values: dict[str, tuple[Value, ...]] = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating a Dataset parses every element at once
        try:
            element = dataset[tag]
            plain = _plain(element.value) if element.keyword and element.VR not in _BULK else ()
        except _PARSE_ERRORS:
            continue
        if plain:
            values[element.keyword] = plain
    return values


_BULK = frozenset({"SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW", "UT", "UC"})


def _plain(value: object) -> tuple[Value, ...]:
    items = list(value) if isinstance(value, MultiValue | list) else [value]
    plain = tuple(
        float(item) if isinstance(item, int | float) else str(item)
        for item in items
        if item not in (None, "")
    )
    return plain if sum(len(str(item)) for item in plain) <= _LONGEST_VALUE else ()
