"""Asks a PACS to commit to keeping instances: storage commitment as SCU (PS3.4 J).

The answer, an N-EVENT-REPORT, is taken on the association of the request, and on a port of ours
where the PACS is told of one. Whose PACS reports elsewhere gets no answer here.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid
from pynetdicom import AE, build_context, evt
from pynetdicom.events import EventHandlerType

from query.association import associated
from query.commitment import PUSH_MODEL, WELL_KNOWN_INSTANCE
from query.errors import AssociationAborted, PacsUnreachable, QueryFailed, ServiceNotOffered
from query.files import DicomFile
from query.settings import PacsSettings
from query.statuses import SUCCESS, find_meaning

_REQUEST = 1  # PS3.4 Table J.3-1: Action Type ID
MOST_INSTANCES = 10_000  # of one request
_ANSWER_SECONDS = 5.0  # for the response to a report to leave

# PS3.3 C.14.1.1, Failure Reason (0008,1197)
REASONS: Mapping[int, str] = MappingProxyType(
    {
        0x0110: "processing failure",
        0x0112: "it has no such instance",
        0x0119: "it has it under another SOP class",
        0x0122: "it commits to no such SOP class",
        0x0131: "duplicate transaction UID",
        0x0213: "resource limitation",
    }
)


@dataclass(frozen=True)
class Commitment:
    """What a PACS says of instances that it was asked to commit to.

    Attributes
    ----------
    committed : frozenset of str
        The SOP Instance UIDs that it promises to keep.
    failed : mapping
        Those that it does not, each with the reason.
    unanswered : frozenset of str
        Those that no report named in time.
    """

    committed: frozenset[str]
    failed: Mapping[str, str] = field(default_factory=dict)
    unanswered: frozenset[str] = frozenset()


class _Reports:
    """The reports that came, on whichever association, of the transactions that are ours."""

    def __init__(self) -> None:
        self._arrival = threading.Condition()
        self._by_transaction: dict[str, Dataset] = {}
        self._answering: list[threading.Thread] = []

    def take(self, event: evt.Event) -> tuple[int, None]:
        """Take a report as pynetdicom hands it over, on a thread of its own (PS3.4 J.3.3)."""
        information = event.event_information
        with self._arrival:
            self._answering.append(threading.current_thread())
            self._by_transaction[str(information.get("TransactionUID", ""))] = information
            self._arrival.notify_all()
        return SUCCESS, None

    def wait_for(self, transaction_uid: str, deadline: float) -> Dataset | None:
        """The report of a transaction; None where it has not come by the deadline."""
        with self._arrival:
            self._arrival.wait_for(
                lambda: transaction_uid in self._by_transaction,
                max(0.0, deadline - time.monotonic()),
            )
            return self._by_transaction.get(transaction_uid)

    def wait_until_answered(self) -> None:
        """Let every report that came have its response, which a release would overtake."""
        with self._arrival:
            answering = tuple(self._answering)
        for thread in answering:
            thread.join(_ANSWER_SECONDS)

    @property
    def handlers(self) -> list[EventHandlerType]:
        """For pynetdicom."""
        return [(evt.EVT_N_EVENT_REPORT, self.take)]


def request_commitment(
    pacs: PacsSettings,
    files: Sequence[DicomFile],
    *,
    calling_ae: str,
    wait_seconds: float,
    report_port: int | None = None,
) -> Commitment:
    """Ask a PACS to commit to instances that it was sent, and wait for its answer.

    Parameters
    ----------
    pacs : PacsSettings
        Whom to ask.
    files : sequence of DicomFile
        The instances.
    calling_ae : str
        Our AE title, which is also that of the port.
    wait_seconds : float
        How long to wait for the report.
    report_port : int or None
        Where we listen while we wait, for a PACS that reports on an association of its own; it
        must be configured there with our AE title and host.

    Returns
    -------
    Commitment
        What it says, instance by instance.

    Raises
    ------
    QueryError
        The request did not reach it, or it refuses it; see `query.errors`.
    """
    reports = _Reports()
    with (
        _listening(reports, calling_ae, report_port),
        associated(
            pacs,
            [build_context(PUSH_MODEL)],
            calling_ae=calling_ae,
            dimse_seconds=pacs.response_seconds,
            handlers=reports.handlers,
        ) as association,
    ):
        deadline = time.monotonic() + wait_seconds
        transactions = []
        for begin in range(0, len(files), MOST_INSTANCES):
            information = _action_information(files[begin : begin + MOST_INSTANCES])
            status, _ = association.send_n_action(
                information, _REQUEST, PUSH_MODEL, WELL_KNOWN_INSTANCE
            )
            _require_taken(pacs, status, calling_ae)
            transactions.append(str(information.TransactionUID))
        came = [reports.wait_for(transaction, deadline) for transaction in transactions]
        reports.wait_until_answered()
    asked = frozenset(file.SOPInstanceUID for file in files)
    return _commitment(asked, [report for report in came if report is not None])


def _commitment(asked: frozenset[str], reports: Sequence[Dataset]) -> Commitment:
    """What reports say of the instances that were asked for."""
    committed: set[str] = set()
    failed: dict[str, str] = {}
    for report in reports:
        failures = _failures(report)
        failed |= failures
        committed |= _named(report) - failures.keys()
    told = {uid: reason for uid, reason in failed.items() if uid in asked}
    return Commitment(asked & committed, told, asked - committed - failed.keys())


@contextmanager
def _listening(reports: _Reports, calling_ae: str, port: int | None) -> Iterator[None]:
    """Take reports on a port of ours, where one is given."""
    if port is None:
        yield
        return
    ae = AE(calling_ae)
    # The SCP of the service asks for the association, so roles are negotiated (PS3.7 D.3.3.4).
    ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
    try:
        server = ae.start_server(("", port), block=False, evt_handlers=reports.handlers)
    except OSError as error:
        raise PacsUnreachable(
            f"port {port}, for the report of the commitment, cannot be listened at: "
            f"{(error.strerror or 'unknown reason').lower()}; choose another"
        ) from error
    try:
        yield
    finally:
        if server is not None:  # as it is where it does not block
            server.shutdown()


def _action_information(files: Sequence[DicomFile]) -> Dataset:
    """What a request says (PS3.4 Table J.3-1)."""
    information = Dataset()
    information.TransactionUID = generate_uid()
    information.ReferencedSOPSequence = [_reference(file) for file in files]
    return information


def _reference(file: DicomFile) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = UID(file.SOPClassUID)
    item.ReferencedSOPInstanceUID = UID(file.SOPInstanceUID)
    return item


def _require_taken(pacs: PacsSettings, status: Dataset, calling_ae: str) -> None:
    if "Status" not in status:
        raise AssociationAborted(
            f"{pacs.ae_title} did not answer the storage commitment request within "
            f"{pacs.response_seconds:g} s; try again later"
        )
    number = int(status.Status)
    if number == SUCCESS:
        return
    meaning = find_meaning(number)
    remedy = meaning.remedy.format(calling_ae=calling_ae)
    kind = ServiceNotOffered if number == 0x0122 else QueryFailed
    raise kind(
        f"{pacs.ae_title} refuses the storage commitment request (0x{number:04X}, "
        f"{meaning.text}): {remedy}",
        status=number,
    )


def _failures(report: Dataset) -> dict[str, str]:
    """SOP Instance UID to reason (PS3.4 Table J.3-2)."""
    return {
        str(item.get("ReferencedSOPInstanceUID", "")): _reason(item.get("FailureReason"))
        for item in report.get("FailedSOPSequence", ())
    }


def _reason(number: int | None) -> str:
    if number is None:
        return "no reason given"
    return REASONS.get(number, f"reason 0x{number:04X}")


def _named(report: Dataset) -> set[str]:
    items = report.get("ReferencedSOPSequence", ())
    return {str(item.get("ReferencedSOPInstanceUID", "")) for item in items}
