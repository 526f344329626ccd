"""The floor: bytes from a TCP connection to files, with no DICOM at all.

Each instance is framed by its length in eight bytes and answered by two. It is written under a
temporary name and linked to its final one, as Safelight does, and as little durable.
"""

import itertools
import os
import socket
import sys
import threading
from pathlib import Path

from benchmarks.receive.instances import Kind, Series, encoded
from benchmarks.receive.sender import Layout, SendFailed, connect, read_exactly

_ANSWER = b"ok"
_BUFFER_BYTES = 1 << 20


class RawClient:
    """Sends the same datasets as `sender.Association`, each behind its length."""

    def __init__(self, port: int, kind: Kind, series: Series) -> None:
        dataset = encoded(kind)
        self._socket = connect(port)
        self._layout = Layout(len(dataset).to_bytes(8, "big") + dataset, series, instances=1)

    def store(self, sop_instance_uid: str) -> None:
        """Send one instance and wait for the answer."""
        self._layout.name(sop_instance_uid)
        self._socket.sendall(self._layout.data)
        if read_exactly(self._socket, len(_ANSWER)) != _ANSWER:
            raise SendFailed("the raw receiver answered something else")

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def serve(port: int, folder: Path) -> None:
    """Accept connections for ever, each in a thread of its own."""
    numbers = itertools.count()
    with socket.create_server(("127.0.0.1", port), backlog=64) as listening:
        while True:
            connection, _ = listening.accept()
            name = folder / str(next(numbers))
            threading.Thread(target=_receive, args=(connection, name), daemon=True).start()


def _receive(connection: socket.socket, name: Path) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with connection:
        for number in itertools.count():
            header = connection.recv(8, socket.MSG_WAITALL)
            if len(header) < 8:
                return
            _keep(connection, f"{name}.{number}", int.from_bytes(header, "big"), buffer)
            connection.sendall(_ANSWER)


def _keep(connection: socket.socket, name: str, length: int, buffer: memoryview) -> None:
    temporary = f"{name}.part"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        while length:
            received = connection.recv_into(buffer, min(length, _BUFFER_BYTES))
            if not received:
                raise ConnectionError("the sender went away")
            os.write(descriptor, buffer[:received])
            length -= received
    finally:
        os.close(descriptor)
    os.link(temporary, name)
    Path(temporary).unlink()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
