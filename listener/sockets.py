"""What the receiver asks of TCP sockets."""

import contextlib
import ipaddress
import socket
import struct
import time

from listener.errors import PortTaken

_BACKLOG = 512
_LINGER_SECONDS = 1.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, which several receivers may share.

    Raises
    ------
    PortTaken
        Another process has the port, or we may not have it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise PortTaken(error.errno, f"port {port}: {error.strerror}") from error
    return listening


def plain_address(address: str) -> str:
    """An address as rules and people have it: IPv4 where an IPv6 one stands for it.

    So it does where a port takes both kinds (RFC 4291 2.5.5.2). Raises ValueError where it is none.
    """
    parsed = ipaddress.ip_address(address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def return_after(peer: socket.socket, seconds: float) -> None:
    """Let calls that wait for bytes return without any after `seconds`.

    Unlike a timeout of Python's, this costs no call of its own before each read.
    """
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))


def give_up_sending_after(peer: socket.socket, seconds: float) -> None:
    """Let a send fail that the peer does not take within `seconds`."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))


def acknowledge_at_once(peer: socket.socket) -> None:
    """Acknowledge what came, without the 40 ms that the kernel would wait for more.

    A sender that leaves Nagle's algorithm on keeps its last, short segment back until then.
    """
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("ll", whole, int((seconds - whole) * 1_000_000))


def close_gently(peer: socket.socket) -> None:
    """Wait for the peer to close, for a bounded time (PS3.8 9.2, state 13).

    To close first, while bytes of the peer are unread, would reset the connection, and it may
    not have read our last PDU yet.
    """
    deadline = time.monotonic() + _LINGER_SECONDS
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            try:
                if not peer.recv(1 << 16):
                    return
            except (BlockingIOError, TimeoutError):
                continue
