"""The services of one association: C-ECHO, C-STORE and storage commitment (PS3.4 A, B, J)."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from listener import pdu
from listener.associate import AgreedContext
from listener.commitment import CommitmentDesk, PendingReport, collect_request
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
from listener.errors import AssociationEnded, ProtocolViolation
from listener.inbox import Inbox, Sink
from listener.journal import AssociationEvent, JournalWriter, now
from listener.knocks import Knocks
from listener.negotiation import STORAGE_COMMITMENT, VERIFICATION, Gate
from listener.part10 import Origin
from listener.settings import AcceptRule, ReceiverSettings
from listener.spool import Spool
from listener.statuses import SUCCESS
from listener.storing import Answer, Reception, Tally

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Node:
    """What all associations of a receiver share; `receiver` is its name."""

    settings: ReceiverSettings
    gate: Gate
    spool: Spool
    journal: JournalWriter
    desk: CommitmentDesk
    receiver: str
    knocks: Knocks = field(default_factory=Knocks)


@dataclass(frozen=True)
class Terms:
    """What was negotiated.

    Attributes
    ----------
    opening
        The event with which the association began.
    rule
        The one that let the peer in.
    contexts
        The accepted presentation contexts by their identifier.
    maximum_pdu_bytes
        The longest PDU the peer takes; 0 for any.
    """

    opening: AssociationEvent
    rule: AcceptRule
    contexts: Mapping[int, AgreedContext]
    maximum_pdu_bytes: int


def _ignore(pieces: list[memoryview]) -> None:
    """Take a dataset that nobody asked for."""


class Services:
    """Serves the messages of one association, one after the other.

    Parameters
    ----------
    node, terms
        Who we are, and what was negotiated.
    inbox, send
        The way from and to the peer.
    """

    def __init__(
        self, node: Node, terms: Terms, inbox: Inbox, send: Callable[[bytes], None]
    ) -> None:
        self._node = node
        self.terms = terms
        self.tally = Tally()
        self._inbox = inbox
        self._send = send
        self._message_ids = count(1)
        self._pending: list[PendingReport] = []
        self._reported: dict[int, PendingReport] = {}
        self._patient_until = 0.0  # so long a peer may be silent that waits for a result

    def serve_message(self) -> None:
        """Serve the message that begins.

        Raises
        ------
        AssociationEnded
            The peer is gone, too slow, or breaks the protocol.
        """
        context_id, encoded = self._inbox.command()
        context = self.terms.contexts.get(context_id)
        if context is None:
            raise ProtocolViolation("a message in a presentation context that was not accepted")
        command = decode_command(encoded)
        if command.field == C_STORE_RQ and self._node.gate.is_storage(context.abstract_syntax):
            self._store(context, command)
        elif command.field == C_ECHO_RQ and context.abstract_syntax == VERIFICATION:
            self._take_dataset(context_id, command)
            self._respond(context_id, command, Answer(SUCCESS))
        elif command.field == N_ACTION_RQ and context.abstract_syntax == STORAGE_COMMITMENT:
            self._commit(context, command)
        elif command.field == N_EVENT_REPORT_RSP:
            self._take_dataset(context_id, command)
            self._end_report(command)
        elif command.field == C_CANCEL_RQ:
            self._take_dataset(context_id, command)
        else:
            raise ProtocolViolation(f"command 0x{command.field:04X} in a context of another kind")

    def on_tick(self) -> None:
        """Look between two waits for bytes whether a commitment result is to be reported."""
        if (self._pending or self._reported) and self._inbox.is_between_messages():
            if time.monotonic() < self._patient_until:
                self._inbox.stay_awake()
            self._report()

    def _store(self, context: AgreedContext, command: Command) -> None:
        opening = self.terms.opening
        reception = Reception(
            self._node.spool,
            command,
            context.transfer_syntax,
            Origin(opening.calling_ae, opening.called_ae, opening.association_id),
            self._node.settings.maximum_instance_bytes,
        )
        try:
            self._receive(context.context_id, command, reception)
        except AssociationEnded:
            reception.discard()
            raise
        answer = reception.finish(self.tally)
        if answer.status is not SUCCESS:
            self._note_refusal(answer)
        if not reception.is_too_large:
            self._respond(context.context_id, command, answer)

    def _receive(self, context_id: int, command: Command, reception: Reception) -> None:
        """Take the dataset; one that is too large is answered at once and its rest discarded."""
        maximum = self._node.settings.maximum_instance_bytes

        def take(pieces: list[memoryview]) -> None:
            was_too_large = reception.is_too_large
            reception.take(pieces)
            if reception.size > 2 * maximum:
                raise ProtocolViolation("an instance that does not end")
            if reception.is_too_large and not was_too_large and reception.failure is not None:
                self._respond(context_id, command, reception.failure)

        self._take_dataset(context_id, command, take)

    def _commit(self, context: AgreedContext, command: Command) -> None:
        """Take a storage commitment request (PS3.4 J.3.2)."""
        content = bytearray()
        self._take_dataset(context.context_id, command, partial(collect_request, content))
        answer, pending = self._node.desk.take(
            command, bytes(content), context, self.terms.opening, self.terms.rule
        )
        if pending is not None and not self.terms.rule.report_to:
            self._pending.append(pending)
            self._patient_until = time.monotonic() + self._node.settings.instance_seconds
        if answer.comment:
            self._note_refusal(answer)
        self._respond(context.context_id, command, answer)

    def _report(self) -> None:
        """Report the results that are there (PS3.4 J.3.3)."""
        for pending in tuple(self._pending):
            message_id = next(self._message_ids)
            report = self._node.desk.report(pending, message_id)
            if report is not None:
                self._pending.remove(pending)
                self._reported[message_id] = pending
                maximum = self.terms.maximum_pdu_bytes
                self._send(pdu.message(pending.context.context_id, *report, maximum=maximum))

    def _end_report(self, command: Command) -> None:
        pending = self._reported.pop(command.message_id, None)
        if pending is not None:
            self._node.desk.remove(pending)

    def _take_dataset(self, context_id: int, command: Command, sink: Sink = _ignore) -> None:
        """Take the rest of a message: its dataset, where it has one."""
        if command.has_dataset:
            self._inbox.dataset(context_id, sink)
        self._inbox.end_message()

    def _respond(self, context_id: int, command: Command, answer: Answer) -> None:
        response = encode_response(command, answer.status.code, answer.comment)
        self._send(pdu.message(context_id, response))

    def _note_refusal(self, answer: Answer) -> None:
        opening = self.terms.opening
        noted = f"0x{answer.status.code:04X}: {answer.comment}"
        logger.warning("association %s: request refused: %s", opening.association_id, noted)
        self._node.journal.write(replace(opening, event="refused", at=now(), reason=noted))
