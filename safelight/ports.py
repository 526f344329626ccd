"""Opens ports, and finds out who has one that is taken."""

import errno
import socket

import psutil

from listener.errors import PortTaken
from listener.sockets import listen
from safelight.errors import PortInUse


def open_port(host: str, port: int, remedy: str) -> socket.socket:
    """Listen on `port`.

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
    try:
        return listen(host, port)
    except PortTaken as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"port {port} is in use by {_owner(port)}; {remedy}") from error
        raise PortInUse(f"{error.strerror}; {remedy}") from error


def require_free(host: str, port: int, remedy: str) -> None:
    """Raise `PortInUse` where `port` cannot be listened on."""
    open_port(host, port, remedy).close()


def free_port(host: str, wanted: int) -> int:
    """`wanted` where it is free, else the next port that is."""
    for port in range(wanted, min(wanted + 100, 65536)):
        try:
            require_free(host, port, "")
        except PortInUse:
            continue
        return port
    raise PortInUse(f"no port from {wanted} to {wanted + 99} is free")


def is_held_by(port: int, pid: int) -> bool:
    """Whether a process or one of its descendants listens on `port`.

    Raises
    ------
    psutil.Error
        It is gone, or we may not see what it has.
    """
    process = psutil.Process(pid)
    return any(_listens(one, port) for one in (process, *process.children(recursive=True)))


def is_held_by_systemd(port: int) -> bool:
    """Whether systemd listens on `port` for a service; False too where we may not see it."""
    try:
        init = psutil.Process(1)
        return init.name() == "systemd" and _listens(init, port)
    except psutil.Error:
        return False


def _listens(process: psutil.Process, port: int) -> bool:
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        for connection in process.net_connections("tcp")
    )


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
