"""Sends files to a storage SCP (C-STORE, PS3.4 B), undecoded and in their own transfer syntax.

As many as one association can take go over one. What the receiver had no room for, and what an
association that ended early left open, is sent again; what became of each instance is always told.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import _config, build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from query.association import associated, responses_from
from query.errors import QueryError, ServiceNotOffered
from query.files import DicomFile
from query.settings import PacsSettings
from query.statuses import STORE_ACCEPTED, SUCCESS, is_worth_a_retry, store_meaning

MAXIMUM_CONTEXTS = 128  # PS3.8 9.3.2.2: their identifiers are the odd numbers from 1 to 255
_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


@dataclass(frozen=True)
class Sent:
    """What became of one file.

    Attributes
    ----------
    accepted : bool
        Whether the receiver took it, if with a warning.
    reason : str
        Why it did not, or what it warned of; with the remedy, and without patient data.
    status : int or None
        What it answered; None where it answered nothing.
    comment : str
        The receiver's own words (PS3.7 9.3.1.2), which may hold anything.
    is_retriable : bool
        Whether sending it again may help.
    """

    file: DicomFile
    accepted: bool
    reason: str = ""
    status: int | None = None
    comment: str = ""
    is_retriable: bool = False

    @property
    def told(self) -> str:
        """The reason with the receiver's own words, for whoever sends."""
        return f'{self.reason}; it says "{self.comment}"' if self.comment else self.reason


@dataclass(frozen=True)
class SendOutcome:
    """What became of all files, in the order in which that was settled."""

    sent: tuple[Sent, ...]

    @property
    def accepted(self) -> int:
        """How many instances the receiver accepted."""
        return sum(one.accepted for one in self.sent)

    def refusals(self) -> Mapping[str, int]:
        """Why instances were not accepted, and how many for each reason."""
        return Counter(one.told for one in self.sent if not one.accepted)

    def warnings(self) -> Mapping[str, int]:
        """What the receiver warned of, and for how many that it took."""
        return Counter(one.told for one in self.sent if one.accepted and one.reason)


@dataclass(frozen=True)
class SendPolicy:
    """How hard it is tried.

    Attributes
    ----------
    tries : int
        How often an instance is sent at most.
    retry_seconds : float
        Wait before the second try; each further one waits twice as long.
    decompress : bool
        Send uncompressed what the receiver does not take in its own transfer syntax. The pixels
        are those that the file decodes to; such an instance is in memory as a whole.
    wait : callable
        Waits so many seconds.
    """

    tries: int = 1
    retry_seconds: float = 5.0
    decompress: bool = False
    wait: Callable[[float], None] = time.sleep


def send_files(
    files: Sequence[DicomFile],
    receiver: PacsSettings,
    *,
    calling_ae: str,
    on_sent: Callable[[Sent], None] | None = None,
    policy: SendPolicy | None = None,
) -> SendOutcome:
    """Send files; one that is refused, and an association that ends, does not lose the others.

    Parameters
    ----------
    files
        What to send. More presentation contexts than one association can have make several.
    receiver
        Whom to send to.
    calling_ae
        Our AE title.
    on_sent
        Told about each file, as soon as it is settled.
    policy
        How hard it is tried; once, without it.

    Returns
    -------
    SendOutcome
        With each file, once. Statuses of the receiver are those of `query.statuses.STORE`; where
        no association came about or it ended, the reason is that of the `QueryError`.
    """
    policy = policy or SendPolicy()
    settled: list[Sent] = []
    pending = list(files)
    for left in reversed(range(policy.tries)):
        again: list[DicomFile] = []
        for one in _round(pending, receiver, calling_ae, decompress=policy.decompress):
            if left and one.is_retriable and not one.accepted:
                again.append(one.file)
                continue
            settled.append(one)
            if on_sent is not None:
                on_sent(one)
        pending = again
        if not pending:
            break
        policy.wait(policy.retry_seconds * 2.0 ** (policy.tries - 1 - left))
    return SendOutcome(tuple(settled))


def _round(
    files: Sequence[DicomFile], receiver: PacsSettings, calling_ae: str, *, decompress: bool
) -> Iterator[Sent]:
    """Try each file once; after an association that failed, none of the rest."""
    failure: QueryError | None = None
    for contexts, batch in _batches(files, decompress=decompress):
        tried = 0
        if failure is None:
            try:
                for one in _send_batch(contexts, batch, receiver, calling_ae):
                    yield one
                    tried += 1
            except ServiceNotOffered:
                yield from (_refused(file, _not_offered(file)) for file in batch)
                continue
            except QueryError as error:
                failure = error
        if failure is not None:
            # The one that it ended with comes last, should it be the cause.
            for file in (*batch[tried + 1 :], *batch[tried : tried + 1]):
                yield Sent(file, accepted=False, reason=str(failure), is_retriable=True)


def _send_batch(
    contexts: Sequence[PresentationContext],
    batch: Sequence[DicomFile],
    receiver: PacsSettings,
    calling_ae: str,
) -> Iterator[Sent]:
    limit = receiver.response_seconds
    with associated(receiver, contexts, calling_ae=calling_ae, dimse_seconds=limit) as association:
        accepted = {
            (context.abstract_syntax, str(context.transfer_syntax[0]))
            for context in association.accepted_contexts
        }
        for file in batch:
            try:
                what = _to_send(
                    file, {syntax for uid, syntax in accepted if uid == file.context[0]}
                )
            except _CANNOT_DECODE as error:
                yield _refused(
                    file,
                    f"{_not_offered(file)}, nor can it be decompressed here"
                    f" ({type(error).__name__})",
                )
                continue
            except OSError as error:
                yield _refused(file, f"the file cannot be read: {error.strerror}")
                continue
            yield (
                _refused(file, _not_offered(file))
                if what is None
                else _send(association, file, what, receiver)
            )


# What pydicom raises for pixel data that it has no decoder for, or that is damaged.
_CANNOT_DECODE = (RuntimeError, NotImplementedError, ValueError, AttributeError, KeyError)


def _to_send(file: DicomFile, syntaxes: set[str]) -> Path | Dataset | None:
    """A file as the receiver takes it, in one of `syntaxes`; None where it does not."""
    if file.TransferSyntaxUID in syntaxes:
        with file.path.open("rb"):  # so that it fails here, and not within a message
            return file.path if file.is_consistent else dcmread(file.path)
    return _uncompressed(file) if syntaxes.intersection(_UNCOMPRESSED) else None


def _uncompressed(file: DicomFile) -> Dataset:
    """A dataset with the pixels of a file, in its own colour space and under its own UID."""
    dataset = dcmread(file.path)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(as_rgb=False, generate_instance_uid=False)
    elif dataset.file_meta.TransferSyntaxUID.is_deflated:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _batches(
    files: Sequence[DicomFile], *, decompress: bool
) -> Iterator[tuple[list[PresentationContext], list[DicomFile]]]:
    """Files in their order, cut where the contexts they need would be too many."""
    batch: list[DicomFile] = []
    needed: dict[tuple[str, tuple[str, ...]], None] = {}
    number = {context: n for n, context in enumerate(dict.fromkeys(f.context for f in files))}
    for file in sorted(files, key=lambda file: number[file.context]):
        wanted = _needed(file, decompress=decompress)
        if batch and len(needed.keys() | wanted) > MAXIMUM_CONTEXTS:
            yield _contexts(needed), batch
            batch, needed = [], {}
        batch.append(file)
        needed.update(dict.fromkeys(wanted))
    if batch:
        yield _contexts(needed), batch


def _needed(file: DicomFile, *, decompress: bool) -> tuple[tuple[str, tuple[str, ...]], ...]:
    own = (file.SOPClassUID, (file.TransferSyntaxUID,))
    return (own, (file.SOPClassUID, _UNCOMPRESSED)) if decompress else (own,)


def _contexts(needed: Mapping[tuple[str, tuple[str, ...]], None]) -> list[PresentationContext]:
    return [build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in needed]


def _send(
    association: Association, file: DicomFile, what: Path | Dataset, receiver: PacsSettings
) -> Sent:
    # pynetdicom then sends the file's own bytes and decodes nothing, but believes the file meta.
    _config.STORE_SEND_CHUNKED_DATASET = True
    try:
        ((answer, _),) = responses_from(
            lambda: [(association.send_c_store(what), None)],
            receiver,
            service="C-STORE",
            dimse_seconds=receiver.response_seconds,
        )
    except ValueError:
        return _refused(file, _not_offered(file))
    status = int(answer.Status)
    comment = str(answer.get("ErrorComment", ""))
    if status == SUCCESS:
        return Sent(file, accepted=True, status=status)
    meaning = store_meaning(status)
    remedy = meaning.remedy.format(calling_ae=association.ae.ae_title)
    told = f"0x{status:04X}, {meaning.text}: {remedy}"
    return Sent(file, status in STORE_ACCEPTED, told, status, comment, is_worth_a_retry(status))


def _refused(file: DicomFile, reason: str) -> Sent:
    return Sent(file, accepted=False, reason=reason)


def _not_offered(file: DicomFile) -> str:
    return (
        f"the receiver does not take SOP class {file.SOPClassUID}"
        f" in transfer syntax {file.TransferSyntaxUID}"
    )
