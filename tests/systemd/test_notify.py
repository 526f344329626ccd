"""What systemd is told, read from the socket it would listen on. Not covered: systemd itself."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from safelight.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd opens it, and what NOTIFY_SOCKET is then."""
    path = str(tmp_path / "notify")
    name = path if request.param == "path" else f"@safelight-test-{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with closing(listener):
        listener.bind(address(name))
        listener.settimeout(60)
        yield listener, name


def test_variables_of_one_call_are_one_message(systemd):
    listener, name = systemd
    Notifier({"NOTIFY_SOCKET": name}).send(WATCHDOG=1, STATUS="receiving; 2 associations open")
    assert listener.recv(4096) == b"WATCHDOG=1\nSTATUS=receiving; 2 associations open"


def test_messages_arrive_in_order(systemd):
    listener, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.send(READY=1)
    notifier.send(STOPPING=1)
    assert [listener.recv(4096), listener.recv(4096)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_systemd_nothing_is_sent(environment, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    Notifier(environment).send(READY=1)


def test_systemd_that_is_gone_does_not_end_the_daemon(systemd):
    listener, name = systemd
    listener.close()
    Notifier({"NOTIFY_SOCKET": name}).send(WATCHDOG=1)


def test_systemd_that_does_not_read_does_not_stop_the_daemon(systemd):
    listener, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name})
    queued = fill(name)
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(notifier.send, WATCHDOG=1)
        try:
            sending.result(timeout=60)
        finally:
            for _ in range(queued):
                listener.recv(4096)


def fill(name: str) -> int:
    """Fill the queue of a socket; return with how many messages."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        queued = 0
        while True:
            try:
                sender.sendto(b"STATUS=", address(name))
            except BlockingIOError:
                return queued
            queued += 1


def address(name: str) -> str:
    """The address behind NOTIFY_SOCKET, sd_notify(3)."""
    return "\0" + name[1:] if name.startswith("@") else name
