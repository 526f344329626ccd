"""A storage SCU made of bytes: PDUs encoded by hand, and a socket. It negotiates nothing.

It shares no code with the receiver nor with pynetdicom, so that an error of theirs is not
repeated here, and an instance costs it one write and one read. PS3.8 9.3 has the PDUs, PS3.7
9.3 and 10.3 the commands, which are always Implicit VR Little Endian.
"""

import functools
import hashlib
import itertools
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Self

from pydicom.dataset import Dataset

VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"  # and its well-known instance, PS3.4 J.3.5
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
UNKNOWN_CLASS = "1.2.3.4.5.6.7.8.9"

# Presentation context identifiers of `associate_rq`.
STORE, ECHO, COMMIT, STORE_DEFLATED, REFUSED = 1, 3, 5, 7, 9
CONTEXTS = {
    STORE: (CT_IMAGE_STORAGE, EXPLICIT),
    ECHO: (VERIFICATION, IMPLICIT),
    COMMIT: (STORAGE_COMMITMENT, IMPLICIT),
    STORE_DEFLATED: (CT_IMAGE_STORAGE, DEFLATED),
    REFUSED: (UNKNOWN_CLASS, EXPLICIT),
}

RELEASE_RQ = bytes.fromhex("05 00 00000004 00000000")
ABORT = bytes.fromhex("07 00 00000004 00000000")

ASSOCIATE_AC, P_DATA, RELEASE_RP = 0x02, 0x04, 0x06
C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
C_ECHO_RQ, C_ECHO_RSP = 0x0030, 0x8030
N_ACTION_RQ = 0x0130
NO_DATASET, HAS_DATASET = 0x0101, 0x0001


class Broken(Exception):
    """The connection ended, or what came over it is not what an honest peer may expect."""


def pdu(kind: int, body: bytes) -> bytes:
    """A PDU of any type (PS3.8 9.3.1)."""
    return struct.pack(">BBI", kind, 0, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    """An item or sub-item of an A-ASSOCIATE PDU."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


@functools.cache
def associate_rq(
    called: str = "SAFELIGHT",
    calling: str = "SWEEP",
    contexts: tuple[int, ...] = tuple(CONTEXTS),
    maximum_length: int = 16384,
    extra: bytes = b"",
) -> bytes:
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2); `extra` are more sub-items of the user information."""
    proposed = b"".join(
        item(
            0x20,
            bytes([number, 0, 0, 0])
            + item(0x30, CONTEXTS[number][0].encode())
            + item(0x40, CONTEXTS[number][1].encode()),
        )
        for number in contexts
    )
    user = item(0x51, struct.pack(">I", maximum_length)) + item(0x52, b"1.2.826.0.1.99") + extra
    titles = called.encode().ljust(16) + calling.encode().ljust(16)
    application = item(0x10, b"1.2.840.10008.3.1.1.1")
    body = b"\0\1\0\0" + titles + bytes(32) + application + proposed + item(0x50, user)
    return pdu(0x01, body)


# Every user information sub-item of PS3.7 D.3.3: operations window, role selection,
# implementation version, extended and common extended negotiation, user identity.
ALL_SUB_ITEMS = b"".join(
    [
        item(0x53, struct.pack(">HH", 1, 1)),
        item(0x54, struct.pack(">H", 25) + CT_IMAGE_STORAGE.encode() + b"\1\0"),
        item(0x55, b"SWEEP_1"),
        item(0x56, struct.pack(">H", 25) + CT_IMAGE_STORAGE.encode() + b"\2\0\0\0\0\0"),
        item(
            0x57,
            struct.pack(">H", 25)
            + CT_IMAGE_STORAGE.encode()
            + struct.pack(">H", 17)
            + b"1.2.840.10008.4.2"
            + struct.pack(">H", 0),
        ),
        item(0x58, b"\2\1" + struct.pack(">H", 4) + b"user" + struct.pack(">H", 4) + b"pass"),
    ]
)


def pdv(context: int, flags: int, fragment: bytes) -> bytes:
    """A presentation data value; flags: 1 command, 2 last fragment (PS3.8 9.3.5.1, E.2)."""
    return struct.pack(">IBB", len(fragment) + 2, context, flags) + fragment


def p_data(context: int, flags: int, fragment: bytes) -> bytes:
    """A P-DATA-TF PDU with one presentation data value."""
    return pdu(P_DATA, pdv(context, flags, fragment))


def element(tag: int, value: bytes) -> bytes:
    """A command element, Implicit VR Little Endian; the value's length is taken as it is."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def ui(uid: str) -> bytes:
    """A UID as a value: padded to even length with NUL."""
    return uid.encode() + b"\0" * (len(uid) % 2)


def us(number: int) -> bytes:
    """An unsigned short as a value."""
    return struct.pack("<H", number)


def command(*elements: bytes) -> bytes:
    """A command set with its group length (PS3.7 6.3.1)."""
    body = b"".join(elements)
    return element(0x00000000, struct.pack("<I", len(body))) + body


def c_store_rq(sop_instance_uid: str, number: int = 1, sop_class: str = CT_IMAGE_STORAGE) -> bytes:
    """A C-STORE-RQ command set (PS3.7 Table 9.3-1)."""
    return command(
        element(0x00000002, ui(sop_class)),
        element(0x00000100, us(C_STORE_RQ)),
        element(0x00000110, us(number)),
        element(0x00000700, us(0)),
        element(0x00000800, us(HAS_DATASET)),
        element(0x00001000, ui(sop_instance_uid)),
    )


def c_echo_rq(number: int = 1) -> bytes:
    """A C-ECHO-RQ command set (PS3.7 Table 9.3-12)."""
    return command(
        element(0x00000002, ui(VERIFICATION)),
        element(0x00000100, us(C_ECHO_RQ)),
        element(0x00000110, us(number)),
        element(0x00000800, us(NO_DATASET)),
    )


def n_action_rq(number: int = 1) -> bytes:
    """An N-ACTION-RQ command set: request storage commitment (PS3.4 J.3.2)."""
    return command(
        element(0x00000003, ui(STORAGE_COMMITMENT)),
        element(0x00000100, us(N_ACTION_RQ)),
        element(0x00000110, us(number)),
        element(0x00000800, us(HAS_DATASET)),
        element(0x00001001, ui(COMMITMENT_INSTANCE)),
        element(0x00001008, us(1)),
    )


def commitment_dataset(*sop_instance_uids: str) -> bytes:
    """The dataset of that request: transaction UID and the instances, Implicit VR."""
    items = b"".join(
        element(
            0xFFFEE000, element(0x00081150, ui(CT_IMAGE_STORAGE)) + element(0x00081155, ui(uid))
        )
        for uid in sop_instance_uids
    )
    return element(0x00081195, ui("2.25.4711")) + element(0x00081199, items)


@dataclass(frozen=True)
class Instance:
    """An instance as it goes over the wire: Explicit VR Little Endian."""

    sop_instance_uid: str
    dataset: bytes

    @property
    def sha256(self) -> str:
        """Digest of the dataset."""
        return hashlib.sha256(self.dataset).hexdigest()


class Instances:
    """Makes axial CT instances of 16 x 16 pixels, each with a UID and a position of its own.

    Parameters
    ----------
    root
        What all UIDs begin with, so that two runs never share one.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._template = _encoded(self._uid(0), self._series(0))

    def __call__(self, number: int, series: int = 0, pixel: int = 0) -> Instance:
        """The instance of a number; `pixel` makes another one under the same UID."""
        uid = self._uid(number)
        dataset = (
            self._template.replace(self._uid(0).encode(), uid.encode())
            .replace(self._series(0).encode(), self._series(series).encode())
            .replace(b"00000000", b"%08d" % number)
        )
        return Instance(uid, dataset[:-2] + us(pixel))

    def _uid(self, number: int) -> str:
        return f"{self._root}.2.{10_000_000 + number}"

    def _series(self, number: int) -> str:
        return f"{self._root}.1.{10_000_000 + number}"


def _encoded(sop_instance_uid: str, series_instance_uid: str) -> bytes:
    instance = Dataset()
    instance.SOPClassUID, instance.SOPInstanceUID = CT_IMAGE_STORAGE, sop_instance_uid
    instance.Modality, instance.PatientName, instance.PatientID = "CT", "Doe^Jane", "P1"
    instance.AccessionNumber, instance.StudyDate = "A0001", "20260101"
    instance.StudyInstanceUID = series_instance_uid.rpartition(".1.")[0]
    instance.SeriesInstanceUID = series_instance_uid
    instance.SeriesNumber, instance.InstanceNumber = 1, "00000000"
    instance.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    instance.ImagePositionPatient = [-8, -8, "00000000"]
    instance.PixelSpacing = [1, 1]
    instance.Rows = instance.Columns = 16
    instance.SamplesPerPixel, instance.PhotometricInterpretation = 1, "MONOCHROME2"
    instance.BitsAllocated = instance.BitsStored = 16
    instance.HighBit, instance.PixelRepresentation = 15, 0
    instance.PixelData = bytes(512)
    buffer = BytesIO()
    instance.save_as(buffer, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def dataset_of(part10: bytes) -> bytes:
    """What follows the file meta group of a Part 10 file (PS3.10 7.1)."""
    return part10[144 + int.from_bytes(part10[140:144], "little") :]


def pdus_in(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of every PDU of a stream; the last may be cut off."""
    at = 0
    while len(stream) >= at + 6:
        end = at + 6 + int.from_bytes(stream[at + 2 : at + 6])
        yield stream[at], stream[at + 6 : end]
        at = end


def pdvs_in(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Context, flags and fragment of every whole presentation data value of a P-DATA-TF."""
    at = 0
    while len(body) >= at + 6:
        end = at + 4 + int.from_bytes(body[at : at + 4])
        if end > len(body) or end < at + 6:
            return
        yield body[at + 4], body[at + 5], body[at + 6 : end]
        at = end


def messages_in(stream: bytes) -> Iterator[tuple[bool, bytes]]:
    """Every whole command set (True) or dataset (False) of a stream's P-DATA-TF PDUs.

    A message is whole with its last fragment, although more of that PDU may be to come.
    """
    parts: dict[int, list[bytes]] = {0: [], 1: []}
    bodies = (body for kind, body in pdus_in(stream) if kind == P_DATA)
    for _, flags, fragment in itertools.chain.from_iterable(map(pdvs_in, bodies)):
        parts[flags & 1].append(fragment)
        if flags & 2:
            yield bool(flags & 1), b"".join(parts[flags & 1])
            parts[flags & 1] = []


def elements_in(command_set: bytes) -> dict[int, bytes]:
    """Tag to value of a command set."""
    found = {}
    at = 0
    while len(command_set) >= at + 8:
        group, number, length = struct.unpack_from("<HHI", command_set, at)
        found[group << 16 | number] = command_set[at + 8 : at + 8 + length]
        at += 8 + length
    return found


@dataclass(frozen=True)
class Answer:
    """A response: what it answers, the status and the instance it is about."""

    field: int
    status: int
    sop_instance_uid: str


def answers_in(stream: bytes) -> Iterator[Answer]:
    """Every DIMSE response of a stream."""
    for is_command, content in messages_in(stream):
        elements = elements_in(content) if is_command else {}
        if 0x00000900 in elements:
            yield Answer(
                int.from_bytes(elements[0x00000100], "little"),
                int.from_bytes(elements[0x00000900], "little"),
                elements.get(0x00001000, b"").rstrip(b"\0 ").decode("ascii", "replace"),
            )


class Peer:
    """A connection to a receiver. Whatever breaks it is raised as `Broken`."""

    def __init__(self, port: int, seconds: float = 10.0) -> None:
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        except OSError as error:
            raise Broken(f"connecting: {error}") from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Broken(f"sending: {error}") from error

    def read_pdu(self) -> tuple[int, bytes]:
        """Type and body of the next PDU."""
        kind, _, length = struct.unpack(">BBI", self._exactly(6))
        return kind, self._exactly(length)

    def associate(self, request: bytes | None = None) -> None:
        """Ask for an association; it must be accepted."""
        self.send(request or associate_rq())
        kind, body = self.read_pdu()
        if kind != ASSOCIATE_AC:
            raise Broken(f"not accepted: PDU type {kind}, {body.hex()}")

    def release(self) -> None:
        """Release the association."""
        self.send(RELEASE_RQ)
        if (got := self.read_pdu())[0] != RELEASE_RP:
            raise Broken(f"not released: PDU type {got[0]}, {got[1].hex()}")

    def echo(self) -> None:
        """Verify the association; the status must be 0x0000."""
        self.send(p_data(ECHO, 3, c_echo_rq()))
        self._expect(Answer(C_ECHO_RSP, 0x0000, ""))

    def store(self, instance: Instance) -> None:
        """Store an instance; the status must be 0x0000."""
        if (answer := self.offer(instance)).status != 0x0000:
            raise Broken(f"status {answer.status:04X} for {answer.sop_instance_uid}")

    def offer(self, instance: Instance) -> Answer:
        """Send an instance and return the answer; the dataset goes in two fragments."""
        half = len(instance.dataset) // 2
        self.send(
            p_data(STORE, 3, c_store_rq(instance.sop_instance_uid))
            + p_data(STORE, 0, instance.dataset[:half])
            + p_data(STORE, 2, instance.dataset[half:])
        )
        answer = self._answer()
        if (answer.field, answer.sop_instance_uid) != (C_STORE_RSP, instance.sop_instance_uid):
            raise Broken(f"an answer to something else: {answer}")
        return answer

    def _expect(self, wanted: Answer) -> None:
        answer = self._answer()
        if (answer.field, answer.status) != (wanted.field, wanted.status):
            raise Broken(f"expected {wanted}, got {answer}")

    def _answer(self) -> Answer:
        stream = b""
        while True:
            kind, body = self.read_pdu()
            if kind != P_DATA:
                raise Broken(f"PDU type {kind} instead of an answer, {body.hex()}")
            stream += pdu(kind, body)
            for answer in answers_in(stream):
                return answer

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except OSError as error:
                raise Broken(f"reading: {error}") from error
            if not more:
                raise Broken("closed by the receiver")
            data += more
        return data
