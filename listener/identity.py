"""Who an instance is: its UIDs, found in the first bytes of its dataset."""

import re
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from listener.elements import find_elements
from listener.errors import MismatchedInstance, UnusableInstance

PARSE_ERRORS = (
    *(EOFError, InvalidDicomError, NotImplementedError, RecursionError, ValueError, TypeError),
    *(LookupError, AttributeError, ArithmeticError, struct.error),
)
"""What pydicom raises on damaged data."""

DEFLATED_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)
"""The transfer syntaxes whose whole dataset is deflated (PS3.5 A.5, A.7, A.9)."""

_UID_PATTERN = re.compile(r"[0-9]+(\.[0-9]+)*")
_INFLATE_LIMIT = 1 << 20
_BOMB_BYTES = 1 << 26
_BOMB_RATIO = 100


@dataclass(frozen=True)
class Identity:
    """The four UIDs that say what an instance is and where it belongs."""

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    SOPClassUID: str


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
    if transfer_syntax_uid in DEFLATED_SYNTAXES:
        beginning = inflated_beginning(beginning)
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
            if syntax in DEFLATED_SYNTAXES:
                source = BytesIO(inflated_beginning(file.read(_INFLATE_LIMIT)))
            head = read_dataset(
                source,
                is_implicit_VR=syntax.is_implicit_VR,
                is_little_endian=syntax.is_little_endian,
                stop_when=_is_after_series_uid,
                specific_tags=[BaseTag(tag) for tag in _IDENTITY_TAGS],
            )
        return identity_of(head)
    except UnusableInstance:
        raise
    except PARSE_ERRORS as error:
        raise UnusableInstance("the first elements of the dataset cannot be parsed") from error


# SOP class, SOP instance, study, series; in the order they stand in.
_IDENTITY_TAGS = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
_WANTED = frozenset(_IDENTITY_TAGS)


def identity_of(dataset: Dataset) -> Identity:
    """The UIDs of a dataset; raises `UnusableInstance` as `read_identity` does."""
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


def inflated_beginning(deflated: bytes | memoryview, limit: int = _INFLATE_LIMIT) -> bytes:
    """At most `limit` bytes of an inflated dataset; what is behind them is not inflated.

    Raises
    ------
    UnusableInstance
        It cannot be inflated.
    """
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, limit)
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
