"""Connections that break, stall, flood or babble.

Not covered: a peer whose packets are dropped by the network; to the node it is a silent one.
"""

import itertools
import random
import socket
import ssl
import struct
import threading
import time
from pathlib import Path

import psutil
import pytest
from canary import make_instance
from pydicom.uid import CTImageStorage
from raw_peer import CONTEXTS
from wronged_node import wait_until

MIB = 1 << 20
GARBAGE = {
    "a request of the web": b"GET / HTTP/1.1\r\nHost: canary\r\n\r\n",
    "the beginning of a TLS handshake": bytes.fromhex("160301020001000001fc0303") + bytes(60),
    "a P-DATA-TF": struct.pack(">BxIIBB", 4, 10, 6, 1, 3) + bytes(4),
    "an A-RELEASE-RQ": struct.pack(">BxI4x", 5, 4),
    "an A-ASSOCIATE-AC": struct.pack(">BxI", 2, 68) + bytes(68),
    "random bytes": b"\xee" + random.Random(3).randbytes(999),
    "zeros": bytes(100),
}


def is_abort(pdu, source):
    """Whether it is an A-ABORT of a source: 0 the service user, 2 the provider (PS3.8 9.3.8)."""
    return pdu is not None and pdu.kind == 7 and len(pdu.body) == 4 and pdu.body[2] == source


def test_an_instance_that_is_aborted_leaves_nothing(strict):
    peer = strict.associated()
    instance = make_instance()
    peer.begin(instance)
    wait_until(strict.incoming, "the beginning of the instance")
    peer.send(peer.pdu(7, bytes(4)))
    ending = strict.wait_for_event(peer, "aborted")
    assert "stored" not in ending
    wait_until(lambda: not strict.incoming(), "the beginning to be gone")
    assert strict.kept(instance) == []
    assert strict.wait_for_association(peer, "aborted").stored == 0


def test_an_instance_whose_connection_is_reset_leaves_nothing(strict):
    peer = strict.associated()
    stored, broken = make_instance(), make_instance()
    assert peer.store(stored).status == 0x0000
    peer.begin(broken)
    wait_until(strict.incoming, "the beginning of the instance")
    peer.reset()
    assert strict.wait_for_event(peer, "lost")["stored"] == 1
    wait_until(lambda: not strict.incoming(), "the beginning to be gone")
    assert strict.kept(broken) == []
    assert strict.wait_for_association(peer, "lost").stored == 1


def test_a_peer_that_falls_silent_between_messages_is_aborted(strict):
    peer = strict.associated()
    assert is_abort(peer.read(), 0)
    assert peer.read() is None
    assert "nothing came for 5 s" in strict.wait_for_event(peer, "aborted")["reason"]


def test_a_peer_that_falls_silent_within_an_instance_is_aborted(strict):
    peer = strict.associated()
    peer.begin(make_instance())
    assert is_abort(peer.read(), 0)
    assert peer.read() is None
    strict.wait_for_association(peer, "aborted")


@pytest.mark.parametrize("beginning", [b"", b"\1\0\0"], ids=["nothing", "half a header"])
def test_a_peer_that_never_asks_for_an_association_is_disconnected(strict, beginning):
    peer = strict.connect()
    peer.send(beginning)
    peer.read()  # an A-ABORT may come first
    assert peer.read() is None


def test_an_association_request_that_comes_byte_by_byte_is_not_waited_for(strict):
    peer = strict.connect()
    began = time.monotonic()
    peer.drip(struct.pack("B", byte) for byte in peer.associate_rq())
    assert time.monotonic() - began > 2.7
    peer.read()
    assert peer.read() is None
    assert strict.events(peer) == []


def test_a_pdu_that_comes_byte_by_byte_is_not_waited_for(strict):
    peer = strict.associated()
    began = time.monotonic()
    peer.drip(struct.pack("B", byte) for byte in peer.store_rq(make_instance()))
    assert time.monotonic() - began > 2.7
    assert is_abort(peer.read(), 0)
    assert "a PDU took over 3 s" in strict.wait_for_event(peer, "aborted")["reason"]


def test_an_instance_that_comes_in_whole_but_tiny_pdus_is_not_waited_for(strict):
    peer = strict.associated()
    instance = make_instance()
    peer.send(peer.store_rq(instance))
    began = time.monotonic()
    peer.drip(peer.fragment(struct.pack("B", byte)) for byte in instance.dataset)
    assert time.monotonic() - began > 7.5
    assert is_abort(peer.read(), 0)
    assert "an instance took over 8 s" in strict.wait_for_event(peer, "aborted")["reason"]
    assert strict.kept(instance) == []


@pytest.mark.parametrize("kind", [1, 4, 9], ids=["A-ASSOCIATE-RQ", "P-DATA-TF", "no known PDU"])
def test_a_first_pdu_of_4_gib_is_refused_by_its_header_and_not_buffered(strict, kind):
    grown = strict.memory_growth()
    peer = strict.connect()
    peer.send(struct.pack(">BxI", kind, 0xFFFFFFFF))
    assert is_abort(peer.read(), 2)
    flood(peer, 100 * MIB)
    assert grown() < 20


@pytest.mark.parametrize("length", [32769, 0xFFFFFFFF])
def test_a_pdu_over_the_limit_is_refused_by_its_header_and_not_buffered(strict, length):
    grown = strict.memory_growth()
    peer = strict.associated()
    peer.send(peer.store_rq(make_instance()) + struct.pack(">BxI", 4, length))
    assert is_abort(peer.read(), 2)
    flood(peer, 100 * MIB)
    assert grown() < 20
    assert str(length) in strict.wait_for_event(peer, "aborted")["reason"]


def test_a_pdu_of_just_the_limit_is_taken(strict):
    peer = strict.associated()
    instance = make_instance(PixelData=bytes(32768))
    peer.send(peer.store_rq(instance) + peer.dataset(instance.dataset, size=32768 - 6))
    assert peer.answer().status == 0x0000


@pytest.mark.parametrize("length", [0, 1, 5, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_fragment_that_does_not_fit_its_pdu_aborts(strict, length):
    peer = strict.associated()
    peer.send(peer.store_rq(make_instance()))
    peer.send(struct.pack(">BxIIBB", 4, 10, length, 1, 0) + bytes(4))
    assert is_abort(peer.read(), 2)
    strict.wait_for_event(peer, "aborted")


def flood(peer, size):
    """Send `size` bytes, or as many as are taken."""
    peer.socket.settimeout(5)
    chunk = bytes(MIB)
    try:
        for _ in range(size // len(chunk)):
            peer.send(chunk)
    except OSError:
        return


def test_an_instance_over_the_limit_is_refused_and_the_association_goes_on(strict):
    peer = strict.associated()
    instance = make_instance(PixelData=bytes(5 * MIB))
    answer = peer.store(instance)
    assert answer.status == 0xA700
    assert "large" in answer.comment
    assert peer.store(make_instance()).status == 0x0000
    peer.release()
    assert strict.kept(instance) == []
    refused = strict.wait_for_event(peer, "refused")
    assert "0xA700" in refused["reason"]
    assert strict.wait_for_association(peer, "released").refused == 1


def test_an_instance_that_never_ends_is_refused_at_the_limit_and_then_aborted(strict):
    grown = strict.memory_growth()
    peer = strict.associated()
    instance = make_instance()
    peer.send(peer.store_rq(instance))
    sender = threading.Thread(target=send_forever, args=(peer,))
    sender.start()
    assert peer.answer().status == 0xA700
    last = peer.read()  # the reset that follows may overtake it
    assert last is None or is_abort(last, 2)
    sender.join(60)
    assert not sender.is_alive()
    strict.wait_for_event(peer, "aborted")
    assert strict.kept(instance) == []
    assert grown() < 20


def send_forever(peer):
    fragment = peer.fragment(bytes(30000))
    try:
        while True:
            peer.send(fragment)
    except OSError:
        return


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_instead_of_an_association_request_is_aborted(strict, garbage):
    peer = strict.connect()
    peer.send(garbage)
    assert is_abort(peer.read(), 2)
    assert peer.read() is None


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 6, 8, 255])
def test_a_pdu_that_does_not_belong_into_an_association_is_aborted(strict, kind):
    peer = strict.associated()
    peer.send(peer.pdu(kind, bytes(74)))
    assert is_abort(peer.read(), 2)
    strict.wait_for_event(peer, "aborted")


def test_500_idle_connections_keep_nobody_out(node):
    idle = [node.connect() for _ in range(500)]
    for source in ("127.0.0.1", "127.0.0.9"):
        peer = node.associated(source)
        assert peer.store(make_instance()).status == 0x0000
        peer.release()
    threads = sum(process.num_threads() for process in node.receivers())
    assert threads < 200
    wait_until(lambda: sum(map(is_closed, idle)) >= 480, "all but 20 of the idle to be closed")


def test_500_idle_connections_from_many_addresses_keep_nobody_out(node):
    for number in range(500):
        node.connect(f"127.0.0.{100 + number % 100}")
    peer = node.associated()
    assert peer.store(make_instance()).status == 0x0000
    peer.release()


def is_closed(peer):
    peer.socket.setblocking(False)
    try:
        return peer.socket.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_one_address_has_20_associations_and_another_is_still_served(node):
    many = [node.associated() for _ in range(20)]
    one_more = node.connect()
    assert one_more.associate() == (3, bytes((0, 2, 3, 2)))
    assert one_more.read() is None
    assert "many" in node.wait_for_association(one_more, "rejected").reason
    assert node.associated("127.0.0.9").echo().status == 0x0000
    many[0].release()
    wait_until(lambda: is_let_in(node, "127.0.0.1"), "the freed place to be given")


def test_one_association_over_the_limit_is_rejected_as_transient(node):
    many = [node.associated(f"127.0.0.{10 + number % 3}") for number in range(30)]
    assert node.connect("127.0.0.20").associate() == (3, bytes((0, 2, 3, 2)))
    assert {peer.echo().status for peer in many} == {0x0000}
    many[0].release()
    wait_until(lambda: is_let_in(node, "127.0.0.20"), "the freed place to be given")


def is_let_in(node, source):
    answer = node.connect(source).associate()
    return answer is not None and answer.kind == 2


@pytest.mark.parametrize("beginning", [b"", bytes.fromhex("1603010200010001")])
def test_silent_clients_of_the_tls_port_hold_up_nobody(strict, authority, beginning):
    silent = [strict.connect(port=strict.tls_port) for _ in range(10)]
    for peer in silent:
        peer.send(beginning)
    began = time.monotonic()
    for _ in range(3):
        peer = strict.connect(port=strict.tls_port)
        shake_hands(peer, authority)
        assert peer.established().store(make_instance()).status == 0x0000
        peer.release()
    assert (
        time.monotonic() - began < 25
    )  # ten handshakes one after the other are given up after 30 s
    for peer in silent:
        assert peer.read() is None


def shake_hands(peer, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    peer.socket = context.wrap_socket(peer.socket, server_hostname="127.0.0.1")


def test_a_plain_association_request_on_the_tls_port_is_not_answered_in_the_clear(strict):
    peer = strict.connect(port=strict.tls_port)
    peer.send(peer.associate_rq())
    answer = peer.read()
    assert answer is None or answer.kind == 0x15  # an alert of TLS
    assert strict.events(peer) == []


@pytest.fixture
def without_descriptors(node):
    """Function that takes all but a few descriptors from the receivers; given back at the end."""
    before = {process: process.rlimit(psutil.RLIMIT_NOFILE) for process in node.receivers()}

    def take(spare=0):
        for process, (_, hard) in before.items():
            used = {int(path.name) for path in Path(f"/proc/{process.pid}/fd").iterdir()}
            free = (number for number in itertools.count() if number not in used)
            limit = next(itertools.islice(free, spare, None))
            process.rlimit(psutil.RLIMIT_NOFILE, (limit, hard))

    def give_back():
        for process, limits in before.items():
            process.rlimit(psutil.RLIMIT_NOFILE, limits)

    take.give_back = give_back
    yield take
    give_back()


def test_with_no_descriptor_left_an_instance_is_refused_and_taken_when_there_is(
    node, without_descriptors
):
    peer = node.associated()
    assert peer.store(make_instance()).status == 0x0000
    without_descriptors()
    lost = make_instance()
    assert peer.store(lost).status == 0xA700
    assert node.kept(lost) == []
    without_descriptors.give_back()
    assert peer.store(lost).status == 0x0000
    peer.release()
    assert node.wait_for_association(peer, "released").refused == 1


def test_with_no_descriptor_left_connections_wait_and_are_served_when_there_is(
    node, without_descriptors
):
    already = len(node.log())
    without_descriptors(spare=1)
    waiting = [node.connect(f"127.0.0.{30 + number}") for number in range(8)]
    for peer in waiting:
        peer.send(peer.associate_rq())
    wait_until(lambda: "cannot be taken now" in node.log()[already:], "the log to say so")
    without_descriptors.give_back()
    answers = [peer.read() for peer in waiting]
    assert [answer is not None and answer.kind for answer in answers].count(2) >= 6
    assert node.log()[already:].count("cannot be taken now") < 200  # no storm of lines


REJECTED = {
    "an unknown calling AE title": ("127.0.1.1", b"STRANGER", b"SAFELIGHT", 3),
    "a known one from a wrong address": ("127.0.2.1", b"ROUTER", b"SAFELIGHT", 3),
    "one that may call us, not another": ("127.0.1.1", b"ROUTER", b"ELSEWHERE", 7),
    "a called AE title in lower case": ("127.0.0.1", b"ANYONE", b"safelight", 7),
    "an empty called AE title": ("127.0.0.1", b"ANYONE", b"", 7),
}


@pytest.mark.parametrize(
    ("source", "calling", "called", "reason"), REJECTED.values(), ids=REJECTED.keys()
)
def test_who_is_not_let_in_is_rejected_and_the_ledger_knows(node, source, calling, called, reason):
    peer = node.connect(source)
    known = {row.association_id for row in rejected(node)}
    assert peer.associate(calling=calling, called=called) == (3, bytes((0, 1, 1, reason)))
    assert peer.read() is None
    wait_until(lambda: len(rejected(node)) > len(known), "the rejection in the ledger")
    (row,) = [row for row in rejected(node) if row.association_id not in known]
    assert (row.address, row.calling_ae) == (source, calling.decode())
    assert (called if reason == 7 else calling).decode() in row.reason


def rejected(node):
    rows = node.read_ledger(lambda reader: reader.associations(limit=1000))
    return [row for row in rows if row.state == "rejected"]


def test_the_router_is_let_in_from_its_address(node):
    peer = node.connect("127.0.1.1").established(calling=b"ROUTER")
    assert peer.store(make_instance()).status == 0x0000
    peer.release()


def test_what_is_sent_right_after_a_rejected_request_is_not_stored(node):
    peer = node.connect("127.0.2.1")
    instance = make_instance()
    peer.send(peer.associate_rq() + peer.store_rq(instance) + peer.dataset(instance.dataset))
    assert peer.read() == (3, bytes((0, 1, 1, 3)))
    assert peer.read() is None
    assert node.kept(instance) == []


def test_128_presentation_contexts_are_each_answered(node):
    contexts = dict(zip(range(1, 256, 2), itertools.cycle(CONTEXTS.values()), strict=False))
    peer = node.connect()
    assert peer.results(peer.associate(contexts=contexts)) == dict.fromkeys(contexts, 0)
    assert CTImageStorage in {sop_class for sop_class, _ in contexts.values()}


def test_connections_that_are_made_and_reset_at_once_cost_nothing(node):
    files = [process.num_fds() for process in node.receivers()]
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", node.port)) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(
        lambda: sum(process.num_fds() for process in node.receivers()) <= sum(files) + 2,
        "their descriptors to be closed",
    )
