"""Senders behind a load balancer: as whom they are let in, counted and written down.

A real HAProxy is in tests/acceptance/test_several_nodes.py.
"""

import ipaddress
import logging
import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.sop_class import Verification

from listener import pdu
from listener.errors import ConnectionLost, ProtocolViolation
from listener.knocks import Knocks
from listener.proxied import source_behind
from listener.settings import AcceptRule, ReceiverSettings

BALANCER = "127.0.0.9"
ACCEPTED, REJECTED = 2, 3
ONLY_SENDER = (AcceptRule("*", ("127.0.0.7/32",)),)


def line(source="127.0.0.7"):
    return f"PROXY TCP4 {source} 127.0.0.9 40000 104\r\n".encode()


def block(source="127.0.0.7", command=0x21, more=b""):
    parsed = ipaddress.ip_address(source)
    ports = struct.pack(">HH", 40000, 104)
    body = parsed.packed * 2 + ports + more
    family = 0x11 if parsed.version == 4 else 0x21
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", command, family, len(body)) + body


LOCAL = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", 0x20, 0, 0)


def associate_rq(called=b"SAFELIGHT"):
    """An A-ASSOCIATE-RQ for C-ECHO (PS3.8 9.3.2)."""

    def item(kind, content):
        return struct.pack(">BxH", kind, len(content)) + content

    syntaxes = item(0x30, Verification.encode()) + item(0x40, b"1.2.840.10008.1.2")
    body = b"\0\1\0\0" + called.ljust(16) + b"CT1".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, b"\1\0\0\0" + syntaxes)
    body += item(0x50, item(0x51, struct.pack(">I", 16384)))
    return struct.pack(">BxI", pdu.ASSOCIATE_RQ, len(body)) + body


@pytest.fixture
def connect():
    """Function that connects to a receiver from an address of this machine."""
    opened = []

    def make(receiver, source=BALANCER):
        peer = socket.create_connection(
            ("127.0.0.1", receiver.port), timeout=60, source_address=(source, 0)
        )
        opened.append(peer)
        return peer

    yield make
    for peer in opened:
        peer.close()


def answer(peer):
    """The type of the next PDU; None where the connection ended."""
    try:
        first = peer.recv(1)
    except ConnectionResetError:
        return None
    return first[0] if first else None


@pytest.mark.parametrize(
    "header",
    [
        line(),
        block(),
        block(more=b"\x03\0\4abcd"),
        line("::ffff:127.0.0.7"),
        block("::ffff:127.0.0.7"),
    ],
)
def test_a_sender_behind_a_balancer_is_let_in_and_written_down_by_its_own_address(
    receiving, connect, journal_of, header
):
    peer = connect(receiving(proxy_from=(BALANCER,), accept=ONLY_SENDER))
    peer.sendall(header + associate_rq())
    assert answer(peer) == ACCEPTED
    (accepted,) = journal_of("accepted")
    assert accepted.address == "127.0.0.7"


def test_a_sender_that_may_not_come_is_rejected_whatever_the_balancer_may(
    receiving, connect, journal_of
):
    peer = connect(receiving(proxy_from=(BALANCER,), accept=ONLY_SENDER))
    peer.sendall(block("127.0.0.8") + associate_rq())
    assert answer(peer) == REJECTED
    (rejected,) = journal_of("rejected")
    assert "opens address 127.0.0.8" in rejected.reason


def test_a_header_that_comes_in_pieces_is_read_and_nothing_behind_it(receiving, connect):
    peer = connect(receiving(proxy_from=(BALANCER,), accept=ONLY_SENDER))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in line() + associate_rq():
        peer.sendall(bytes([byte]))
    assert answer(peer) == ACCEPTED


def test_who_is_no_balancer_cannot_say_that_it_is_another(receiving, connect, journal_of, caplog):
    caplog.set_level(logging.INFO)
    receiver = receiving(proxy_from=(BALANCER,), accept=ONLY_SENDER)
    for header in (line(), block()):
        peer = connect(receiver, "127.0.0.6")
        peer.sendall(header + associate_rq())
        assert answer(peer) in (pdu.ABORT, None)
    assert "127.0.0.6" in caplog.text
    assert "sent a PROXY header and is not in [dicom] proxy_from" in caplog.text
    direct = connect(receiver, "127.0.0.7")  # others go on as without a balancer
    direct.sendall(associate_rq())
    assert answer(direct) == ACCEPTED
    assert len(journal_of("accepted")) == 1


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (associate_rq(), "sent no PROXY header: have it send one (HAProxy: send-proxy-v2)"),
        (b"PROXY TCP4 nowhere 127.0.0.9 1 2\r\n", "names no TCP connection"),
        (b"PROXY TCP4" + b" " * 200, "does not end"),
        (block(command=0x22), "names no TCP connection"),
        (block(more=bytes(5000)), "longer than we take"),
    ],
)
def test_a_balancer_that_does_not_say_for_whom_is_refused_and_the_log_says_what_to_do(
    receiving, connect, caplog, sent, why
):
    peer = connect(receiving(proxy_from=(BALANCER,)))
    peer.sendall(sent)
    assert answer(peer) is None
    assert f"a connection from {BALANCER} was refused: " in caplog.text
    assert why in caplog.text


@pytest.mark.parametrize("local", [LOCAL, b"PROXY UNKNOWN\r\n"])
def test_a_balancer_may_speak_for_itself(receiving, connect, journal_of, local):
    rule = AcceptRule("*", (f"{BALANCER}/32",))
    peer = connect(receiving(proxy_from=(BALANCER,), accept=(rule,)))
    peer.sendall(local + associate_rq())
    assert answer(peer) == ACCEPTED
    (accepted,) = journal_of("accepted")
    assert accepted.address == BALANCER


def test_senders_behind_a_balancer_do_not_use_up_each_others_connections(
    receiving, connect, journal_of
):
    receiver = receiving(
        proxy_from=(BALANCER,),
        maximum_connections_per_address=2,
        accept=(AcceptRule("*", ("127.0.0.0/8",)),),
    )
    answers = []
    for source in ("127.0.0.7", "127.0.0.7", "127.0.0.8", "127.0.0.8", "127.0.0.7"):
        peer = connect(receiver)
        peer.sendall(block(source) + associate_rq())
        answers.append(answer(peer))
    assert answers == [ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED, REJECTED]


def test_a_balancer_that_says_nothing_is_cut(receiving, connect):
    receiver = receiving(proxy_from=(BALANCER,), pdu_seconds=0.3)
    peer = connect(receiver)
    peer.sendall(line()[:9])
    deadline = time.monotonic() + 10
    peer.settimeout(0.1)
    while time.monotonic() < deadline:
        receiver.heartbeat()
        try:
            assert peer.recv(1) == b""
        except TimeoutError:
            continue
        return
    raise AssertionError("it was not cut")


def test_checks_by_a_balancer_are_logged_once_and_then_counted(
    receiving, connect, caplog, spool, wait_until
):
    caplog.set_level(logging.INFO)
    receiver = receiving(proxy_from=(BALANCER,))
    asked = pdu.release_request()  # what docs/several-nodes.md has HAProxy send
    for _ in range(5):
        peer = connect(receiver)
        peer.sendall(LOCAL + asked)
        assert answer(peer) == pdu.ABORT
        while answer(peer) is not None:
            pass
    for _ in range(5):
        connect(receiver).close()

    def said():
        return [line for line in caplog.messages if BALANCER in line]

    wait_until(lambda: len(said()) == 2, "one line of each kind")
    receiver.stop()
    assert len(said()) == 2
    assert all("ended before an association" in line for line in said())
    events = [line for path in spool.journal.iterdir() for line in path.read_text().split("\n")]
    assert all('"event": "started"' in line for line in events if line)


def test_what_was_counted_is_told_once_an_hour(caplog):
    caplog.set_level(logging.INFO)
    time_now = [0.0]
    knocks = Knocks(lambda: time_now[0])
    for seconds in (0, 1, 2, 3599, 3601, 3602):
        time_now[0] = seconds
        knocks.note("10.0.0.5", "the peer closed the connection")
    first = "a connection from 10.0.0.5 ended before an association: the peer closed the connection"
    more = "3 more connections from 10.0.0.5 ended before an association: the peer closed"
    assert caplog.messages == [first, f"{more} the connection", first]


@given(st.binary(max_size=200))
def test_no_bytes_of_a_balancer_harm_the_reader(sent):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.close()
        try:
            source = source_behind(ours)
        except (ConnectionLost, ProtocolViolation):
            return
    assert source is None or ipaddress.ip_address(source)


def test_what_is_no_network_is_no_balancer():
    with pytest.raises(ValueError, match="proxy_from: expected networks"):
        ReceiverSettings(proxy_from=("haproxy.example",))
