"""Who is behind a load balancer: the header of the PROXY protocol, versions 1 and 2.

It comes once, before anything else on a connection, TLS included; only those named in
``[dicom] proxy_from`` may send one, and must. Nothing that follows it is read.
https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt
"""

import ipaddress
import socket
from struct import Struct

from listener.errors import ConnectionLost, ProtocolViolation
from listener.sockets import plain_address

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"  # of version 2; as long as the shortest line can be cut
_FIRST = b"PROXY "  # of version 1
_REST = Struct(">BBH")  # version and command, family and transport, length of what follows
_LINE_BYTES_MAX = 107
_BLOCK_BYTES_MAX = 1 << 12
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4, and over IPv6
_BEGINNINGS = frozenset({_FIRST[0], _SIGNATURE[0]})


def begins_header(kind: int) -> bool:
    """Whether what was read as the type of a PDU is the first byte of a header."""
    return kind in _BEGINNINGS


def source_behind(balancer: socket.socket) -> str | None:
    """Take the header from a new connection and return the address that it names.

    It waits as long as the connection is not cut: the receiver cuts whoever asks for no association
    in time.

    Returns
    -------
    str or None
        None where the balancer speaks for itself, as to see whether we are there.

    Raises
    ------
    ConnectionLost
        It was closed before.
    ProtocolViolation
        There is no header, or a broken one.
    """
    first = _take(balancer, len(_SIGNATURE))
    if first == _SIGNATURE:
        return _from_block(balancer)
    if first.startswith(_FIRST):
        return _from_line(balancer, first)
    raise ProtocolViolation(
        "it is in [dicom] proxy_from and sent no PROXY header: have it send one (HAProxy:"
        " send-proxy-v2), or take its address out"
    )


def _from_block(balancer: socket.socket) -> str | None:
    """The source in a header of version 2, of which the signature is taken."""
    command, family, length = _REST.unpack(_take(balancer, _REST.size))
    if length > _BLOCK_BYTES_MAX:
        raise ProtocolViolation("a PROXY header is longer than we take")
    block = _take(balancer, length)
    size = _ADDRESS_BYTES.get(family, 0)
    if command == _LOCAL:
        return None
    if command != _PROXY or not size or length < 2 * size + 4:
        raise ProtocolViolation("a PROXY header names no TCP connection")
    return plain_address(str(ipaddress.ip_address(block[:size])))


def _from_line(balancer: socket.socket, line: bytes) -> str | None:
    """The source in a header of version 1, of which the beginning is taken."""
    while not line.endswith(b"\r\n"):
        if len(line) == _LINE_BYTES_MAX:
            raise ProtocolViolation("a PROXY header does not end")
        line += _take(balancer, 1)
    words = line.decode("ascii", "replace").split()
    if words[1] == "UNKNOWN":
        return None
    try:
        _, _, source, _, _, _ = words
        return plain_address(source)
    except ValueError:
        raise ProtocolViolation("a PROXY header names no TCP connection") from None


def _take(balancer: socket.socket, count: int) -> bytes:
    """Exactly so many bytes; what follows stays where it is."""
    taken = b""
    while len(taken) < count:
        try:
            some = balancer.recv(count - len(taken))
        except (BlockingIOError, TimeoutError):
            continue
        except OSError as error:
            raise ConnectionLost(error.errno, "the connection broke") from error
        if not some:
            raise ConnectionLost("the peer closed the connection")
        taken += some
    return taken
