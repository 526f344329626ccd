"""Part 10 files: the file meta information that goes before a dataset (PS3.10 7.1)."""

import io
import logging
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from struct import pack

import pydicom.config
from pydicom.uid import UID

IMPLEMENTATION_CLASS_UID = UID("2.25.228931457163120186290183516271954338561")
IMPLEMENTATION_VERSION = "SAFELIGHT_0_1"
ASSOCIATION_CREATOR_UID = UID("2.25.330216484613519872063450131976210446713")
"""(0002,0100) of our files; (0002,0102) then holds the association's identifier."""

_CHUNK_BYTES = 1 << 20
_PREAMBLE = b"\0" * 128 + b"DICM"


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


def encode_file_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, origin: Origin
) -> bytes:
    """Preamble, prefix and file meta information of a Part 10 file (PS3.10 7.1)."""
    before, after = _around_instance(sop_class_uid, transfer_syntax_uid, origin)
    body = before + _meta(0x0003, b"UI", sop_instance_uid, b"\0") + after
    return _PREAMBLE + b"\2\0\0\0UL\4\0" + len(body).to_bytes(4, "little") + body


@lru_cache(maxsize=256)
def _around_instance(
    sop_class_uid: str, transfer_syntax_uid: str, origin: Origin
) -> tuple[bytes, bytes]:
    """What stands before and after the SOP Instance UID: the same for most of an association."""
    before = b"\2\0\1\0OB\0\0\2\0\0\0\0\1" + _meta(0x0002, b"UI", sop_class_uid, b"\0")
    after = b"".join(
        (
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
    return before, after


def _meta(element: int, vr: bytes, text: str, padding: bytes) -> bytes:
    return pack("<HH2s", 2, element, vr) + _sized(text, padding, "H")


def _sized(text: str, padding: bytes, size: str) -> bytes:
    value = text.encode("latin-1", "replace")
    if len(value) % 2:
        value += padding
    return pack("<" + size, len(value)) + value


def dataset_offset(beginning: bytes) -> int:
    """Where the dataset begins, from the first bytes of a Part 10 file of ours; 0 where unclear.

    The group length (0002,0000) is the first element and counts from its own end.
    """
    if beginning[128:140] != _PREAMBLE[128:] + b"\2\0\0\0UL\4\0":
        return 0
    return len(_PREAMBLE) + 12 + int.from_bytes(beginning[140:144], "little")


class Part10File(io.BufferedReader):
    """A file to be read by pydicom: no element in it can claim more memory than it has bytes.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    is_cut_off
        Whether an element claimed far more than was left. pydicom itself asks for up to a chunk
        more, where it looks for the end of an element.
    """

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(str(path))  # pydicom takes its name for text
        super().__init__(raw)
        self._size = os.fstat(raw.fileno()).st_size
        self.is_cut_off = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, but no more than is left."""
        left = max(self._size - self.tell(), 0)
        if size is None or size < 0:
            return super().read(left)
        self.is_cut_off |= size > left + _CHUNK_BYTES
        return super().read(min(size, left))
