"""Runs inputs of the PDU fuzz against receivers and notes where one did not behave.

Not judged: which of the permitted answers an input gets. A damaged input may be harmless, be
answered with a failure status, or cost its sender the association.
"""

import hashlib
import itertools
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
from mutations import Input, Inputs, State
from upper_layer import (
    ABORT,
    ASSOCIATE_AC,
    C_STORE_RSP,
    RELEASE_RP,
    Broken,
    Instance,
    Instances,
    Peer,
    answers_in,
    messages_in,
    pdus_in,
)

HONEST_SECONDS = 5.0
HONEST_EVERY = 100
FAILURES_SHOWN = 10
_ANSWER_SECONDS = 0.05
_AT_ONCE_SECONDS = 0.001
_NO_LINGER = struct.pack("ii", 1, 0)


class Target(Protocol):
    """A receiver in a process of its own."""

    process: psutil.Process
    port: int
    spool: Path
    log: Path


@dataclass
class Sent:
    """What was sent to one receiver and what it answered; `lock` guards it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    inputs: int = 0
    honest: list[Instance] = field(default_factory=list)
    acknowledged: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    """UID of each 0x0000 with the digests of the datasets that its input held."""
    permitted: set[str] = field(default_factory=set)
    """Digests of datasets that may be in the spool."""
    answered: dict[str, int] = field(default_factory=dict)
    """How often an input was answered with what."""
    failures: list[str] = field(default_factory=list)


class Fuzzer:
    """Sends inputs to one receiver from several connections at once.

    Parameters
    ----------
    receiver
        Who must stand it.
    inputs, state
        What is sent.
    silent_seconds
        After this long the receiver must have closed a connection that says nothing more.
    """

    def __init__(
        self, receiver: Target, inputs: Inputs, state: State, silent_seconds: float
    ) -> None:
        self.sent = Sent()
        self._receiver, self._inputs, self._state = receiver, inputs, state
        self._silent_seconds = silent_seconds
        self._honest_numbers = itertools.count()
        self._honest_instances = Instances(f"1.2.826.0.1.9003.{receiver.port}")

    def run(self, indexes: range, connections: int = 6) -> None:
        """Send the inputs of `indexes`; return when the last silent connection was closed."""
        left = iter(indexes)
        threads = [
            threading.Thread(target=self._work, args=(left,), daemon=True)
            for _ in range(connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def be_honest(self) -> None:
        """Verify and store on an association of its own; it must succeed in time."""
        instance = self._honest_instances(next(self._honest_numbers))
        with Peer(self._receiver.port, HONEST_SECONDS) as peer:
            peer.associate()
            peer.echo()
            peer.store(instance)
            peer.release()
        with self.sent.lock:
            self.sent.honest.append(instance)

    def _work(self, left: Iterator[int]) -> None:
        silent: deque[_Silent] = deque()
        while len(self.sent.failures) < FAILURES_SHOWN:
            with self.sent.lock:
                index = next(left, None)
            if index is None:
                break
            given = self._inputs(self._state, index)
            try:
                self._give(given, silent)
                if index % HONEST_EVERY == 0:
                    self.be_honest()
            except Broken as error:
                self._fail(given, str(error))
            while silent and silent[0].deadline <= time.monotonic():
                self._look_at(silent.popleft())
        for waiting in silent:
            self._look_at(waiting)

    def _give(self, given: Input, silent: "deque[_Silent]") -> None:
        """Lead the receiver to the state, send the damaged PDUs, and see what it does."""
        peer = Peer(self._receiver.port)
        try:
            for number, part in enumerate(given.prelude):
                peer.send(part)
                if number < given.answered:
                    self._expect(peer, (ASSOCIATE_AC, RELEASE_RP)[number])
            delivered = self._damage(peer, given)
            if given.ending == "silence" and delivered:
                deadline = time.monotonic() + self._silent_seconds
                silent.append(_Silent(given, peer, deadline))
                return
            self._note(given, _hang_up(peer) if given.ending == "abort" else _rest(peer))
        except Broken:
            peer.socket.close()
            raise
        peer.socket.close()

    def _expect(self, peer: Peer, kind: int) -> None:
        if (got := peer.read_pdu())[0] != kind:
            raise Broken(f"PDU type {got[0]} instead of {kind} before anything was damaged")

    def _damage(self, peer: Peer, given: Input) -> bool:
        """Send the damaged part and the ending; False where the receiver had closed already."""
        try:
            for part in given.damaged:
                peer.send(part)
            if given.ending == "reset":
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                peer.socket.close()
            if given.ending == "end":
                peer.socket.shutdown(socket.SHUT_WR)
        except (Broken, OSError):
            return False
        return True

    def _look_at(self, waiting: "_Silent") -> None:
        """A silent connection must be closed before its time is over."""
        left = waiting.deadline - time.monotonic()
        waiting.peer.socket.settimeout(max(left, _AT_ONCE_SECONDS))
        try:
            self._note(waiting.given, _rest(waiting.peer))
        except Broken as error:
            self._fail(waiting.given, f"silent, and still open: {error}")
        waiting.peer.socket.close()

    def _note(self, given: Input, got: "_Received") -> None:
        """Remember what may, and what must, be in the spool after this input."""
        answers = [answer for answer in answers_in(got.data) if answer.field == C_STORE_RSP]
        kept = [answer.sop_instance_uid for answer in answers if answer.status == 0x0000]
        datasets = frozenset(
            hashlib.sha256(content).hexdigest()
            for is_command, content in messages_in(given.stream)
            if not is_command
        )
        last = max((kind for kind, _ in pdus_in(got.data)), default=0)
        statuses = [f"0x{answer.status:04X}" for answer in answers]
        if given.must_store and (kept != [given.must_store] or len(answers) != 1):
            self._fail(given, f"nothing was wrong with it, but it was answered {answers}")
        with self.sent.lock:
            self.sent.inputs += 1
            self.sent.acknowledged += [(uid, datasets) for uid in kept]
            if kept or not got.whole:
                self.sent.permitted |= datasets
            for word in statuses or [_ENDS.get(last, "closed")]:
                self.sent.answered[word] = self.sent.answered.get(word, 0) + 1

    def _fail(self, given: Input, what: str) -> None:
        note = (
            f"{what}\n  {given.state!r} index {given.index}, ending {given.ending!r}"
            f"\n  prelude {' '.join(part.hex() for part in given.prelude)}"
            f"\n  damaged {' '.join(part.hex() for part in given.damaged)[:8000]}"
        )
        with self.sent.lock:
            self.sent.failures.append(note)


_ENDS = {0x07: "aborted", 0x03: "rejected", 0x06: "released"}


@dataclass(frozen=True)
class _Silent:
    """A connection on which the peer says nothing more."""

    given: Input
    peer: Peer
    deadline: float


@dataclass(frozen=True)
class _Received:
    """What the receiver sent, and whether certainly all of it was seen."""

    data: bytes
    whole: bool


def _rest(peer: Peer) -> _Received:
    """What comes until the receiver closes."""
    received = []
    while True:
        try:
            more = peer.socket.recv(65536)
        except TimeoutError as error:
            raise Broken("neither answered nor closed in time") from error
        except OSError:  # a reset, or closed by this side
            return _Received(b"".join(received), whole=False)
        if not more:
            return _Received(b"".join(received), whole=True)
        received.append(more)


def _hang_up(peer: Peer) -> _Received:
    """What comes in a short time, and after an A-ABORT."""
    patience = peer.socket.gettimeout()
    peer.socket.settimeout(_ANSWER_SECONDS)
    received = b""
    try:
        while more := peer.socket.recv(65536):
            received += more
    except OSError:  # mostly the time
        pass
    peer.socket.settimeout(patience)
    with suppress(Broken, OSError):
        peer.send(ABORT)
        peer.socket.shutdown(socket.SHUT_WR)  # in the middle of a PDU the A-ABORT is its content
    rest = _rest(peer)
    return _Received(received + rest.data, rest.whole)
