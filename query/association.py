"""Opens an association with a PACS, by pynetdicom, and reads responses; it knows no query.

pynetdicom 3.0.4 reports a failed association as "not established" and a lost response as an empty
status. Here each becomes the error that names its cause, and every wait has an end.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from listener.settings import require_ae_title
from query.conversation import Conversation, no_answer, no_answer_in_time
from query.errors import (
    AssociationAborted,
    AssociationRejected,
    PacsTimeout,
    PacsUnreachable,
    QueryError,
    ServiceNotOffered,
)
from query.settings import PacsSettings
from query.statuses import RESULTS, SOURCES, rejection_meaning

_MAXIMUM_PDU_BYTES = 1 << 17  # what C-GET brings comes in fewer pieces
# Time for an A-ABORT to leave before the connection is cut under it.
_ABORT_SECONDS = 1.0
# How often a reactor that waits says so.
_SAY_AGAIN_SECONDS = 0.05


@contextmanager
def associated(
    pacs: PacsSettings,
    contexts: Sequence[PresentationContext],
    *,
    calling_ae: str,
    dimse_seconds: float,
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[EventHandlerType] = (),
) -> Iterator[Association]:
    """Hold one association for one operation: released at the end, aborted on any exception.

    Parameters
    ----------
    pacs : PacsSettings
        Whom to ask.
    contexts : sequence of PresentationContext
        What is proposed, at most 128.
    calling_ae : str
        Our AE title.
    dimse_seconds : float
        Wait for each response.
    roles : sequence of SCP_SCU_RoleSelectionNegotiation
        Where we are the SCP although we ask (PS3.7 D.3.3.4).
    handlers : sequence of (event, function)
        What pynetdicom calls for it, such as for a C-STORE in the roles.

    Yields
    ------
    Association
        Established, with one presentation context accepted or more.

    Raises
    ------
    PacsUnreachable, AssociationRejected, AssociationAborted, PacsTimeout, ServiceNotOffered
        If it cannot be established.
    ValueError
        If `calling_ae` is not an AE title.
    """
    ae = _ae(pacs, require_ae_title(calling_ae), dimse_seconds)
    with closing(_Connection(handlers)) as connection:
        association = _request(pacs, ae, contexts, roles, connection)
        try:
            yield association
        except BaseException:
            association.abort()
            raise
        association.release()


@contextmanager
def conversing(
    pacs: PacsSettings,
    contexts: Sequence[PresentationContext],
    *,
    calling_ae: str,
    dimse_seconds: float,
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Conversation]:
    """Hold one association as `associated` does, and speak on it without pynetdicom.

    Yields
    ------
    Conversation
        Established, with one presentation context accepted or more.
    """
    ae = _ae(pacs, require_ae_title(calling_ae), dimse_seconds)
    ae.maximum_pdu_size = _MAXIMUM_PDU_BYTES
    with closing(_Connection(())) as connection:
        association = _request(pacs, ae, contexts, roles, connection)
        conversation = _taken_over(association, connection, pacs, dimse_seconds)
        try:
            yield conversation
        except BaseException:
            conversation.abort()
            raise
        conversation.release(pacs.response_seconds)


def _taken_over(
    association: Association, connection: "_Connection", pacs: PacsSettings, seconds: float
) -> Conversation:
    """End pynetdicom's threads; the connection stays open, and is ours."""
    association._kill = association.dul._kill_thread = True  # noqa: SLF001 - there is no other way
    association._reactor_checkpoint.set()  # noqa: SLF001
    association.join()
    association.dul.join()
    if connection.socket is None or connection.socket.fileno() < 0:
        raise no_answer(pacs, "association request")
    return Conversation(
        pacs,
        connection.socket,
        association.accepted_contexts,
        seconds,
        association.acceptor.maximum_length or 0,
    )


def responses_from(
    send: Callable[[], Iterable[tuple[Dataset, Dataset | None]]],
    pacs: PacsSettings,
    *,
    service: str,
    dimse_seconds: float,
) -> Iterator[tuple[Dataset, Dataset | None]]:
    """Send a request and yield (status, identifier) until the final response, or raise.

    Parameters
    ----------
    send : callable
        Sends the request and returns the responses, as pynetdicom's ``send_c_*``.
    pacs : PacsSettings
        Who is asked.
    service : str
        The service's name, for messages.
    dimse_seconds : float
        The time limit of each response, as given to `associated`.

    Raises
    ------
    PacsTimeout
        If a response did not come in time.
    AssociationAborted
        If the association ended, or what came was not a response.
    """
    asked = time.monotonic()
    try:
        responses = send()
    except RuntimeError as error:  # pynetdicom: no longer established
        raise _no_response(pacs, service, dimse_seconds, 0.0) from error
    for status, identifier in responses:
        if "Status" not in status:
            raise _no_response(pacs, service, dimse_seconds, time.monotonic() - asked)
        yield status, identifier
        asked = time.monotonic()


def _no_response(pacs: PacsSettings, service: str, limit: float, waited: float) -> QueryError:
    return no_answer_in_time(pacs, service, limit) if waited >= limit else no_answer(pacs, service)


class _Checkpoint(threading.Event):
    """Where the association's reactor waits while a service user reads responses.

    In pynetdicom 3.0.4 the reactor says that it no longer waits only after it left the checkpoint;
    in between, the user may find it waiting, and lose its response to it ("Received unexpected
    C-STORE service message"). Here both happen as one. And the thread of an N-EVENT-REPORT says
    that it does not wait where it does, so that the user waits for ever; here it says it again.
    """

    def __init__(self, association: Association) -> None:
        super().__init__()
        self._association = association
        self._passing = threading.Lock()
        self.set()

    def clear(self) -> None:
        with self._passing:
            super().clear()

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - it is never given
        while True:
            super().wait(_SAY_AGAIN_SECONDS)
            with self._passing:
                passes = self.is_set()
                self._association._is_paused = not passes  # noqa: SLF001 - there is no other way
                if passes:
                    return True


class _Connection:
    """What pynetdicom keeps to itself, or loses, about a connection.

    Its socket: closed here, because pynetdicom forgets it where the peer hung up first, and made
    to send at once. Whether it opened. The A-ASSOCIATE-RJ: pynetdicom takes one that comes at once
    for a failed connection. The reactor's checkpoint, which has a race.
    """

    def __init__(self, others: Sequence[EventHandlerType]) -> None:
        self._others = others
        self.socket: socket.socket | None = None
        self.opened = False
        self.rejection: A_ASSOCIATE_RJ | None = None

    def handlers(self) -> list[EventHandlerType]:
        return [
            (evt.EVT_ACSE_SENT, self._on_acse_sent),
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_PDU_RECV, self._on_pdu),
            (evt.EVT_ABORTED, self._on_abort),
            *self._others,
        ]

    def _on_acse_sent(self, event: evt.Event) -> None:
        transport = event.assoc.dul.socket
        if self.socket is None and transport is not None:  # the first is A-ASSOCIATE-RQ
            self.socket = transport.socket
            if self.socket is not None:
                # A message is several PDUs, and one that is held back until the one before is
                # acknowledged costs 40 ms.
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_open(self, event: evt.Event) -> None:
        self.opened = True
        event.assoc._reactor_checkpoint = _Checkpoint(event.assoc)  # noqa: SLF001

    def _on_pdu(self, event: evt.Event) -> None:
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            self.rejection = event.pdu

    def _on_abort(self, _event: evt.Event) -> None:
        # pynetdicom waits for the peer to close, for ever if it stalls in the middle of a PDU.
        timer = threading.Timer(_ABORT_SECONDS, self.cut)
        timer.daemon = True
        timer.start()

    def cut(self) -> None:
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()


def _ae(pacs: PacsSettings, calling_ae: str, dimse_seconds: float) -> AE:
    # They would write patient data to the log, at INFO.
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    ae = AE(calling_ae)
    ae.connection_timeout = pacs.connect_seconds
    ae.acse_timeout = pacs.response_seconds
    ae.dimse_timeout = dimse_seconds
    return ae


def _request(
    pacs: PacsSettings,
    ae: AE,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation],
    connection: _Connection,
) -> Association:
    started = time.monotonic()
    try:
        association = ae.associate(
            pacs.host,
            pacs.port,
            contexts=list(contexts),
            ae_title=pacs.ae_title,
            ext_neg=list(roles),
            evt_handlers=connection.handlers(),
        )
    except (socket.gaierror, UnicodeError) as error:
        raise _unreachable(pacs, "host name not resolved") from error
    except OSError as error:
        raise _unreachable(pacs, _in_words(error)) from error
    if association.is_established:
        return association
    waited = time.monotonic() - started
    if connection.rejection is not None:
        raise _rejection(pacs, ae.ae_title, connection.rejection)
    raise _why_not(pacs, ae.ae_title, association, opened=connection.opened, waited=waited)


def _why_not(
    pacs: PacsSettings,
    calling_ae: str,
    association: Association,
    *,
    opened: bool,
    waited: float,
) -> QueryError:
    answer = association.acceptor.primitive
    if answer is not None and answer.result == 0:
        return ServiceNotOffered(
            f"{pacs.ae_title} accepts associations but offers none of the services asked for "
            f"({_services(association)}); its administrator must enable them for {calling_ae}"
        )
    if not opened:
        return _unreachable(pacs, _connect_problem(pacs))
    if waited >= pacs.response_seconds:
        return PacsTimeout(
            f"{pacs.ae_title} at {pacs.host}:{pacs.port} took the connection but did not answer "
            f"the association request within {pacs.response_seconds:g} s; is it a DICOM port?"
        )
    return AssociationAborted(
        f"{pacs.ae_title} at {pacs.host}:{pacs.port} cut the association request off; some "
        f"archives do so when they do not know the AE title {calling_ae}: ask its administrator; "
        "or it is not a DICOM port"
    )


def _services(association: Association) -> str:
    names = {UID(context.abstract_syntax or "").name for context in association.rejected_contexts}
    return ", ".join(sorted(names))


def _rejection(pacs: PacsSettings, calling_ae: str, pdu: A_ASSOCIATE_RJ) -> AssociationRejected:
    result, source, reason = (
        number or 0 for number in (pdu.result, pdu.source, pdu.reason_diagnostic)
    )
    meaning = rejection_meaning(source, reason)
    remedy = meaning.remedy.format(calling_ae=calling_ae, called_ae=pacs.ae_title)
    return AssociationRejected(
        f"{pacs.ae_title} at {pacs.host}:{pacs.port} rejected the association: {meaning.text} "
        f"({RESULTS.get(result, 'rejected')}, by the {SOURCES.get(source, 'peer')}: "
        f"{result}/{source}/{reason}); {remedy}"
    )


def _unreachable(pacs: PacsSettings, problem: str) -> PacsUnreachable:
    return PacsUnreachable(
        f"cannot reach {pacs.ae_title} at {pacs.host}:{pacs.port}: {problem}; check host and port "
        f'of [[pacs]] "{pacs.name}", that the PACS runs, and the firewalls between'
    )


def _connect_problem(pacs: PacsSettings) -> str:
    """Return why a connection fails, by making it once more: pynetdicom only logs it."""
    try:
        socket.create_connection((pacs.host, pacs.port), min(pacs.connect_seconds, 3.0)).close()
    except TimeoutError:
        return f"no answer within {pacs.connect_seconds:g} s"
    except OSError as error:
        return _in_words(error)
    return "the connection failed once, and now succeeds: try again"


def _in_words(error: OSError) -> str:
    return (error.strerror or "unknown reason").lower()
