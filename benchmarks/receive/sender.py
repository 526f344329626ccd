"""A storage SCU that costs as little as possible, so that the receiver is what is measured.

The bytes of a whole C-STORE request are laid out once; for each instance only its UIDs are
written over, one `sendall` sends it, and the status of the response is read.
"""

import re
import socket
import struct
from typing import Protocol, Self

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from benchmarks.receive.instances import INSTANCE, SERIES, STUDY, Kind, Series, encoded

CALLING_AE = "BENCHMARK"
TIMEOUT_SECONDS = 120
_CONTEXT_ID = 1
_IMPLEMENTATION_CLASS_UID = "2.25.184610418232310411412318051813111"
_COMMAND, _DATASET, _LAST = 0x01, 0x00, 0x02  # message control header, PS3.8 E.2
_RELEASE_RQ = b"\x05\0\0\0\0\x04\0\0\0\0"  # PS3.8 9.3.6


class SendFailed(Exception):
    """An instance was not answered with success, or the association was not granted."""


class Client(Protocol):
    """An open connection that stores instances one after the other."""

    def store(self, sop_instance_uid: str) -> None:
        """Send one instance and wait until it is acknowledged."""

    def close(self) -> None:
        """End the connection in order."""


class Layout:
    """Bytes in which placeholders of UIDs are written over in place."""

    def __init__(self, data: bytes, series: Series, instances: int) -> None:
        self.data = bytearray(data)
        self._write(STUDY, series.StudyInstanceUID, self._places(STUDY, 1))
        self._write(SERIES, series.SeriesInstanceUID, self._places(SERIES, 1))
        self._instances = self._places(INSTANCE, instances)

    def name(self, sop_instance_uid: str) -> None:
        """Make it the instance `sop_instance_uid`."""
        self._write(INSTANCE, sop_instance_uid, self._instances)

    def _places(self, uid: str, expected: int) -> list[int]:
        places = [match.start() for match in re.finditer(re.escape(uid.encode()), self.data)]
        if len(places) != expected:
            raise SendFailed(f"{uid} stands in {len(places)} places, expected {expected}")
        return places

    def _write(self, placeholder: str, uid: str, places: list[int]) -> None:
        if len(uid) != len(placeholder):
            raise SendFailed(f"{uid} is not as long as its placeholder")
        for place in places:
            self.data[place : place + len(uid)] = uid.encode()


class Association:
    """An association with one presentation context, for one kind of instance.

    Parameters
    ----------
    port, called_ae
        The receiver, on this machine.
    kind, series
        What is sent.
    maximum_pdu_bytes
        The longest P-DATA-TF to send; less where the receiver allows less.

    Raises
    ------
    SendFailed
        The association or its presentation context was not accepted.
    """

    def __init__(
        self, port: int, called_ae: str, kind: Kind, series: Series, *, maximum_pdu_bytes: int
    ) -> None:
        self._socket = connect(port)
        try:
            allowed = self._associate(called_ae, kind)
            self.maximum_pdu_bytes = min(maximum_pdu_bytes, allowed or maximum_pdu_bytes)
            request = store_request(kind.sop_class_uid, encoded(kind), self.maximum_pdu_bytes)
        except BaseException:
            self._socket.close()
            raise
        self._layout = Layout(request, series, instances=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def store(self, sop_instance_uid: str) -> None:
        """Send one instance and read its C-STORE response.

        Raises
        ------
        SendFailed
            The status is not 0x0000, or something other than a response came.
        """
        self._layout.name(sop_instance_uid)
        self._socket.sendall(self._layout.data)
        status = self.read_status()
        if status != 0x0000:
            raise SendFailed(f"C-STORE of {sop_instance_uid}: status 0x{status:04X}")

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def read_status(self) -> int:
        """The status of the next response (PS3.7 9.3.1.2)."""
        command = bytearray()
        last = False
        while not last:
            pdu = read_pdu(self._socket, 0x04)
            control, fragment = pdu[5], pdu[6:]
            command += fragment
            last = bool(control & _LAST)
        return _status(command)

    def close(self) -> None:
        """Release the association."""
        with self._socket:
            self._socket.sendall(_RELEASE_RQ)
            read_pdu(self._socket, 0x06)

    def _associate(self, called_ae: str, kind: Kind) -> int:
        self._socket.sendall(_associate_rq(called_ae, kind))
        accepted = A_ASSOCIATE_AC()
        accepted.decode(read_pdu(self._socket, 0x02, whole=True))
        answer = accepted.to_primitive()
        results = [
            context.result for context in answer.presentation_context_definition_results_list
        ]
        if results != [0]:
            raise SendFailed(f"presentation context for {kind.modality}: result {results}")
        return int(answer.maximum_length_received or 0)


def connect(port: int) -> socket.socket:
    """Connect to a receiver on this machine; nothing waits for acknowledgements of TCP."""
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_exactly(connection: socket.socket, length: int) -> bytes:
    """Read `length` bytes.

    Raises
    ------
    SendFailed
        The connection ended before.
    """
    data = connection.recv(length, socket.MSG_WAITALL)
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise SendFailed("the receiver closed the connection")
        data += more
    return data


def read_pdu(connection: socket.socket, expected: int, *, whole: bool = False) -> bytes:
    """Read a PDU of the expected type; without its header, unless `whole`."""
    header = read_exactly(connection, 6)
    if header[0] != expected:
        raise SendFailed(f"PDU of type {header[0]:#04x}, expected {expected:#04x}")
    body = read_exactly(connection, int.from_bytes(header[2:], "big"))
    return header + body if whole else body


def store_request(sop_class_uid: str, dataset: bytes, maximum_pdu_bytes: int) -> bytes:
    """The P-DATA-TF PDUs of a C-STORE request: its command in one, its dataset in the others."""
    command = p_data(_command(sop_class_uid), _COMMAND, maximum_pdu_bytes)
    return command + p_data(dataset, _DATASET, maximum_pdu_bytes)


def store_command(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """The PDU with the command of a C-STORE request."""
    return p_data(_command(sop_class_uid, sop_instance_uid), _COMMAND, 4096)


def p_data(data: bytes, kind: int, maximum_pdu_bytes: int) -> bytes:
    """Cut `data` into P-DATA-TF PDUs with one fragment each (PS3.8 9.3.5)."""
    size = maximum_pdu_bytes - 6
    last = (len(data) - 1) // size
    fragments = (data[start : start + size] for start in range(0, len(data), size))
    return b"".join(
        fragment_pdu(fragment, kind | (_LAST if number == last else 0))
        for number, fragment in enumerate(fragments)
    )


def fragment_pdu(fragment: bytes, control: int) -> bytes:
    """One P-DATA-TF PDU."""
    length = len(fragment)
    header = struct.pack(">BxLLBB", 0x04, length + 6, length + 2, _CONTEXT_ID, control)
    return header + fragment


def _command(sop_class_uid: str, sop_instance_uid: str = INSTANCE) -> bytes:
    """The command set of a C-STORE request (PS3.7 Table 9.3-1)."""
    elements = b"".join(
        [
            _element(0x0002, _padded(sop_class_uid)),
            _element(0x0100, struct.pack("<H", 0x0001)),
            _element(0x0110, struct.pack("<H", 1)),
            _element(0x0700, struct.pack("<H", 0x0000)),
            _element(0x0800, struct.pack("<H", 0x0001)),
            _element(0x1000, _padded(sop_instance_uid)),
        ]
    )
    return _element(0x0000, struct.pack("<L", len(elements))) + elements


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0x0000, number, len(value)) + value


def _status(command: bytes | bytearray) -> int:
    """(0000,0900) of a command set."""
    place = 0
    while place < len(command):
        _, number, length = struct.unpack_from("<HHL", command, place)
        if number == 0x0900:
            return int.from_bytes(command[place + 8 : place + 10], "little")
        place += 8 + length
    raise SendFailed("the response has no status")


def _associate_rq(called_ae: str, kind: Kind) -> bytes:
    context = build_context(kind.sop_class_uid, ExplicitVRLittleEndian)
    context.context_id = _CONTEXT_ID
    length = MaximumLengthNotification()
    length.maximum_length_received = 16384
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = _IMPLEMENTATION_CLASS_UID
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = CALLING_AE, called_ae
    primitive.presentation_context_definition_list = [context]
    primitive.user_information = [length, implementation]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(primitive)
    return bytes(request.encode())
