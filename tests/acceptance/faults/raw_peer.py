"""A DICOM peer made of bytes: it sends whatever a test wants, and waits 20 s for an answer.

It shares no code with the receiver. PS3.8 9.3 has the PDUs, PS3.7 9.3 the commands.
"""

import select
import socket
import struct
import time
import uuid
from typing import NamedTuple

from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom.sop_class import Verification

STORE, ECHO, IMPLICIT, DEFLATED = 1, 3, 5, 7
CONTEXTS = {
    STORE: (CTImageStorage, [ExplicitVRLittleEndian]),
    ECHO: (Verification, [ImplicitVRLittleEndian]),
    IMPLICIT: (CTImageStorage, [ImplicitVRLittleEndian]),
    DEFLATED: (CTImageStorage, [DeflatedExplicitVRLittleEndian]),
}


class Pdu(NamedTuple):
    """A PDU that came: its type, and what follows its first six bytes."""

    kind: int
    body: bytes


class Answer(NamedTuple):
    """The response to a request: status, and Error Comment."""

    status: int
    comment: str


class Peer:
    """A connection to a node that sends whatever a test wants (PS3.8 9.3).

    Each has a calling AE title of its own, by which the journal and the ledger tell it.
    """

    def __init__(self, port, source="127.0.0.1", acknowledged=None):
        self.calling = f"P{uuid.uuid4().hex[:12]}"
        self.acknowledged = [] if acknowledged is None else acknowledged
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=60, source_address=(source, 0)
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def reset(self):
        """End the connection as a crashed peer's kernel would: with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def drip(self, data, every=0.25, seconds=30):
        """Send pieces one at a time until the node answers or ends the connection."""
        deadline = time.monotonic() + seconds
        for piece in data:
            try:
                self.socket.sendall(piece)
            except ConnectionError:
                return
            if select.select([self.socket], [], [], every)[0]:
                return
            assert time.monotonic() < deadline, f"still open after {seconds} s of dripping"

    def read(self):
        """The next PDU; None where the node ended the connection instead."""
        header = self._read(6)
        if header is None:
            return None
        body = self._read(int.from_bytes(header[2:]))
        return None if body is None else Pdu(header[0], body)

    def _read(self, count):
        content = b""
        while len(content) < count:
            try:
                more = self.socket.recv(count - len(content))
            except ConnectionError:
                return None
            if not more:
                return None
            content += more
        return content

    def associate(self, calling=None, called=b"SAFELIGHT", contexts=None):
        """Ask for an association (PS3.8 9.3.2); return the answer."""
        self.send(self.associate_rq(calling, called, contexts))
        return self.read()

    def associate_rq(self, calling=None, called=b"SAFELIGHT", contexts=None):
        """An A-ASSOCIATE-RQ; `contexts` maps identifiers to a SOP class and its syntaxes."""
        proposed = b"".join(
            _item(
                0x20,
                bytes([number, 0, 0, 0])
                + _item(0x30, sop_class.encode())
                + b"".join(_item(0x40, syntax.encode()) for syntax in syntaxes),
            )
            for number, (sop_class, syntaxes) in (contexts or CONTEXTS).items()
        )
        user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.826.0.1.98")
        titles = called.ljust(16) + (calling or self.calling.encode()).ljust(16)
        application = _item(0x10, b"1.2.840.10008.3.1.1.1")
        body = b"\0\1\0\0" + titles + bytes(32) + application + proposed + _item(0x50, user)
        return self.pdu(1, body)

    def established(self, **request):
        """Associate, and require that it is accepted; return the peer itself."""
        answer = self.associate(**request)
        assert answer is not None
        assert answer.kind == 2, answer
        return self

    def results(self, acceptance):
        """Context identifier to result, of an A-ASSOCIATE-AC (PS3.8 Table 9-18)."""
        assert acceptance.kind == 2, acceptance
        found, at = {}, 68
        while at < len(acceptance.body):
            kind, length = struct.unpack_from(">BxH", acceptance.body, at)
            if kind == 0x21:
                found[acceptance.body[at + 4]] = acceptance.body[at + 6]
            at += 4 + length
        return found

    def pdu(self, kind, body):
        return struct.pack(">BxI", kind, len(body)) + body

    def fragment(self, content, context=STORE, *, last=False, command=False):
        """A P-DATA-TF with one presentation data value (PS3.8 9.3.5, E.2)."""
        flags = 2 * last + command
        value = struct.pack(">IBB", len(content) + 2, context, flags) + content
        return self.pdu(4, value)

    def store_rq(self, instance, context=STORE):
        """A C-STORE-RQ command (PS3.7 Table 9.3-1) as a P-DATA-TF."""
        return self.fragment(
            _command(
                (0x0002, _even(instance.sop_class_uid)),
                (0x0100, struct.pack("<H", 1)),
                (0x0110, struct.pack("<H", 1)),
                (0x0700, struct.pack("<H", 0)),
                (0x0800, struct.pack("<H", 1)),
                (0x1000, _even(instance.sop_instance_uid)),
            ),
            context,
            last=True,
            command=True,
        )

    def dataset(self, content, context=STORE, *, last=True, size=16000):
        """A dataset, or its beginning, as P-DATA-TFs."""
        starts = range(0, max(len(content), 1), size)
        return b"".join(
            self.fragment(
                content[start : start + size], context, last=last and start + size >= len(content)
            )
            for start in starts
        )

    def offer(self, instance, context=STORE):
        """Send an instance without reading the answer."""
        self.send(self.store_rq(instance, context) + self.dataset(instance.dataset, context))

    def store(self, instance, context=STORE):
        """Send an instance; return the answer to it."""
        self.offer(instance, context)
        answer = self.answer()
        if answer.status == 0x0000:
            self.acknowledged.append(instance)
        return answer

    def begin(self, instance, size=2 << 20):
        """Send a C-STORE-RQ and `size` bytes of a dataset that does not end."""
        beginning = instance.dataset.ljust(size, b"\0")
        self.send(self.store_rq(instance) + self.dataset(beginning, last=False))

    def echo(self):
        """Verify the association; return the answer."""
        request = _command(
            (0x0002, _even(Verification)),
            (0x0100, struct.pack("<H", 0x30)),
            (0x0110, struct.pack("<H", 1)),
            (0x0800, struct.pack("<H", 0x101)),
        )
        self.send(self.fragment(request, ECHO, last=True, command=True))
        return self.answer()

    def answer(self):
        """The next response; it must be the next thing that comes."""
        pdu = self.read()
        assert pdu is not None, "the connection was ended instead of an answer"
        assert pdu.kind == 4, f"PDU type {pdu.kind} came instead of an answer: {pdu.body.hex()}"
        elements, at = {}, 6
        while at < len(pdu.body):
            number, length = struct.unpack_from("<2xHI", pdu.body, at)
            elements[number] = pdu.body[at + 8 : at + 8 + length]
            at += 8 + length
        return Answer(
            int.from_bytes(elements[0x0900], "little"),
            elements.get(0x0902, b"").decode("ascii").strip(),
        )

    def release(self):
        """Release the association and close."""
        self.send(self.pdu(5, bytes(4)))
        answer = self.read()
        assert answer is not None
        assert answer.kind == 6, answer
        self.close()


def _item(kind, content):
    return struct.pack(">BxH", kind, len(content)) + content


def _even(uid):
    value = uid.encode("latin-1")
    return value + b"\0" * (len(value) % 2)


def _command(*elements):
    body = b"".join(struct.pack("<HHI", 0, n, len(value)) + value for n, value in elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body
