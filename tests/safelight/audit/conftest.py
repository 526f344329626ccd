"""A syslog server for the audit trail that can misbehave, and an audit trail."""

import contextlib
import socket
import ssl
import threading

import pytest

from web_status.audit import AuditTrail
from web_status.audit_events import Deed
from web_status.settings import SyslogSettings


class SyslogServer:
    """Takes frames of RFC 5425; `behave` is what it does with a connection, and may be replaced."""

    def __init__(self, authority, name="127.0.0.1", *, wants_client=False):
        self.messages = []
        self.connections = 0
        self.behave = self.take_all
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*authority.issue(name))
        if wants_client:
            self._context.load_verify_locations(authority.pem)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.suppress(OSError), connection:
                connection.settimeout(10)
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    self.behave(secure)

    def take_all(self, secure, *, announces=True):
        """Read frames to the end, and announce ours."""
        with secure.makefile("rb") as stream:
            while (message := read_frame(stream)) is not None:
                self.messages.append(message)
        if announces:
            with contextlib.suppress(OSError):
                secure.unwrap()

    def take_little(self, secure):
        """End after the first bytes."""
        secure.recv(10)

    def stop(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


def read_frame(stream):
    """The next message of a stream; None at its end. A digit too many or few shows at once."""
    digits = b""
    while (one := stream.read(1)) not in (b" ", b""):
        assert one.isdigit(), (digits, one)
        digits += one
    return stream.read(int(digits)) if digits else None


@pytest.fixture
def serve(authority):
    """Function that starts a server; its arguments are those of `SyslogServer`."""
    servers = []

    def start(*arguments, **options):
        servers.append(SyslogServer(*(arguments or (authority,)), **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def to(authority):
    """Function that says how a server is reached."""

    def settings(server, **others):
        return SyslogSettings("127.0.0.1", server.port, **{"authorities": authority.pem, **others})

    return settings


@pytest.fixture
def trail(tmp_path):
    """An audit trail, and where its data are."""
    data = tmp_path / "data"
    data.mkdir()
    return AuditTrail(data)


@pytest.fixture
def record(trail):
    """Function that records so many logins, by u1, u2 ..."""
    names = iter(range(1, 10_000))

    def some(count):
        for _ in range(count):
            trail.record(Deed("login", f"u{next(names)}"))

    return some
