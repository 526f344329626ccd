"""Finds out whether a port is free, and who has it when it is not."""

import errno
import socket

import psutil

from safelight.errors import PortInUse


def require_free(host: str, port: int, remedy: str) -> None:
    """Raise where `port` cannot be listened on.

    Parameters
    ----------
    host, port
        Where we want to listen.
    remedy
        What the person can do, such as "choose another with [dicom] port or --port".

    Raises
    ------
    PortInUse
        Names the process that has it, where the system lets us see it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(f"port {port} is in use by {_owner(port)}; {remedy}") from error
            raise PortInUse(f"port {port}: {error.strerror}; {remedy}") from error


def free_port(host: str, wanted: int) -> int:
    """`wanted` where it is free, else the next port that is."""
    for port in range(wanted, min(wanted + 100, 65536)):
        try:
            require_free(host, port, "")
        except PortInUse:
            continue
        return port
    raise PortInUse(f"no port from {wanted} to {wanted + 99} is free")


def _owner(port: int) -> str:
    """The process that listens on `port`; other users' processes are hidden from us."""
    try:
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port:
                if connection.pid is None:
                    break
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return "another process"
