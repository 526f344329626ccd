"""Sends files to a DICOMweb server (STOW-RS, PS3.18 10.5) by dicomweb-client.

The library holds what one request carries in memory, so a request carries little.
"""

from collections.abc import Iterator, Sequence

import requests
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from query.errors import AssociationRejected, QueryError, QueryFailed
from query.files import DicomFile
from query.sent import Sent, answered, refused
from query.settings import PacsSettings
from query.statuses import STORE_ACCEPTED, SUCCESS
from query.web import client_of, told_apart

REQUEST_BYTES = 16 << 20
_JSON = "application/dicom+json"
_STORED, _CONFLICT, _TOO_MANY, _SERVER = 200, 409, 429, 500  # PS3.18 Table 10.5.3-1
_FAILURE = 0x0110


def stow(files: Sequence[DicomFile], server: PacsSettings, *, calling_ae: str) -> Iterator[Sent]:
    """Send each file once, a few in each request; after a failed request none of the rest.

    Yields
    ------
    Sent
        Of each file, once: as the server's answer says, instance by instance (PS3.18 10.5.3).
    """
    failure: Sent | None = None
    for batch in _batches(files):
        if failure is None:
            readable = [file for file in batch if _is_readable(file)]
            yield from (refused(f, "the file cannot be read") for f in batch if f not in readable)
            try:
                yield from _post(readable, server, calling_ae)
            except QueryError as error:
                failure = _failed(batch[0], error)
                batch = readable  # noqa: PLW2901 - the others were told of above
        if failure is not None:
            for file in batch:
                yield Sent(
                    file, failure.accepted, failure.reason, is_retriable=failure.is_retriable
                )


def _failed(file: DicomFile, error: QueryError) -> Sent:
    """What a failed request says of each of its instances."""
    answer = getattr(error.__cause__, "response", None)
    code = answer.status_code if answer is not None else None
    can_pass = code is None or code == _TOO_MANY or code >= _SERVER
    is_retriable = isinstance(error, AssociationRejected) or can_pass
    if isinstance(error, QueryFailed) and code is None:
        is_retriable = False  # what answers there is no DICOMweb
    return Sent(file, accepted=False, reason=str(error), is_retriable=is_retriable)


def _batches(files: Sequence[DicomFile]) -> Iterator[list[DicomFile]]:
    batch: list[DicomFile] = []
    total = 0
    for file in files:
        size = file.path.stat().st_size if file.path.exists() else 0
        if batch and total + size > REQUEST_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(file)
        total += size
    if batch:
        yield batch


def _is_readable(file: DicomFile) -> bool:
    try:
        dcmread(file.path, stop_before_pixels=True)
    except (OSError, InvalidDicomError, EOFError):
        return False
    return True


def _post(files: Sequence[DicomFile], server: PacsSettings, calling_ae: str) -> Iterator[Sent]:
    if not files:
        return
    client = client_of(server, server.move_seconds)
    codes: list[int] = []

    def note(response: requests.Response, *_: object, **__: object) -> None:
        # The library knows the type of an answer only without parameters.
        kind = response.headers.get("Content-Type", "")
        response.headers["Content-Type"] = kind.partition(";")[0].strip()
        codes.append(response.status_code)

    client._session.hooks["response"].append(note)  # noqa: SLF001 - it was made for this request
    client._session.headers["Accept"] = _JSON  # noqa: SLF001 - it asks for none itself
    with told_apart(server):
        try:
            answer = client.store_instances([dcmread(file.path) for file in files])
        except requests.HTTPError as error:
            if error.response.status_code != _CONFLICT or not error.response.content:
                raise
            answer = Dataset.from_json(error.response.json())
    stored, failed = _statuses(answer)
    for file in files:
        uid = file.SOPInstanceUID
        if uid in failed:
            yield answered(file, failed[uid], calling_ae)
        elif uid in stored:
            yield answered(file, stored[uid], calling_ae)
        elif codes[-1:] == [_STORED]:  # all were stored, whatever is named
            yield answered(file, SUCCESS, calling_ae)
        else:
            yield refused(file, f"{server.ae_title} does not say what became of it")


def _statuses(answer: Dataset) -> tuple[dict[str, int], dict[str, int]]:
    """SOP Instance UID to status, of what was stored and of what was not."""
    stored = {
        str(item.ReferencedSOPInstanceUID): _warning(item.get("WarningReason"))
        for item in answer.get("ReferencedSOPSequence", ())
    }
    failed = {
        str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or _FAILURE)
        for item in answer.get("FailedSOPSequence", ())
        if "ReferencedSOPInstanceUID" in item
    }
    return stored, failed


def _warning(reason: int | None) -> int:
    """A warning as a status: whatever it warns of, the instance is stored."""
    return reason if reason is not None and reason in STORE_ACCEPTED else SUCCESS
