"""Asks on an association and reads the answers, straight from its connection (PS3.7 9).

pynetdicom needs a millisecond and more for each message, most of it in loops that sleep: too much
for a thousand pending responses, or for instances of a C-GET. Only the thread that asks is at work
here.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import count

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import PresentationContext

from listener import pdu
from listener.dimse import (
    C_STORE_RQ,
    RESPONSE,
    Command,
    QueryResponse,
    decode_command,
    decode_query_response,
    encode_cancel,
    encode_query,
    encode_response,
)
from listener.errors import AssociationEnded, ConnectionLost, ProtocolViolation, TooSlow
from listener.identity import PARSE_ERRORS
from listener.inbox import BUFFER_BYTES, Deadlines, Inbox
from listener.sockets import (
    acknowledge_at_once,
    close_gently,
    give_up_sending_after,
    return_after,
)
from query.errors import AssociationAborted, PacsTimeout, ServiceNotOffered
from query.settings import PacsSettings
from query.statuses import PENDING

_LOOK_SECONDS = 1.0
_LONGEST_PDU = BUFFER_BYTES >> 1  # some peers send longer ones than they were asked for

Store = Callable[[Command, str, bytearray], tuple[int, str]]
"""Takes a C-STORE request, its transfer syntax and its dataset; returns status and comment."""


@dataclass(frozen=True)
class Question:
    """A request of the query/retrieve service class.

    Attributes
    ----------
    field, service
        Command Field, and the name of the service in messages.
    sop_class_uid
        The information model.
    identifier
        The keys.
    move_destination
        Of a C-MOVE.
    """

    field: int
    service: str
    sop_class_uid: str
    identifier: Dataset
    move_destination: str = ""


class Conversation:
    """An association that was established, as its requestor.

    Parameters
    ----------
    pacs
        Who is asked.
    connection
        The way to it; its owner closes it.
    contexts
        The accepted presentation contexts.
    seconds
        The time limit of each response.
    longest_sent
        The longest PDU that the peer takes; 0 for any.
    """

    def __init__(
        self,
        pacs: PacsSettings,
        connection: socket.socket,
        contexts: Sequence[PresentationContext],
        seconds: float,
        longest_sent: int,
    ) -> None:
        self._pacs = pacs
        self._connection = connection
        self._contexts = {one.context_id: one for one in contexts if one.context_id is not None}
        self._longest_sent = longest_sent
        self._ids = count(1)
        self._asked = (0, 0)
        self._is_open = True
        self.seconds = seconds
        connection.settimeout(None)
        return_after(connection, min(_LOOK_SECONDS, seconds / 4))
        give_up_sending_after(connection, seconds)
        self._inbox = Inbox(
            connection,
            Deadlines(seconds, seconds, seconds),
            _LONGEST_PDU,
            _wait_on,
            partial(acknowledge_at_once, connection),
        )

    def ask(
        self, question: Question, store: Store | None = None
    ) -> Iterator[tuple[QueryResponse, Dataset | None]]:
        """Send a request and yield each response, and its identifier, to the final one.

        Parameters
        ----------
        question
            The request.
        store
            Takes the instances of a C-GET.

        Raises
        ------
        ServiceNotOffered
            The peer accepted no presentation context for it.
        PacsTimeout
            A response did not come in time.
        AssociationAborted
            The association ended, or what came was not a response.
        """
        context_id, context = self._context_of(question)
        message_id = next(self._ids)
        self._asked = (context_id, message_id)
        command = encode_query(
            question.field, message_id, question.sop_class_uid, question.move_destination
        )
        with self._telling(question.service):
            self._send(context_id, command, _encoded(question.identifier, context))
        while True:
            with self._telling(question.service):
                response, identifier = self._response(question.field, store)
            yield response, identifier
            if response.status not in PENDING:
                return

    def cancel(self, seconds: float) -> None:
        """Ask for the end of the C-FIND that was asked (PS3.7 9.3.2.3), whose final response
        still comes: within `seconds`, or it is a timeout.

        Raises
        ------
        AssociationAborted
            The connection broke.
        """
        context_id, message_id = self._asked
        self.seconds = self._inbox.idle_seconds = seconds
        with self._telling("C-FIND"):
            self._send(context_id, encode_cancel(message_id))

    def release(self, seconds: float) -> None:
        """Release the association, and wait so long for the peer to agree."""
        if not self._is_open:
            return
        self._is_open = False
        with suppress(AssociationEnded, OSError):
            self._connection.sendall(pdu.release_request())
            self._inbox.idle_seconds = seconds
            self._inbox.stay_awake()
            self._inbox.header()

    def abort(self) -> None:
        """Abort the association."""
        if not self._is_open:
            return
        self._is_open = False
        with suppress(OSError):
            self._connection.sendall(pdu.abort(*pdu.ABORT_BY_USER))
            self._connection.shutdown(socket.SHUT_WR)
        close_gently(self._connection)

    def _context_of(self, question: Question) -> tuple[int, PresentationContext]:
        for context_id, context in self._contexts.items():
            if context.abstract_syntax == question.sop_class_uid and context.as_scu:
                return context_id, context
        raise ServiceNotOffered(
            f"{self._pacs.ae_title} offers no {question.service}; its administrator must enable it"
        )

    def _response(self, field: int, store: Store | None) -> tuple[QueryResponse, Dataset | None]:
        """The next response; instances that come before it are stored."""
        while True:
            context_id, encoded = self._message()
            context, command = self._contexts.get(context_id), decode_command(encoded)
            if context is None:
                raise ProtocolViolation("a message in a presentation context that was not accepted")
            content = self._dataset(context_id) if command.has_dataset else bytearray()
            self._inbox.end_message()
            if command.field == field | RESPONSE:
                return decode_query_response(encoded), _decoded(content, context)
            if command.field != C_STORE_RQ or store is None:
                raise ProtocolViolation(f"command 0x{command.field:04X} instead of a response")
            status, comment = store(command, _syntax(context), content)
            self._send(context_id, encode_response(command, status, comment))

    def _message(self) -> tuple[int, bytes]:
        """Presentation context and command set of the next message."""
        inbox = self._inbox
        inbox.stay_awake()
        if inbox.is_at_message_end():
            kind, _ = inbox.header()
            if kind != pdu.P_DATA_TF:
                raise ProtocolViolation(f"PDU type 0x{kind:02X} instead of a response")
        return inbox.command()

    def _dataset(self, context_id: int) -> bytearray:
        content = bytearray()

        def take(pieces: list[memoryview]) -> None:
            for piece in pieces:
                content.extend(piece)

        self._inbox.dataset(context_id, take)
        return content

    def _send(self, context_id: int, command: bytes, dataset: bytes = b"") -> None:
        message = pdu.message(context_id, command, dataset, maximum=self._longest_sent)
        try:
            self._connection.sendall(message)
        except OSError as error:
            raise ConnectionLost(error.errno, "the connection broke") from error

    @contextmanager
    def _telling(self, service: str) -> Iterator[None]:
        """Name the cause where the association ends."""
        try:
            yield
        except TooSlow as error:
            raise no_answer_in_time(self._pacs, service, self.seconds) from error
        except AssociationEnded as error:
            raise no_answer(self._pacs, service) from error


def no_answer_in_time(pacs: PacsSettings, service: str, limit: float) -> PacsTimeout:
    """The error where a response did not come within `limit` seconds."""
    return PacsTimeout(
        f"{pacs.ae_title} did not answer the {service} within {limit:g} s; try again later, or "
        f'raise the time limit of [[pacs]] "{pacs.name}"'
    )


def no_answer(pacs: PacsSettings, service: str) -> AssociationAborted:
    """The error where the association ended instead of a response."""
    return AssociationAborted(
        f"{pacs.ae_title} ended the association before its {service} response was complete; "
        "try again; its log says why"
    )


def _wait_on() -> None:
    """Nothing is to be done between two looks for bytes."""


def _syntax(context: PresentationContext) -> UID:
    return context.transfer_syntax[0]


def _encoded(identifier: Dataset, context: PresentationContext) -> bytes:
    syntax = _syntax(context)
    encoded = encode(identifier, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    if encoded is None:
        raise ValueError("identifier: expected values that DICOM can hold")
    return encoded


def _decoded(content: bytearray, context: PresentationContext) -> Dataset | None:
    """An identifier; None where there is none, or it is not DICOM."""
    if not content:
        return None
    syntax = _syntax(context)
    try:
        return decode(
            BytesIO(content), syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated
        )
    except PARSE_ERRORS:
        return None
