"""One association as acceptor, from its first byte to its end (PS3.8 7).

A thread of its own runs it; it speaks to its peer, the spool and the journal, to nobody else.
"""

import logging
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from listener import pdu
from listener.associate import ACCEPTED, AssociationRequest, decode_request, encode_acceptance
from listener.errors import (
    AssociationEnded,
    ConnectionLost,
    PeerAborted,
    ProtocolViolation,
    TooSlow,
)
from listener.inbox import Deadlines, Inbox
from listener.journal import AssociationEvent, EventName, now
from listener.log_ids import log_as
from listener.proxied import begins_header
from listener.services import Node, Services, Terms
from listener.settings import AcceptRule
from listener.sockets import acknowledge_at_once
from listener.statuses import LOCAL_LIMIT_EXCEEDED, Rejection

logger = logging.getLogger(__name__)

_CONTROL_PDU_BYTES = 1 << 12


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
        self._inbox = Inbox(
            peer.connection,
            deadlines,
            settings.maximum_pdu_bytes,
            self._on_tick,
            partial(acknowledge_at_once, peer.connection),
        )
        self._services: Services | None = None

    def stop(self) -> None:
        """Abort soon; may be called from any thread."""
        self._inbox.stop()

    def run(self) -> None:
        """Serve the peer to the end of the association. Raises nothing a peer can cause."""
        try:
            self._run()
        finally:
            # We and the inbox know each other; the garbage collector would come for it late.
            self._inbox.release()

    def _run(self) -> None:
        try:
            self._services = self._negotiate()
        except AssociationEnded as error:
            self._close_unaccepted(error)
            return
        if self._services is not None:
            self._inbox.idle_seconds = self._node.settings.idle_seconds
            ending, reason = self._serve(self._services)
            self._note(self._services, ending, reason)

    def _negotiate(self) -> Services | None:
        """Answer the A-ASSOCIATE-RQ; None where the peer was rejected."""
        kind, length = self._inbox.header()
        if begins_header(kind):
            raise ProtocolViolation("it sent a PROXY header and is not in [dicom] proxy_from")
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
        association_id = uuid.uuid4().hex
        log_as(association=association_id)  # to the end of its thread
        return AssociationEvent(
            "accepted",
            now(),
            association_id,
            receiver=self._node.receiver,
            calling_ae=request.calling_ae,
            called_ae=request.called_ae,
            address=self._peer.address,
        )

    def _reject(self, opening: AssociationEvent, rejection: Rejection, reason: str) -> None:
        event = replace(opening, event="rejected", reason=reason, cause=rejection.cause)
        self._node.journal.write(event)
        logger.warning("association %s rejected: %s", opening.association_id, reason)
        self._send(pdu.rejection(rejection.result, rejection.source, rejection.reason))

    def _accept(
        self, request: AssociationRequest, opening: AssociationEvent, rule: AcceptRule
    ) -> Services:
        gate, settings = self._node.gate, self._node.settings
        contexts = gate.contexts(request, rule)
        accepted = {c.context_id: c for c in contexts if c.result == ACCEPTED}
        self._node.journal.write(opening)
        for context in contexts:
            if context.result != ACCEPTED:
                reason = gate.why_refused(context, rule)
                noted = f"presentation context refused: {reason}"
                self._node.journal.write(replace(opening, event="refused", at=now(), reason=noted))
        self._send(
            encode_acceptance(
                request,
                contexts,
                settings.maximum_pdu_bytes,
                is_storage=gate.is_storage,
                identity_checked=bool(rule.username),
            )
        )
        terms = Terms(opening, rule, accepted, request.maximum_pdu_bytes)
        return Services(self._node, terms, self._inbox, self._send)

    def _serve(self, services: Services) -> tuple[EventName, str]:
        """Serve messages; return how it ended, and why where it did not end well."""
        try:
            self._serve_messages(services)
        except PeerAborted as error:
            return "aborted", str(error)
        except ConnectionLost as error:
            return "lost", error.strerror or str(error)
        except (TooSlow, ProtocolViolation) as error:
            self._abort(error)
            return "aborted", str(error)
        return "released", ""

    def _serve_messages(self, services: Services) -> None:
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
            services.serve_message()

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
        self._node.knocks.note(self._peer.address, str(error))
        if isinstance(error, ProtocolViolation):
            self._abort(error)

    def _on_tick(self) -> None:
        if self._services is not None:
            self._services.on_tick()

    def _note(self, services: Services, ending: EventName, reason: str) -> None:
        self._node.journal.write(services.tally.ended(services.terms.opening, ending, reason))
