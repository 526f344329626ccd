"""Reads PDUs from one connection into a buffer that is used again and again (PS3.8 9.3).

A PDU is never held whole: its length is judged when its header is here, and fragments of a
dataset are handed on from the buffer, where they lie, as soon as enough of them came.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from listener.errors import ConnectionLost, PeerAborted, ProtocolViolation, TooSlow
from listener.pdu import ABORT, COMMAND, LAST, P_DATA_TF, PDU_HEADER, PDV_HEADER

BUFFER_BYTES = 1 << 20
_MOST_FRAGMENTS = 512  # of one hand-over; the kernel takes 1,024 in one writev
_HANDOVER_BYTES = 1 << 18  # stays in the processor's cache, and writing overlaps with sending
_COMMAND_BYTES = 1 << 16
_NEVER = float("inf")
_PDU_OF_ONE_FRAGMENT = Struct(">BxIIH")
_HEADERS = _PDU_OF_ONE_FRAGMENT.size

Sink = Callable[[list[memoryview]], None]


@dataclass(frozen=True)
class Deadlines:
    """How long a peer may take, in seconds.

    Attributes
    ----------
    pdu_seconds
        From the first byte of a PDU to its last.
    message_seconds
        From the first byte of a message's command to the last of its dataset.
    idle_seconds
        Without any byte.
    """

    pdu_seconds: float
    message_seconds: float
    idle_seconds: float


class Fragment(NamedTuple):
    """The header of a presentation data value: what its bytes belong to."""

    context_id: int
    is_command: bool
    is_last: bool


class Inbox:
    """What comes in on one connection.

    Parameters
    ----------
    peer
        The connection. Its receive calls must return after a short while without bytes
        (SO_RCVTIMEO, or a timeout), so that deadlines are kept.
    deadlines
        How long the peer may take.
    maximum_pdu_bytes
        The longest P-DATA-TF PDU.
    on_tick
        Called while waiting, about as often as the connection's receive calls return;
        what it raises ends the wait.
    acknowledge
        Called before each wait within a message: a sender may wait for an acknowledgement of
        TCP before it sends the rest.
    """

    def __init__(
        self,
        peer: socket.socket,
        deadlines: Deadlines,
        maximum_pdu_bytes: int,
        on_tick: Callable[[], None],
        acknowledge: Callable[[], None],
    ) -> None:
        self._peer = peer
        self._deadlines = deadlines
        self._maximum = maximum_pdu_bytes
        self._on_tick = on_tick
        self._acknowledge = acknowledge
        self._view = memoryview(bytearray(BUFFER_BYTES))
        self._start = self._end = 0
        self._pdu_left = 0  # bytes of the current P-DATA-TF after the fragments taken so far
        self._fragment_left = 0
        self._fragment = Fragment(0, is_command=False, is_last=True)
        self._is_between_pdus = True
        self._heard = time.monotonic()
        self._pdu_until = _NEVER
        self._message_until = _NEVER
        self._is_stopped = False
        self.idle_seconds = deadlines.idle_seconds

    def header(self) -> tuple[int, int]:
        """Type and length of the next PDU, where one begins.

        Raises
        ------
        AssociationEnded
            The peer is gone, or too slow.
        """
        self._need(PDU_HEADER.size)
        kind, length = PDU_HEADER.unpack_from(self._view, self._start)
        self._start += PDU_HEADER.size
        self._is_between_pdus = False
        if kind == P_DATA_TF:
            self._begin_data(length)
        return kind, length

    def body(self, length: int, maximum: int = BUFFER_BYTES - 64) -> bytes:
        """What follows the header of a PDU other than P-DATA-TF.

        Raises
        ------
        ProtocolViolation
            It is longer than `maximum`; nothing of it is taken.
        AssociationEnded
            The peer is gone, or too slow.
        """
        if length > maximum:
            raise ProtocolViolation("a PDU is longer than we take")
        self._need(length)
        content = bytes(self._view[self._start : self._start + length])
        self._start += length
        self._end_pdu()
        return content

    def command(self) -> tuple[int, bytes]:
        """The presentation context and the command set of the message that begins.

        Called after `header` returned P-DATA-TF.
        """
        self._message_until = time.monotonic() + self._deadlines.message_seconds
        content = bytearray()
        context_id = 0
        while True:
            fragment = self._next_fragment()
            if not fragment.is_command or (context_id and fragment.context_id != context_id):
                raise ProtocolViolation("a fragment does not belong to the message")
            context_id = fragment.context_id
            content += self._rest_of_fragment(_COMMAND_BYTES - len(content))
            if fragment.is_last:
                return context_id, bytes(content)

    def dataset(self, context_id: int, sink: Sink) -> None:
        """Hand the dataset of a message to `sink`, piece by piece in order.

        The pieces are valid until `sink` returns; the next use the same memory.

        Raises
        ------
        AssociationEnded
            The peer is gone, too slow, or sends something else.
        """
        pieces: list[memoryview] = []
        while not self._take_whole_pdus(context_id, pieces):
            fragment = self._next_fragment(pieces, sink)
            if fragment.is_command or fragment.context_id != context_id:
                raise ProtocolViolation("a fragment does not belong to the message")
            self._take_fragment(pieces, sink)
            if fragment.is_last:
                break
        if pieces:
            sink(pieces)

    def _take_fragment(self, pieces: list[memoryview], sink: Sink) -> None:
        """Take what is left of a fragment, which may be nothing, as it comes."""
        while True:
            size = min(self._fragment_left, self._end - self._start)
            if size:
                pieces.append(self._view[self._start : self._start + size])
            self._take(size)
            if len(pieces) >= _MOST_FRAGMENTS:
                sink(pieces)
                pieces.clear()
            if not self._fragment_left:
                return
            self._receive(pieces, sink)

    def _take_whole_pdus(self, context_id: int, pieces: list[memoryview]) -> bool:
        """Take the PDUs of one fragment each that lie in the buffer whole: the hot loop.

        Returns
        -------
        bool
            Whether the last fragment of the dataset was among them. What is not so plain is
            left where it is.
        """
        view, position, end = self._view, self._start, self._end
        longest, plain = self._maximum, (context_id << 8, context_id << 8 | LAST)
        unpack, append = _PDU_OF_ONE_FRAGMENT.unpack_from, pieces.append
        is_last = False
        if self._pdu_left:
            return is_last
        while end - position >= _HEADERS and not is_last and len(pieces) < _MOST_FRAGMENTS:
            kind, length, size, header = unpack(view, position)
            after = position + length + PDU_HEADER.size
            if kind != P_DATA_TF or length != size + 4 or header not in plain:
                break
            if after > end or length > longest or size < 2:
                break
            append(view[position + _HEADERS : after])
            position = after
            is_last = header == plain[1]
        if position != self._start:
            self._start = position
            self._end_pdu()
        return is_last

    def end_message(self) -> None:
        """Note that the message is whole: its deadline is over."""
        self._message_until = _NEVER

    def is_at_message_end(self) -> bool:
        """Whether the PDU that ended the message holds nothing more."""
        return self._pdu_left == 0

    def is_between_messages(self) -> bool:
        """Whether nothing of a next message has come yet."""
        return self._is_between_pdus and self._start == self._end and self._message_until == _NEVER

    def stop(self) -> None:
        """End the wait for bytes; may be called from any thread."""
        self._is_stopped = True

    def release(self) -> None:
        """Give the buffer back; nothing can be read any more."""
        self._view = memoryview(b"")
        self._on_tick = _nothing

    def stay_awake(self) -> None:
        """Begin the wait for bytes anew: the peer waits for us."""
        self._heard = time.monotonic()

    def _begin_data(self, length: int) -> None:
        if not PDV_HEADER.size <= length <= self._maximum:
            raise ProtocolViolation(f"a P-DATA-TF PDU of {length} bytes")
        self._pdu_left = length
        self._is_between_pdus = False

    def _next_fragment(
        self, pieces: list[memoryview] | None = None, sink: Sink | None = None
    ) -> Fragment:
        """Read the header of the next fragment, which may begin in the next PDU."""
        if self._pdu_left == 0:
            self._need(PDU_HEADER.size, pieces, sink)
            kind, length = PDU_HEADER.unpack_from(self._view, self._start)
            if kind != P_DATA_TF:
                raise _interruption(kind)
            self._start += PDU_HEADER.size
            self._begin_data(length)
        self._need(PDV_HEADER.size, pieces, sink)
        length, context_id, flags = PDV_HEADER.unpack_from(self._view, self._start)
        self._start += PDV_HEADER.size
        self._pdu_left -= length + 4
        if length < 2 or self._pdu_left < 0 or 0 < self._pdu_left < PDV_HEADER.size:
            raise ProtocolViolation(f"a fragment of {length} bytes")
        self._fragment_left = length - 2
        return Fragment(context_id, bool(flags & COMMAND), bool(flags & LAST))

    def _rest_of_fragment(self, maximum: int) -> bytes:
        if self._fragment_left > maximum:
            raise ProtocolViolation("a command set is longer than we take")
        self._need(self._fragment_left)
        content = bytes(self._view[self._start : self._start + self._fragment_left])
        self._take(self._fragment_left)
        return content

    def _take(self, size: int) -> None:
        self._start += size
        self._fragment_left -= size
        if self._fragment_left == 0 and self._pdu_left == 0:
            self._end_pdu()

    def _end_pdu(self) -> None:
        self._is_between_pdus = True
        self._pdu_until = _NEVER

    def _need(
        self, size: int, pieces: list[memoryview] | None = None, sink: Sink | None = None
    ) -> None:
        while self._end - self._start < size:
            self._receive(pieces, sink, size)

    def _receive(
        self, pieces: list[memoryview] | None = None, sink: Sink | None = None, size: int = 1
    ) -> None:
        """Wait for bytes; hand on what is pending where its room is needed."""
        is_far = self._start >= _HANDOVER_BYTES or self._is_full(size)
        if pieces and sink and is_far:
            sink(pieces)
            pieces.clear()
        if not pieces and (is_far or self._start == self._end):
            self._compact()
        self._await_rest_of_pdu()
        if self._message_until != _NEVER:
            self._acknowledge()
        count = self._count_received()
        now = time.monotonic()
        if count:
            self._end += count
            self._heard = now
        self._keep_deadlines(now)

    def _await_rest_of_pdu(self) -> None:
        is_inside = not self._is_between_pdus or self._start < self._end
        if is_inside and self._pdu_until == _NEVER:
            self._pdu_until = time.monotonic() + self._deadlines.pdu_seconds

    def _is_full(self, size: int) -> bool:
        return self._end == BUFFER_BYTES or self._start + size > BUFFER_BYTES

    def _compact(self) -> None:
        """Move what is left to the front of the buffer: never more than a header or a command."""
        left = self._end - self._start
        if left and self._start:
            self._view[:left] = bytes(self._view[self._start : self._end])
        self._start, self._end = 0, left

    def _count_received(self) -> int:
        """Receive; 0 when nothing came for a while."""
        try:
            count = self._peer.recv_into(self._view[self._end :])
        except (BlockingIOError, TimeoutError):
            self._on_tick()
            return 0
        except OSError as error:
            raise ConnectionLost(error.errno, "the connection broke") from error
        if count == 0:
            raise ConnectionLost("the peer closed the connection")
        return count

    def _keep_deadlines(self, now: float) -> None:
        if self._is_stopped:
            raise TooSlow("the receiver stopped")
        if now > self._message_until:
            raise TooSlow(f"an instance took over {self._deadlines.message_seconds:g} s")
        if now > self._pdu_until:
            raise TooSlow(f"a PDU took over {self._deadlines.pdu_seconds:g} s")
        if now - self._heard > self.idle_seconds:
            raise TooSlow(f"nothing came for {self.idle_seconds:g} s")


def _nothing() -> None:
    """In place of what was to be done while waiting."""


def _interruption(kind: int) -> Exception:
    if kind == ABORT:
        return PeerAborted("the peer aborted the association")
    return ProtocolViolation(f"PDU type 0x{kind:02X} within a message")
