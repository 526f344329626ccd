"""Sends files to a storage SCP (C-STORE, PS3.4 B), undecoded and in their own transfer syntax."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage
from pynetdicom import _config, build_context
from pynetdicom.association import Association

from query.association import associated, responses_from
from query.errors import ServiceNotOffered
from query.settings import PacsSettings

MAXIMUM_CONTEXTS = 128  # PS3.8 9.3.2.2: their identifiers are the odd numbers from 1 to 255
_ACCEPTED = frozenset({0x0000, 0xB000, 0xB006, 0xB007})  # PS3.4 Table B.2-1: success, warnings


@dataclass(frozen=True)
class DicomFile:
    """A Part 10 file and the presentation context it needs.

    `is_consistent` tells whether its file meta names the same instance as its dataset; where it
    does not, as after a careless de-identification, the dataset is what counts.
    """

    path: Path
    SOPClassUID: str
    TransferSyntaxUID: str
    is_consistent: bool = True

    @property
    def context(self) -> tuple[str, str]:
        """SOP class and transfer syntax."""
        return self.SOPClassUID, self.TransferSyntaxUID


@dataclass(frozen=True)
class Sent:
    """What became of one file: accepted, or not for `reason`."""

    file: DicomFile
    accepted: bool
    reason: str = ""


@dataclass(frozen=True)
class SendOutcome:
    """What became of all files, in the order they were sent."""

    sent: tuple[Sent, ...]

    @property
    def accepted(self) -> int:
        """How many instances the receiver accepted."""
        return sum(one.accepted for one in self.sent)

    def refusals(self) -> Mapping[str, int]:
        """Why instances were not accepted, and how many for each reason."""
        return Counter(one.reason for one in self.sent if not one.accepted)


def dicom_files(path: Path) -> tuple[tuple[DicomFile, ...], int]:
    """The Part 10 files at or below `path` that can be sent.

    Returns
    -------
    files : tuple of DicomFile
        In the order of their names.
    skipped : int
        Files left out: not Part 10, without transfer syntax or SOP class, or a DICOMDIR.
    """
    paths = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    read = [_read(one) for one in paths]
    files = tuple(file for file in read if file is not None)
    return files, len(read) - len(files)


def _read(path: Path) -> DicomFile | None:
    try:
        dataset = dcmread(
            path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"]
        )
        meta = dataset.file_meta
        named = (str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
        syntax = str(meta.TransferSyntaxUID)
    except (InvalidDicomError, EOFError, AttributeError):
        return None
    in_meta = (meta.get("MediaStorageSOPClassUID"), meta.get("MediaStorageSOPInstanceUID"))
    file = DicomFile(path, named[0], syntax, is_consistent=named == in_meta)
    return None if file.SOPClassUID == MediaStorageDirectoryStorage else file


def send_files(
    files: Sequence[DicomFile],
    receiver: PacsSettings,
    *,
    calling_ae: str,
    on_sent: Callable[[Sent], None] | None = None,
) -> SendOutcome:
    """Send files, each in its own transfer syntax; a refused one does not stop the others.

    Parameters
    ----------
    files
        What to send. More presentation contexts than one association can have make several.
    receiver
        Whom to send to.
    calling_ae
        Our AE title.
    on_sent
        Told about each file.

    Raises
    ------
    QueryError
        No association, or it ended early; see `query.errors`.
    """
    sent: list[Sent] = []
    for batch in _batches(files):
        for one in _send_batch(batch, receiver, calling_ae):
            sent.append(one)
            if on_sent is not None:
                on_sent(one)
    return SendOutcome(tuple(sent))


def _send_batch(
    batch: Sequence[DicomFile], receiver: PacsSettings, calling_ae: str
) -> Iterator[Sent]:
    contexts = [build_context(*context) for context in dict.fromkeys(f.context for f in batch)]
    limit = receiver.response_seconds
    try:
        with associated(
            receiver, contexts, calling_ae=calling_ae, dimse_seconds=limit
        ) as association:
            for file in batch:
                yield _send(association, file, receiver)
    except ServiceNotOffered:
        yield from (Sent(file, accepted=False, reason=_not_offered(file)) for file in batch)


def _batches(files: Sequence[DicomFile]) -> Iterator[list[DicomFile]]:
    """Files in their order, cut where one more context would be too many."""
    contexts = list(dict.fromkeys(file.context for file in files))
    number = {context: index // MAXIMUM_CONTEXTS for index, context in enumerate(contexts)}
    ordered = sorted(files, key=lambda file: number[file.context])
    for _, batch in groupby(ordered, key=lambda file: number[file.context]):
        yield list(batch)


def _send(association: Association, file: DicomFile, receiver: PacsSettings) -> Sent:
    # pynetdicom then sends the file's own bytes and decodes nothing, but believes the file meta.
    _config.STORE_SEND_CHUNKED_DATASET = True
    what = file.path if file.is_consistent else dcmread(file.path)
    try:
        ((status, _),) = responses_from(
            lambda: [(association.send_c_store(what), None)],
            receiver,
            service="C-STORE",
            dimse_seconds=receiver.response_seconds,
        )
    except ValueError:
        return Sent(file, accepted=False, reason=_not_offered(file))
    accepted = status.Status in _ACCEPTED
    return Sent(file, accepted, "" if accepted else _refusal(status))


def _refusal(status: Dataset) -> str:
    """The status and what the receiver says about it (PS3.7 9.3.1.2)."""
    comment = str(status.get("ErrorComment", ""))
    return f"0x{status.Status:04X}" + (f", {comment}" if comment else "")


def _not_offered(file: DicomFile) -> str:
    return (
        f"the receiver does not take SOP class {file.SOPClassUID}"
        f" in transfer syntax {file.TransferSyntaxUID}"
    )
