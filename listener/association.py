"""One association as acceptor, from its first byte to its end (PS3.8 7, PS3.7 7).

A thread of its own runs it; it speaks to its peer, the spool and the journal, to nobody else.
"""

import logging
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from listener import pdu
from listener.associate import (
    ACCEPTED,
    AgreedContext,
    AssociationRequest,
    decode_request,
    encode_acceptance,
)
from listener.commitment import CommitmentDesk, PendingReport
from listener.dimse import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    N_ACTION_RQ,
    N_EVENT_REPORT_RSP,
    Command,
    decode_command,
    encode_response,
)
from listener.errors import (
    AssociationEnded,
    ConnectionLost,
    PeerAborted,
    ProtocolViolation,
    TooSlow,
)
from listener.inbox import Deadlines, Inbox
from listener.journal import AssociationEvent, EventName, JournalWriter, now
from listener.negotiation import VERIFICATION, Gate
from listener.part10 import Origin
from listener.settings import AcceptRule, ReceiverSettings
from listener.spool import Spool
from listener.statuses import LOCAL_LIMIT_EXCEEDED, SUCCESS, Rejection
from listener.storing import Answer, Reception, Tally

logger = logging.getLogger(__name__)

_CONTROL_PDU_BYTES = 1 << 12


@dataclass(frozen=True)
class Node:
    """What all associations of a receiver share."""

    settings: ReceiverSettings
    gate: Gate
    spool: Spool
    journal: JournalWriter
    desk: CommitmentDesk
    receiver: str


@dataclass
class Peer:
    """The other side of a connection.

    Attributes
    ----------
    connection
        Its receive calls return at least every second.
    secure
        Whether it speaks TLS.
    associate
        Called before an association is accepted; False where there is no room for one.
    """

    connection: socket.socket
    address: str
    secure: bool
    associate: Callable[[], bool]


@dataclass
class _State:
    """What negotiation brought."""

    opening: AssociationEvent
    rule: AcceptRule
    contexts: Mapping[int, AgreedContext]
    maximum_pdu_bytes: int
    tally: Tally = field(default_factory=Tally)
    message_ids: Iterator[int] = field(default_factory=lambda: count(1))


class Association:
    """An association that a peer asked for.

    Parameters
    ----------
    node, peer
        Both sides.
    """

    def __init__(self, node: Node, peer: Peer) -> None:
        self._node = node
        self._peer = peer
        settings = node.settings
        deadlines = Deadlines(settings.pdu_seconds, settings.instance_seconds, settings.pdu_seconds)
        self._inbox = Inbox(peer.connection, deadlines, settings.maximum_pdu_bytes, self._on_tick)
        self._pending: list[PendingReport] = []
        self._reported: dict[int, PendingReport] = {}
        self._state: _State | None = None

    def stop(self) -> None:
        """Abort soon; may be called from any thread."""
        self._inbox.stop()

    def run(self) -> None:
        """Serve the peer to the end of the association. Raises nothing a peer can cause."""
        try:
            state = self._negotiate()
        except AssociationEnded as error:
            self._close_unaccepted(error)
            return
        if state is None:
            return
        self._inbox.idle_seconds = self._node.settings.idle_seconds
        self._state = state
        ending, reason = self._serve(state)
        self._note(state, ending, reason)

    def _negotiate(self) -> _State | None:
        """Answer the A-ASSOCIATE-RQ; None where the peer was rejected."""
        kind, length = self._inbox.header()
        if kind != pdu.ASSOCIATE_RQ:
            raise ProtocolViolation("something else than an A-ASSOCIATE-RQ came first")
        request = decode_request(self._inbox.body(length))
        opening = self._opening(request)
        verdict = self._node.gate.admit(request, self._peer.address, secure=self._peer.secure)
        if isinstance(verdict, tuple):
            self._reject(opening, *verdict)
            return None
        if not self._peer.associate():
            self._reject(opening, LOCAL_LIMIT_EXCEEDED, LOCAL_LIMIT_EXCEEDED.when)
            return None
        return self._accept(request, opening, verdict)

    def _opening(self, request: AssociationRequest) -> AssociationEvent:
        return AssociationEvent(
            "accepted",
            now(),
            uuid.uuid4().hex,
            receiver=self._node.receiver,
            calling_ae=request.calling_ae,
            called_ae=request.called_ae,
            address=self._peer.address,
        )

    def _reject(self, opening: AssociationEvent, rejection: Rejection, reason: str) -> None:
        self._node.journal.write(replace(opening, event="rejected", reason=reason))
        logger.warning("association %s rejected: %s", opening.association_id, reason)
        self._send(pdu.rejection(rejection.result, rejection.source, rejection.reason))

    def _accept(
        self, request: AssociationRequest, opening: AssociationEvent, rule: AcceptRule
    ) -> _State:
        gate, settings = self._node.gate, self._node.settings
        contexts = gate.contexts(request, rule)
        accepted = {c.context_id: c for c in contexts if c.result == ACCEPTED}
        self._node.journal.write(opening)
        for context in contexts:
            if context.result != ACCEPTED:
                reason = gate.why_refused(context, rule)
                self._journal_refusal(opening, f"presentation context refused: {reason}")
        self._send(
            encode_acceptance(
                request, contexts, settings.maximum_pdu_bytes, is_storage=gate.is_storage
            )
        )
        return _State(opening, rule, accepted, request.maximum_pdu_bytes)

    def _serve(self, state: _State) -> tuple[EventName, str]:
        """Serve messages; return how it ended, and why where it did not end well."""
        try:
            self._serve_messages(state)
        except PeerAborted as error:
            return "aborted", str(error)
        except ConnectionLost as error:
            return "lost", error.strerror or str(error)
        except (TooSlow, ProtocolViolation) as error:
            self._abort(error)
            return "aborted", str(error)
        return "released", ""

    def _serve_messages(self, state: _State) -> None:
        inbox = self._inbox
        while True:
            if inbox.is_at_message_end():
                kind, length = inbox.header()
                if kind == pdu.RELEASE_RQ:
                    inbox.body(length, _CONTROL_PDU_BYTES)
                    self._send(pdu.release_response())
                    return
                if kind == pdu.ABORT:
                    raise PeerAborted("the peer aborted the association")
                if kind != pdu.P_DATA_TF:
                    raise ProtocolViolation(f"PDU type 0x{kind:02X} within an association")
            self._serve_message(state)

    def _serve_message(self, state: _State) -> None:
        context_id, encoded = self._inbox.command()
        context = state.contexts.get(context_id)
        if context is None:
            raise ProtocolViolation("a message in a presentation context that was not accepted")
        command = decode_command(encoded)
        if command.field == C_STORE_RQ and self._node.gate.is_storage(context.abstract_syntax):
            self._store(state, context, command)
        elif command.field == C_ECHO_RQ and context.abstract_syntax == VERIFICATION:
            self._skip_dataset(context_id, command)
            self._respond(context_id, command, Answer(SUCCESS))
        elif command.field == N_ACTION_RQ and self._node.desk.serves(context.abstract_syntax):
            self._commit(state, context, command)
        elif command.field == N_EVENT_REPORT_RSP:
            self._skip_dataset(context_id, command)
            self._end_report(command)
        elif command.field == C_CANCEL_RQ:
            self._skip_dataset(context_id, command)
        else:
            raise ProtocolViolation(f"command 0x{command.field:04X} in a context of another kind")

    def _store(self, state: _State, context: AgreedContext, command: Command) -> None:
        opening, settings = state.opening, self._node.settings
        origin = Origin(opening.calling_ae, opening.called_ae, opening.association_id)
        reception = Reception(
            self._node.spool,
            command,
            context.transfer_syntax,
            origin,
            settings.maximum_instance_bytes,
        )
        try:
            if command.has_dataset:
                self._receive(context, command, reception)
            else:
                self._inbox.end_message()
        except AssociationEnded:
            reception.discard()
            raise
        answer = reception.finish(state.tally)
        if answer.status is not SUCCESS:
            self._note_refusal(opening, answer)
        if not reception.is_too_large:
            self._respond(context.context_id, command, answer)

    def _receive(self, context: AgreedContext, command: Command, reception: Reception) -> None:
        """Take the dataset; one that is too large is answered at once and its rest discarded."""
        maximum = self._node.settings.maximum_instance_bytes

        def take(pieces: list[memoryview]) -> None:
            was_too_large = reception.is_too_large
            reception.take(pieces)
            if reception.size > 2 * maximum:
                raise ProtocolViolation("an instance that does not end")
            if reception.is_too_large and not was_too_large and reception.failure is not None:
                self._respond(context.context_id, command, reception.failure)

        self._inbox.dataset(context.context_id, take)

    def _commit(self, state: _State, context: AgreedContext, command: Command) -> None:
        """Take a storage commitment request (PS3.4 J.3.2)."""
        content = bytearray()
        if command.has_dataset:
            self._inbox.dataset(context.context_id, self._node.desk.collector(content))
        else:
            self._inbox.end_message()
        answer, pending = self._node.desk.take(
            command, bytes(content), context, state.opening, state.rule
        )
        if pending is not None and not state.rule.report_to:
            self._pending.append(pending)
        if answer.comment:
            self._note_refusal(state.opening, answer)
        self._respond(context.context_id, command, answer)

    def _skip_dataset(self, context_id: int, command: Command) -> None:
        if command.has_dataset:
            self._inbox.dataset(context_id, lambda _: None)
        self._inbox.end_message()

    def _respond(self, context_id: int, command: Command, answer: Answer) -> None:
        response = encode_response(command, answer.status.code, answer.comment)
        self._send(pdu.message(context_id, response))

    def _on_tick(self) -> None:
        """Look between two waits for bytes whether a commitment result is to be reported."""
        if self._state is not None and self._inbox.is_between_messages():
            self._report(self._state)

    def _report(self, state: _State) -> None:
        """Report the results that are there (PS3.4 J.3.3); one that waits keeps us waiting too."""
        if self._pending or self._reported:
            self._inbox.stay_awake()
        for pending in tuple(self._pending):
            message_id = next(state.message_ids)
            report = self._node.desk.report(pending, message_id)
            if report is not None:
                self._pending.remove(pending)
                self._reported[message_id] = pending
                maximum = state.maximum_pdu_bytes
                self._send(pdu.message(pending.context.context_id, *report, maximum=maximum))

    def _end_report(self, command: Command) -> None:
        pending = self._reported.pop(command.message_id, None)
        if pending is not None:
            self._node.desk.remove(pending)

    def _send(self, content: bytes) -> None:
        try:
            self._peer.connection.sendall(content)
        except OSError as error:
            raise ConnectionLost(error.errno, "the connection broke") from error

    def _abort(self, error: AssociationEnded) -> None:
        by_us = isinstance(error, TooSlow)
        code = pdu.ABORT_BY_USER if by_us else pdu.ABORT_UNEXPECTED_PDU
        try:
            self._peer.connection.sendall(pdu.abort(*code))
        except OSError:
            logger.debug("the peer was gone before it could be told of the abort")

    def _close_unaccepted(self, error: AssociationEnded) -> None:
        logger.info(
            "a connection from %s ended before an association: %s", self._peer.address, error
        )
        if isinstance(error, ProtocolViolation):
            self._abort(error)

    def _note(self, state: _State, ending: EventName, reason: str) -> None:
        tally = state.tally
        self._node.journal.write(
            replace(
                state.opening,
                event=ending,
                at=now(),
                stored=tally.stored,
                duplicates=tally.duplicates,
                quarantined=tally.quarantined,
                refused=tally.refused,
                bytes=tally.bytes,
                reason=reason,
            )
        )

    def _note_refusal(self, opening: AssociationEvent, answer: Answer) -> None:
        noted = f"0x{answer.status.code:04X}: {answer.comment}"
        logger.warning("association %s: request refused: %s", opening.association_id, noted)
        self._journal_refusal(opening, noted)

    def _journal_refusal(self, opening: AssociationEvent, reason: str) -> None:
        self._node.journal.write(replace(opening, event="refused", at=now(), reason=reason))
