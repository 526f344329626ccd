"""Takes in files that people give, by the door through which C-STORE brings them."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import MediaStorageDirectoryStorage

from listener.errors import UnusableInstance
from listener.identity import PARSE_ERRORS, Identity, read_identity_of_file, require_uid
from listener.spool import SpoolSettings
from processor.headers import quiet_reading, text
from safelight.config import Config
from safelight.getting import Shelf, shelf
from safelight.unpacking import UnusableArchive, is_archive, unpack
from web_status.taken import Given, TakenIn

logger = logging.getLogger(__name__)

CALLING_AE = "UPLOAD"
WRITER = "upload"
_CHUNK_BYTES = 1 << 20
_NAMED = 100
_REPORTED = 20  # instances between two reports
_GROUP_META = 0x0002


@dataclass
class _Tally:
    """What was refused so far, and how many files were judged."""

    judged: int = 0
    refused: int = 0
    reasons: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, name: str, reason: str) -> None:
        self.refused += 1
        if len(self.reasons) < _NAMED:
            self.reasons.append((name, reason))


def take_in(config: Config, given: Sequence[Given], report: Callable[[int], None]) -> TakenIn:
    """Keep each instance of these files durably, or say why not.

    They make one association of the journal, from the AE title ``UPLOAD``. A DICOMDIR is passed
    over. One call at a time: it writes to the spool under one name.

    Parameters
    ----------
    report
        Told every now and then how many files were judged.
    """
    settings = SpoolSettings(config.storage.spool, config.storage.free_bytes_min)
    maximum = config.dicom.maximum_instance_bytes
    tally = _Tally()
    with (
        quiet_reading(),
        shelf(settings, WRITER, CALLING_AE, config.dicom.ae_title, maximum) as door,
    ):
        for one in _files(given, config.storage.free_bytes_min, tally):
            _take(one, door, tally)
            tally.judged += 1
            if tally.judged % _REPORTED == 0:
                report(tally.judged)
    brought = door.tally
    return TakenIn(
        brought.stored,
        brought.duplicates,
        brought.quarantined,
        tally.refused,
        tuple(tally.reasons),
    )


def _files(given: Sequence[Given], reserve: int, tally: _Tally) -> Iterator[Given]:
    """The files, those of a ZIP in its place; each ZIP is removed once it is unpacked."""
    for one in given:
        if not is_archive(one.path):
            yield one
            continue
        folder = one.path.with_suffix(".unpacked")
        folder.mkdir()
        try:
            unpack(one.path, folder, reserve_bytes=reserve)
        except UnusableArchive as problem:
            tally.refuse(one.name, str(problem))
            shutil.rmtree(folder)
            continue
        one.path.unlink()
        for number, path in enumerate(sorted(folder.iterdir()), start=1):
            yield Given(path, f"{one.name}, file {number}")


def _take(one: Given, door: Shelf, tally: _Tally) -> None:
    """Keep one file, unless it cannot be; then remove it, for the disk has to hold it twice."""
    try:
        with one.path.open("rb") as file:
            found = _instance(file, one.path)
            if found is None:
                return
            identity, syntax = found
            uids = identity.SOPClassUID, identity.SOPInstanceUID, syntax
            status, comment = door.keep_pieces(*uids, _pieces(file))
        if status:
            tally.refuse(one.name, f"{comment or 'it was refused'} (0x{status:04X})")
    except UnusableInstance as problem:
        tally.refuse(one.name, str(problem))
    finally:
        one.path.unlink(missing_ok=True)


def _instance(file: BinaryIO, path: Path) -> tuple[Identity, str] | None:
    """Identity and transfer syntax; the file is at its dataset then. None for a DICOMDIR.

    Raises
    ------
    UnusableInstance
        It is no Part 10 file (PS3.10 7.1), or does not say what it is.
    """
    try:
        read_preamble(file, force=False)
        meta = read_dataset(
            file, is_implicit_VR=False, is_little_endian=True, stop_when=_is_after_meta
        )
    except PARSE_ERRORS as error:
        raise UnusableInstance("not a DICOM file (PS3.10)") from error
    if text(meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return None
    syntax = require_uid(text(meta, "TransferSyntaxUID"), "TransferSyntaxUID")
    offset = file.tell()
    return read_identity_of_file(str(path), offset, syntax), syntax


def _is_after_meta(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom's call
    return tag.group != _GROUP_META


def _pieces(file: BinaryIO) -> Iterator[memoryview]:
    while chunk := file.read(_CHUNK_BYTES):
        yield memoryview(chunk)
