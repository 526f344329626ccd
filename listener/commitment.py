"""Storage Commitment Push Model SCP, the network's side (PS3.4 J.3).

A request is made durable in the spool before it is answered; the coordinator verifies what it
names and leaves the result beside it:

    <root>/commitments/<name>.request.json    written by the receiver
    <root>/commitments/<name>.result.json     written by the coordinator

The result goes out on the request's own association, by the receiver, or on a new one to
``report_to``, by the coordinator. Both files are removed once the peer has taken it.
"""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dsutils import encode

from listener.associate import AgreedContext
from listener.dimse import Command, encode_event_report
from listener.durable import write_durably
from listener.errors import ProtocolViolation, UnusableInstance
from listener.identity import PARSE_ERRORS, require_uid
from listener.journal import AssociationEvent
from listener.negotiation import STORAGE_COMMITMENT
from listener.settings import AcceptRule
from listener.statuses import (
    COMMITMENT_TAKEN,
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
)
from listener.storing import Answer

logger = logging.getLogger(__name__)

COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
"""The well-known instance of the Push Model (PS3.4 J.3.5)."""

# PS3.3 C.14.1.1, Failure Reason (0008,1197)
FILE_DAMAGED = 0x0110
NO_SUCH_OBJECT = 0x0112
CLASS_CONFLICT = 0x0119

# PS3.4 J.3.3, Event Type ID
_ALL_COMMITTED, _FAILURES_EXIST = 1, 2
_REQUEST_COMMITMENT = 1
_REQUEST_BYTES = 1 << 24
_REQUEST, _RESULT = ".request.json", ".result.json"


@dataclass(frozen=True)
class Reference:
    """An instance whose keeping is asked for."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Failed:
    """An instance that is not committed, with its Failure Reason."""

    reference: Reference
    reason: int


@dataclass(frozen=True)
class CommitmentRequest:
    """A request as it is kept.

    Attributes
    ----------
    name
        Of its files.
    report_to
        ``host:port`` for the result; empty for the request's own association.
    """

    name: str
    calling_ae: str
    called_ae: str
    report_to: str
    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class PendingReport:
    """A request whose result goes out on its own association."""

    request: CommitmentRequest
    context: AgreedContext


class CommitmentStore:
    """The requests and results in the spool.

    Parameters
    ----------
    root
        The spool's folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "commitments"
        self._folder.mkdir(parents=True, exist_ok=True)

    def add(self, request: CommitmentRequest) -> None:
        """Keep a request durably."""
        self._write(request.name + _REQUEST, asdict(request))

    def requests(self) -> Iterator[CommitmentRequest]:
        """Every request that is kept, oldest first."""
        for path in sorted(self._folder.glob("*" + _REQUEST), key=_modified):
            try:
                content = json.loads(path.read_bytes())
                references = tuple(Reference(**entry) for entry in content.pop("references"))
                yield CommitmentRequest(references=references, **content)
            except FileNotFoundError:  # a receiver has just reported it
                continue
            except (ValueError, TypeError, KeyError):
                logger.error("commitment %s: damaged on disk; set aside", path.name)  # noqa: TRY400
                path.rename(path.with_suffix(".damaged"))

    def conclude(self, request: CommitmentRequest, failed: tuple[Failed, ...]) -> None:
        """Keep the result of a request durably."""
        self._write(request.name + _RESULT, {"failed": [asdict(entry) for entry in failed]})

    def failed(self, request: CommitmentRequest) -> tuple[Failed, ...] | None:
        """The instances that are not committed; None while there is no result."""
        try:
            content = json.loads((self._folder / (request.name + _RESULT)).read_bytes())
        except FileNotFoundError:
            return None
        return tuple(
            Failed(Reference(**entry["reference"]), entry["reason"]) for entry in content["failed"]
        )

    def age_seconds(self, request: CommitmentRequest) -> float:
        """How long ago a request came."""
        return time.time() - _modified(self._folder / (request.name + _REQUEST))

    def backlog(self) -> tuple[int, float]:
        """How many requests are kept, and how many seconds ago the oldest came; 0 without one."""
        times = [when for path in self._folder.glob("*" + _REQUEST) if (when := _modified(path))]
        return len(times), max(0.0, time.time() - min(times)) if times else 0.0

    def remove(self, request: CommitmentRequest) -> None:
        """Forget a request whose result the peer has taken."""
        for suffix in (_REQUEST, _RESULT):
            (self._folder / (request.name + suffix)).unlink(missing_ok=True)

    def _write(self, name: str, content: dict[str, object]) -> None:
        write_durably(self._folder / name, json.dumps(content).encode())


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # a receiver has just reported it
        return 0.0


def collect_request(content: bytearray, pieces: list[memoryview]) -> None:
    """Gather a request's dataset, up to 16 MiB.

    Raises
    ------
    ProtocolViolation
        It is longer.
    """
    for piece in pieces:
        content.extend(piece)
    if len(content) > _REQUEST_BYTES:
        raise ProtocolViolation("a storage commitment request is longer than we take")


class CommitmentDesk:
    """Takes requests on associations."""

    def __init__(self, store: CommitmentStore) -> None:
        self._store = store

    def take(
        self,
        command: Command,
        content: bytes,
        context: AgreedContext,
        opening: AssociationEvent,
        rule: AcceptRule,
    ) -> tuple[Answer, PendingReport | None]:
        """Answer an N-ACTION request (PS3.4 J.3.2.1).

        Returns
        -------
        Answer
            0x0000 the request is durable; 0x0110 it cannot be kept now; 0x0112 it names another
            instance than the well-known one; 0x0115 its Action Information is unusable;
            0x0123 it is another action.
        PendingReport or None
            The request, where it was taken.
        """
        if command.sop_instance_uid != COMMITMENT_INSTANCE:
            return Answer(NO_SUCH_INSTANCE, NO_SUCH_INSTANCE.when), None
        if command.action_type != _REQUEST_COMMITMENT:
            return Answer(NO_SUCH_ACTION, NO_SUCH_ACTION.when), None
        try:
            request = _request(content, context.transfer_syntax, opening, rule)
            self._store.add(request)
        except UnusableInstance as error:
            return Answer(INVALID_ARGUMENT, str(error)), None
        except OSError as error:
            return Answer(PROCESSING_FAILURE, f"spool: {type(error).__name__}"), None
        return Answer(COMMITMENT_TAKEN), PendingReport(request, context)

    def report(self, pending: PendingReport, message_id: int) -> tuple[bytes, bytes] | None:
        """Command and dataset of the N-EVENT-REPORT, once there is a result."""
        failed = self._store.failed(pending.request)
        if failed is None:
            return None
        event_type, information = event_information(pending.request, failed)
        command = encode_event_report(
            message_id, STORAGE_COMMITMENT, COMMITMENT_INSTANCE, event_type
        )
        is_implicit = pending.context.transfer_syntax == ImplicitVRLittleEndian
        return command, encode(information, is_implicit, True) or b""

    def remove(self, pending: PendingReport) -> None:
        """Forget a request whose result the peer has taken."""
        self._store.remove(pending.request)


def _request(
    content: bytes, transfer_syntax_uid: str, opening: AssociationEvent, rule: AcceptRule
) -> CommitmentRequest:
    is_implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    try:
        action = read_dataset(BytesIO(content), is_implicit, is_little_endian=True)
        transaction_uid = require_uid(action.get("TransactionUID"), "TransactionUID")
        references = tuple(
            Reference(
                require_uid(item.get("ReferencedSOPClassUID"), "ReferencedSOPClassUID"),
                require_uid(item.get("ReferencedSOPInstanceUID"), "ReferencedSOPInstanceUID"),
            )
            for item in action.get("ReferencedSOPSequence") or ()
        )
    except UnusableInstance:
        raise
    except PARSE_ERRORS as cause:
        raise UnusableInstance("the Action Information cannot be parsed") from cause
    if not references:
        raise UnusableInstance("ReferencedSOPSequence is missing or empty")
    return CommitmentRequest(
        uuid.uuid4().hex,
        opening.calling_ae,
        opening.called_ae,
        rule.report_to,
        transaction_uid,
        references,
    )


def event_information(
    request: CommitmentRequest, failed: tuple[Failed, ...]
) -> tuple[int, Dataset]:
    """Event Type ID and Event Information of a result (PS3.4 Table J.3-2)."""
    information = Dataset()
    information.TransactionUID = request.transaction_uid
    bad = {entry.reference for entry in failed}
    good = [_item(reference) for reference in request.references if reference not in bad]
    if good:
        information.ReferencedSOPSequence = good
    if failed:
        information.FailedSOPSequence = [_item(f.reference, f.reason) for f in failed]
    return (_FAILURES_EXIST if failed else _ALL_COMMITTED), information


def _item(reference: Reference, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reason is not None:
        item.FailureReason = reason
    return item
