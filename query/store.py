"""Sends files to a storage SCP (C-STORE, PS3.4 B), undecoded and in their own transfer syntax.

As many as one association can take go over one. Whether they are tried again is for others.
"""

from collections.abc import Iterator, Mapping, Sequence
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
from query.sent import Sent, answered, refused
from query.settings import PacsSettings

MAXIMUM_CONTEXTS = 128  # PS3.8 9.3.2.2: their identifiers are the odd numbers from 1 to 255
_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def store(
    files: Sequence[DicomFile], receiver: PacsSettings, *, calling_ae: str, decompress: bool
) -> Iterator[Sent]:
    """Send each file once; after an association that failed, none of the rest.

    Parameters
    ----------
    files, receiver, calling_ae
        As of `query.send.send_files`.
    decompress : bool
        As of `query.sent.SendPolicy`.

    Yields
    ------
    Sent
        Of each file, once.
    """
    failure: QueryError | None = None
    for contexts, batch in _batches(files, decompress=decompress):
        tried = 0
        if failure is None:
            try:
                for one in _send_batch(contexts, batch, receiver, calling_ae):
                    yield one
                    tried += 1
            except ServiceNotOffered:
                yield from (refused(file, _not_offered(file)) for file in batch)
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
                yield refused(
                    file,
                    f"{_not_offered(file)}, nor can it be decompressed here"
                    f" ({type(error).__name__})",
                )
                continue
            except OSError as error:
                yield refused(file, f"the file cannot be read: {error.strerror}")
                continue
            yield (
                refused(file, _not_offered(file))
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
        return refused(file, _not_offered(file))
    comment = str(answer.get("ErrorComment", ""))
    return answered(file, int(answer.Status), association.ae.ae_title, comment)


def _not_offered(file: DicomFile) -> str:
    return (
        f"the receiver does not take SOP class {file.SOPClassUID}"
        f" in transfer syntax {file.TransferSyntaxUID}"
    )
