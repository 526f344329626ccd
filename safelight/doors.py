"""The sockets that receivers take connections from: those systemd listens on for us, else our own.

While systemd listens (``safelight.socket``), a connection that comes between the end of one
daemon and the start of the next waits in its queue instead of being refused.
"""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass

from safelight.config import Config
from safelight.errors import ConfigError
from safelight.ports import open_port

PLAIN, SECURE = "dicom", "dicom-tls"
_FIRST = 3  # SD_LISTEN_FDS_START
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@dataclass(frozen=True)
class Doors:
    """The listening sockets: plain, and with TLS where it is configured."""

    plain: socket.socket
    secure: socket.socket | None

    def close(self) -> None:
        """Close them; what systemd listens on stays open in systemd."""
        self.plain.close()
        if self.secure is not None:
            self.secure.close()

    def all(self) -> tuple[socket.socket, ...]:
        """Each of them."""
        return (self.plain,) if self.secure is None else (self.plain, self.secure)


def passed_sockets(environ: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """The sockets that systemd passes to this process, by name (sd_listen_fds(3)).

    They are taken: the variables are removed, so that no process we start believes them its own.

    Raises
    ------
    ConfigError
        One is no listening TCP socket, or two have the same name.
    """
    pid, number, names = (environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()):
        return {}
    passed: dict[str, socket.socket] = {}
    for offset, name in zip(range(int(number)), names.split(":"), strict=False):
        if name in passed:
            raise ConfigError(
                f"systemd passed two sockets named {name}; expected one ListenStream="
            )
        passed[name] = _taken(_FIRST + offset, name)
    return passed


def _taken(descriptor: int, name: str) -> socket.socket:
    with suppress(OSError):
        taken = socket.socket(fileno=descriptor)
        is_tcp = taken.family in (socket.AF_INET, socket.AF_INET6)
        if is_tcp and taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            taken.set_inheritable(False)
            taken.setblocking(True)  # systemd's do not block; receivers wait in accept
            return taken
    raise ConfigError(f"systemd passed {name}, which is no TCP socket that listens")


def open_doors(config: Config, passed: MutableMapping[str, socket.socket]) -> Doors:
    """Take the sockets that were passed where there are any, and listen on the other ports.

    Raises
    ------
    ConfigError
        A socket was passed that the configuration does not know, or on another address.
    PortInUse
        A port is taken.
    """
    dicom = config.dicom
    key = "[dicom] port or --port"
    plain = _door(passed.pop(PLAIN, None), dicom.host, dicom.port, key)
    secure = None
    if dicom.tls is not None:
        key = "[dicom.tls] port"
        secure = _door(passed.pop(SECURE, None), dicom.host, dicom.tls.port, key)
    if passed:
        raise ConfigError(
            f"systemd passed a socket named {', '.join(passed)}; expected"
            f" FileDescriptorName={PLAIN}, or {SECURE} together with [dicom.tls]"
        )
    return Doors(plain, secure)


def _door(passed: socket.socket | None, host: str, port: int, key: str) -> socket.socket:
    if passed is None:
        return open_port(host, port, f"choose another with {key}")
    listening = passed.getsockname()[:2]
    if listening not in _addresses(host, port):
        raise ConfigError(
            f"systemd listens on {listening[0]} port {listening[1]}, the configuration says {host}"
            f" port {port}: make ListenStream= of the socket unit and {key} the same"
        )
    return passed


def _addresses(host: str, port: int) -> set[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"configuration: [dicom] host: {host} is unknown here") from error
    return {(str(address[0]), int(address[1])) for *_, address in found}
