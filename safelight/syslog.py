"""Syslog over TLS: messages as RFC 5424 has them, in the frames of RFC 5425.

Syslog acknowledges nothing. So each batch has a connection of its own, and the receipt is how the
server ends it: it reads up to our end of TLS, and closes. A kernel resets a connection that is
closed before all that came was read; one that ends without that was read to its end. (Whether the
server announces its own end, too, says nothing: rsyslog does not.)
"""

import fcntl
import os
import platform
import socket
import ssl
import sys
import termios
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType

from listener.errors import TlsUnusable
from listener.tls import client_context
from safelight.errors import SyslogUnavailable
from web_status.settings import SyslogSettings

_PRIORITY = 10 * 8 + 5  # security messages, notice (PS3.15 A.6)
_MSGID = "DICOM+RFC3881"
_POLL_SECONDS = 0.01
_SECONDS = 8.0  # for all of a batch: the daemon must be able to stop in time

_TOLD: Mapping[type[OSError], str] = MappingProxyType(
    {
        TimeoutError: f"it did not take it within {_SECONDS:.0f} s: see whether it is well",
        socket.gaierror: "its name is not known: check [audit.syslog] host",
        ConnectionRefusedError: "nothing listens there: check [audit.syslog] port",
        ConnectionError: "it broke the connection off: its log says why",
    }
)


def frame(message: str, at: str) -> bytes:
    """An audit message of this node, done at a time (RFC 3339), with its length before it.

    >>> frame("<a/>", "2026-01-31T12:00:00.000+00:00").split()[1:3]
    [b'<85>1', b'2026-01-31T12:00:00.000+00:00']
    """
    header = f"<{_PRIORITY}>1 {at} {_hostname()} safelight - {_MSGID} - "
    content = header.encode("ascii") + b"\xef\xbb\xbf" + message.encode()
    return b"%d %b" % (len(content), content)


def _hostname() -> str:
    """Our name in 255 printable characters of ASCII (RFC 5424 6.2.4)."""
    printable = (one for one in platform.node() if "!" <= one <= "~")
    return "".join(printable)[:255] or "-"


def deliver(settings: SyslogSettings, frames: Iterable[bytes]) -> None:
    """Have the server read frames; it has all of them when this returns.

    Raises
    ------
    SyslogUnavailable
        It has not said so: it may have some, or all. The message says why, with the remedy.
    """
    deadline = time.monotonic() + _SECONDS
    address = (settings.host, settings.port)
    try:
        context = client_context(settings.authorities, settings.certificate, settings.private_key)
        with (
            socket.create_connection(address, timeout=_SECONDS) as plain,
            context.wrap_socket(
                plain, server_hostname=settings.host, do_handshake_on_connect=False
            ) as secure,
        ):
            _leave_time(secure, deadline)
            secure.do_handshake()
            for one in frames:
                _leave_time(secure, deadline)
                secure.sendall(one)
            _leave_time(secure, deadline)
            with secure.unwrap() as unwrapped:
                _require_read(unwrapped, deadline)
    except TlsUnusable as error:
        raise SyslogUnavailable(f"[audit.syslog] {error}") from error
    except OSError as error:
        told = _told(error)
        raise SyslogUnavailable(f"syslog server {settings.host}:{settings.port}: {told}") from error


def _leave_time(connection: socket.socket, deadline: float) -> None:
    """Let the next call take what is left until `deadline`."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def _require_read(connection: socket.socket, deadline: float) -> None:
    """Wait for the server's end, and raise where it came before the server had read all.

    Something that comes after it was closed resets a connection, too.
    """
    with suppress(OSError):  # it is gone, as the next call says
        connection.shutdown(socket.SHUT_WR)
    _leave_time(connection, deadline)
    while connection.recv(1):
        _leave_time(connection, deadline)
    while _unacknowledged_bytes(connection):
        if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise ConnectionResetError(error, os.strerror(error))
        _leave_time(connection, deadline)
        time.sleep(_POLL_SECONDS)


def _unacknowledged_bytes(connection: socket.socket) -> int:
    """What was sent and is not known to have arrived (SIOCOUTQ)."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


def _told(error: OSError) -> str:
    """What went wrong, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted ({error.verify_message}): [audit.syslog]"
            " authorities must name who issued it, and host be what it is for"
        )
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "it ended the connection").lower().replace("_", " ")
        return f"TLS failed ({reason}): its log says why; it may want a certificate of ours"
    for kind, told in _TOLD.items():
        if isinstance(error, kind):
            return told
    return f"{error.strerror or type(error).__name__}: check the network"
