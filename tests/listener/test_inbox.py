"""PDUs as they come in: every cut of the byte stream, and every deadline.

Whole associations are in test_scp.py.
"""

import itertools
import socket
import struct
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.errors import ConnectionLost, PeerAborted, ProtocolViolation, TooSlow
from listener.inbox import BUFFER_BYTES, Deadlines, Inbox
from listener.pdu import ABORT, COMMAND, LAST, P_DATA_TF, RELEASE_RQ

PATIENT = Deadlines(pdu_seconds=30, message_seconds=30, idle_seconds=30)
MAXIMUM = 1 << 16


def nothing():
    pass


@pytest.fixture
def connect():
    """Function that returns a peer's socket and the inbox at its other end."""
    opened = []

    def make(deadlines=PATIENT, tick=0.02):
        peer, ours = socket.socketpair()
        ours.settimeout(tick)
        opened.extend((peer, ours))
        return peer, Inbox(ours, deadlines, MAXIMUM, nothing, nothing)

    yield make
    for end in opened:
        end.close()


def pdv(content, flags, context_id=1):
    return struct.pack(">IBB", len(content) + 2, context_id, flags) + content


def data_pdu(*pdvs):
    body = b"".join(pdvs)
    return struct.pack(">BxI", P_DATA_TF, len(body)) + body


def received(inbox, context_id=1):
    """Command and dataset of the next message."""
    if inbox.is_at_message_end():
        assert inbox.header()[0] == P_DATA_TF
    found, command = inbox.command()
    assert found == context_id
    dataset = bytearray()
    inbox.dataset(context_id, lambda pieces: [dataset.extend(piece) for piece in pieces])
    inbox.end_message()
    return command, bytes(dataset)


@st.composite
def messages(draw):
    """A command, a dataset, and their bytes cut into fragments and PDUs in any way."""
    command = draw(st.binary(min_size=1, max_size=200))
    dataset = draw(st.binary(min_size=1, max_size=3000))
    fragments = []
    for content, kind in ((command, COMMAND), (dataset, 0)):
        cuts = sorted(draw(st.sets(st.integers(1, max(1, len(content) - 1)), max_size=6)))
        edges = [0, *cuts, len(content)]
        parts = [content[a:b] for a, b in itertools.pairwise(edges)]
        fragments += [pdv(part, kind) for part in parts[:-1]] + [pdv(parts[-1], kind | LAST)]
    pdus, pending = [], []
    for fragment in fragments:
        pending.append(fragment)
        if draw(st.booleans()):
            pdus.append(data_pdu(*pending))
            pending = []
    if pending:
        pdus.append(data_pdu(*pending))
    return command, dataset, b"".join(pdus)


@given(st.lists(messages(), min_size=1, max_size=3), st.data())
def test_however_a_message_is_cut_its_bytes_come_out_in_order(whole, data):
    stream = b"".join(message[2] for message in whole)
    peer, ours = socket.socketpair()
    ours.settimeout(0.02)
    inbox = Inbox(ours, PATIENT, MAXIMUM, nothing, nothing)
    sizes = data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=40))

    def send():
        rest, turn = stream, 0
        while rest:
            size = sizes[turn % len(sizes)]
            peer.sendall(rest[:size])
            rest, turn = rest[size:], turn + 1

    with peer, ours:
        sender = threading.Thread(target=send)
        sender.start()
        for command, dataset, _ in whole:
            assert received(inbox) == (command, dataset)
        sender.join()
        assert inbox.is_between_messages()


def test_a_dataset_larger_than_the_buffer_is_handed_on_in_pieces(connect):
    peer, inbox = connect()
    content = bytes(range(256)) * 4096 * 3  # 3 MiB
    pdus = [data_pdu(pdv(b"command", COMMAND | LAST))]
    pdus += [data_pdu(pdv(content[i : i + 60_000], 0)) for i in range(0, len(content), 60_000)]
    pdus.append(data_pdu(pdv(b"", LAST)))
    sender = threading.Thread(target=peer.sendall, args=(b"".join(pdus),))
    sender.start()
    inbox.header()
    inbox.command()
    handed = []
    inbox.dataset(1, lambda pieces: handed.append(b"".join(pieces)))
    sender.join()
    assert b"".join(handed) == content
    assert max(map(len, handed)) <= BUFFER_BYTES


def test_a_dataset_of_single_bytes_is_handed_on_in_pieces_the_kernel_takes(connect):
    peer, inbox = connect()
    content = bytes(range(250)) * 20
    stream = data_pdu(pdv(b"command", COMMAND | LAST))
    stream += b"".join(data_pdu(pdv(content[i : i + 1], 0)) for i in range(len(content)))
    stream += data_pdu(*(pdv(b"", 0) for _ in range(5000)), pdv(b"", LAST))
    sender = threading.Thread(target=peer.sendall, args=(stream,))
    sender.start()
    inbox.header()
    inbox.command()
    handed = []
    inbox.dataset(1, lambda pieces: handed.append(list(map(bytes, pieces))))
    sender.join()
    assert b"".join(b"".join(pieces) for pieces in handed) == content
    assert max(map(len, handed)) < 1024  # IOV_MAX


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (struct.pack(">BxI", P_DATA_TF, MAXIMUM + 1), "a P-DATA-TF PDU of 65537 bytes"),
        (struct.pack(">BxI", P_DATA_TF, 0xFFFFFFFF), "a P-DATA-TF PDU of 4294967295 bytes"),
        (struct.pack(">BxI", P_DATA_TF, 5), "a P-DATA-TF PDU of 5 bytes"),
        (struct.pack(">BxIIBB", P_DATA_TF, 10, 7, 1, 3), "a fragment of 7 bytes"),
        (struct.pack(">BxIIBB", P_DATA_TF, 10, 1, 1, 3), "a fragment of 1 bytes"),
        (data_pdu(pdv(b"dataset first", LAST)), "does not belong"),
        (data_pdu(pdv(b"c", COMMAND)) + data_pdu(pdv(b"d", COMMAND | LAST, 3)), "not belong"),
        (data_pdu(pdv(b"c" * 65_000, COMMAND)) * 2, "a command set is longer than we take"),
        (
            data_pdu(pdv(b"c", COMMAND)) + struct.pack(">BxI", RELEASE_RQ, 4),
            "PDU type 0x05 within a message",
        ),
    ],
)
def test_what_the_protocol_forbids_ends_the_association_before_it_is_buffered(
    connect, stream, reason
):
    peer, inbox = connect()
    peer.sendall(stream)
    with pytest.raises(ProtocolViolation, match=reason):  # noqa: PT012 - either may raise
        inbox.header()
        inbox.command()


def test_an_abort_within_a_message_is_the_peers_abort(connect):
    peer, inbox = connect()
    peer.sendall(data_pdu(pdv(b"c", COMMAND)) + struct.pack(">BxI4x", ABORT, 4))
    inbox.header()
    with pytest.raises(PeerAborted):
        inbox.command()


def test_a_closed_connection_is_lost(connect):
    peer, inbox = connect()
    peer.close()
    with pytest.raises(ConnectionLost):
        inbox.header()


def test_a_peer_that_sends_nothing_is_given_up_after_the_idle_time(connect):
    _, inbox = connect(Deadlines(pdu_seconds=30, message_seconds=30, idle_seconds=0.1))
    with pytest.raises(TooSlow, match="nothing came for"):
        inbox.header()


def test_a_header_that_does_not_end_is_given_up_after_the_pdu_time(connect):
    peer, inbox = connect(Deadlines(pdu_seconds=0.1, message_seconds=30, idle_seconds=30))
    peer.sendall(b"\x04\0\0")
    with pytest.raises(TooSlow, match="a PDU took over"):
        inbox.header()


def test_the_pdu_time_counts_from_each_pdus_first_byte(connect):
    """Many PDUs that are each in time may take longer than one may."""
    peer, inbox = connect(Deadlines(pdu_seconds=0.3, message_seconds=30, idle_seconds=30))

    def send():
        for _ in range(10):
            peer.sendall(data_pdu(pdv(b"x" * 10, 0))[:9])
            time.sleep(0.05)
            peer.sendall(data_pdu(pdv(b"x" * 10, 0))[9:])
        peer.sendall(data_pdu(pdv(b"", LAST)))

    peer.sendall(data_pdu(pdv(b"c", COMMAND | LAST)))
    sender = threading.Thread(target=send)
    sender.start()
    assert received(inbox) == (b"c", b"x" * 100)
    sender.join()


def test_a_message_that_drips_is_given_up_after_its_time_although_bytes_come(connect):
    peer, inbox = connect(Deadlines(pdu_seconds=30, message_seconds=0.3, idle_seconds=30))
    over = threading.Event()

    def drip():
        peer.sendall(data_pdu(pdv(b"c", COMMAND | LAST)))
        while not over.wait(0.02):
            peer.sendall(data_pdu(pdv(b"x", 0)))

    sender = threading.Thread(target=drip)
    sender.start()
    try:
        with pytest.raises(TooSlow, match="an instance took over"):
            received(inbox)
    finally:
        over.set()
        sender.join()


def test_a_stopped_inbox_ends_its_wait(connect):
    _, inbox = connect()
    threading.Timer(0.05, inbox.stop).start()
    with pytest.raises(TooSlow, match="the receiver stopped"):
        inbox.header()
