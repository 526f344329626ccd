"""C-STORE as SCP: one instance from its command to its status (PS3.4 B.2.3)."""

import logging
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from listener.dimse import Command
from listener.errors import MismatchedInstance, SpoolUnavailable, UnusableInstance
from listener.identity import (
    DEFLATED_SYNTAXES,
    Identity,
    read_identity,
    read_identity_of_file,
    require_bounded_inflation,
    require_same_instance,
)
from listener.incoming import Incoming
from listener.journal import AssociationEvent, EventName, now
from listener.part10 import Origin, encode_file_meta
from listener.spool import Spool
from listener.statuses import (
    CANNOT_UNDERSTAND,
    DATASET_MISMATCH,
    OUT_OF_RESOURCES,
    SUCCESS,
    Status,
)

logger = logging.getLogger(__name__)

_BEGINNING_BYTES = 1 << 16


@dataclass
class Tally:
    """What one association brought so far; only its own thread changes it."""

    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    refused: int = 0
    bytes: int = 0

    def ended(
        self, opening: AssociationEvent, ending: EventName, reason: str = ""
    ) -> AssociationEvent:
        """What the journal says of the association's end; `opening` is what it said before."""
        return replace(opening, event=ending, at=now(), reason=reason, **asdict(self))


class Answer(NamedTuple):
    """What a C-STORE is answered with; a comment only where it failed."""

    status: Status
    comment: str = ""


class Reception:
    """One instance while it is received.

    Whatever goes wrong, the dataset is taken to its end, so that the peer is answered in order;
    `failure` then says what.

    Parameters
    ----------
    spool
        Where it is kept.
    command
        The C-STORE request.
    transfer_syntax_uid
        How its dataset is encoded.
    origin
        Who sends it.
    maximum_bytes
        A larger dataset is refused.
    """

    def __init__(
        self,
        spool: Spool,
        command: Command,
        transfer_syntax_uid: str,
        origin: Origin,
        maximum_bytes: int,
    ) -> None:
        self._command = command
        self._transfer_syntax_uid = transfer_syntax_uid
        self._maximum = maximum_bytes
        self._identity: Identity | None = None
        self._incoming: Incoming | None = None
        self._spool = spool
        self._origin = origin
        self.failure: Answer | None = None
        self.size = 0

    @property
    def is_too_large(self) -> bool:
        """Whether the dataset has passed the limit."""
        return self.size > self._maximum

    def take(self, pieces: list[memoryview]) -> None:
        """Take the next pieces of the dataset."""
        self.size += sum(map(len, pieces))
        if self.failure is not None:
            return
        try:
            if self._incoming is None:
                self._incoming = self._begin(pieces)
            self._require_size()
            self._incoming.write(pieces)
        except Exception as error:  # noqa: BLE001 - the C-STORE boundary: never a hang
            self._fail(error)

    def finish(self, tally: Tally) -> Answer:
        """Keep the instance, or not; returns only when it is durable."""
        try:
            if self.failure is None:
                self._keep(tally)
        except Exception as error:  # noqa: BLE001 - the C-STORE boundary: never a hang
            self._fail(error)
        if self.failure is None:
            tally.bytes += self.size
            return Answer(SUCCESS)
        tally.refused += 1
        return self.failure

    def discard(self) -> None:
        """Forget an instance whose end never came."""
        if self._incoming is not None:
            self._incoming.discard()

    def _begin(self, pieces: list[memoryview]) -> Incoming:
        """Judge the instance by its first bytes, where they reach, before any is written."""
        command = self._command
        self._identity = read_identity(pieces[0], self._transfer_syntax_uid)
        if self._identity is None and len(pieces) > 1:
            self._identity = read_identity(_beginning(pieces), self._transfer_syntax_uid)
        if self._identity is not None:
            self._require_same(self._identity)
        meta = encode_file_meta(
            command.sop_class_uid, command.sop_instance_uid, self._transfer_syntax_uid, self._origin
        )
        return Incoming(self._spool, meta)

    def _require_size(self) -> None:
        if self.is_too_large:
            raise SpoolUnavailable(0, "the instance is larger than we take")

    def _require_same(self, identity: Identity) -> None:
        require_same_instance(identity, self._command.sop_class_uid, self._command.sop_instance_uid)

    def _keep(self, tally: Tally) -> None:
        incoming = self._incoming
        if incoming is None:
            raise UnusableInstance("the C-STORE command has no dataset")
        if self._identity is None:
            self._identity = read_identity_of_file(
                incoming.temporary, incoming.offset, self._transfer_syntax_uid
            )
            self._require_same(self._identity)
        if self._transfer_syntax_uid in DEFLATED_SYNTAXES:
            require_bounded_inflation(incoming.temporary, incoming.offset)
        outcome = incoming.keep(self._identity)
        tally.stored += outcome == "kept"
        tally.duplicates += outcome == "duplicate"
        tally.quarantined += outcome == "quarantined"

    def _fail(self, error: Exception) -> None:
        self.failure = _answer_to(error)
        self.discard()


def _answer_to(error: Exception) -> Answer:
    if isinstance(error, MismatchedInstance):
        return Answer(DATASET_MISMATCH, str(error))
    if isinstance(error, UnusableInstance):
        return Answer(CANNOT_UNDERSTAND, str(error))
    if isinstance(error, SpoolUnavailable):
        return Answer(OUT_OF_RESOURCES, f"spool: {error.strerror}")
    if isinstance(error, OSError):
        return Answer(OUT_OF_RESOURCES, f"spool: {type(error).__name__}")
    logger.error("an instance failed unexpectedly: %s", type(error).__name__)
    return Answer(CANNOT_UNDERSTAND, f"unexpected {type(error).__name__}")


def _beginning(pieces: list[memoryview]) -> bytes:
    """The first bytes of a dataset in one piece; those of a PDU stand apart."""
    beginning = bytearray()
    for piece in pieces:
        beginning += piece[:_BEGINNING_BYTES]
        if len(beginning) >= _BEGINNING_BYTES:
            break
    return bytes(beginning)
