"""Syslog over TLS: the frames, and that nothing counts as delivered which the server has not read.

Real rsyslog: test_rsyslog.py.
"""

import re
import socket
import threading
from datetime import datetime

import pytest

from safelight import syslog
from safelight.errors import SyslogUnavailable
from safelight.syslog import deliver, frame
from web_status.settings import SyslogSettings

AT = "2026-11-28T22:00:00.123+00:00"
HEADER = re.compile(
    rb"<85>1 (\S+) ([!-~]{1,255}) safelight - DICOM\+RFC3881 - \xef\xbb\xbf(.*)", re.DOTALL
)


def test_a_frame_has_its_length_in_bytes_the_header_and_the_message_in_utf8():
    length, _, content = frame("<a>é山</a>", AT).partition(b" ")
    assert int(length) == len(content)
    at, _host, message = HEADER.fullmatch(content).groups()
    assert datetime.fromisoformat(at.decode()).isoformat(timespec="milliseconds") == AT
    assert message.decode() == "<a>é山</a>"


@pytest.mark.parametrize("name", ["", "two words", "ünï", "x" * 300, "\n"])
def test_whatever_this_machine_is_called_the_header_stays_one(monkeypatch, name):
    monkeypatch.setattr(syslog.platform, "node", lambda: name)
    assert HEADER.fullmatch(frame("<a/>", AT).partition(b" ")[2])


def test_the_server_has_all_of_it_when_it_is_delivered(serve, to):
    server = serve()
    frames = [frame(f"<a n='{n}'/>", AT) for n in range(300)]
    deliver(to(server), frames)
    assert [b"%d %b" % (len(one), one) for one in server.messages] == frames


def test_a_server_that_wants_a_certificate_gets_ours(serve, to, authority):
    server = serve(wants_client=True)
    certificate, key = authority.issue("safelight.example")
    deliver(to(server, certificate=certificate, private_key=key), [frame("<a/>", AT)])
    assert len(server.messages) == 1


def test_without_the_certificate_it_wants_nothing_counts_as_delivered(serve, to):
    server = serve(wants_client=True)
    with pytest.raises(SyslogUnavailable, match=r"127\.0\.0\.1:\d+: (TLS failed|it broke)"):
        deliver(to(server), [frame("<a/>", AT)])
    assert server.messages == []


def test_a_server_of_another_name_gets_nothing(serve, to, authority):
    server = serve(authority, "syslog.example")
    with pytest.raises(
        SyslogUnavailable, match=r"certificate is not accepted .*mismatch.*authorities"
    ):
        deliver(to(server), [frame("<a/>", AT)])
    assert server.messages == []


def test_a_server_that_nobody_of_ours_vouches_for_gets_nothing(serve, to, other_authority):
    server = serve(other_authority)
    for settings in (to(server), to(server, authorities=None)):
        with pytest.raises(SyslogUnavailable, match="certificate is not accepted"):
            deliver(settings, [frame("<a/>", AT)])
    assert server.messages == []


def test_a_connection_that_breaks_in_the_middle_of_a_message_delivers_nothing(serve, to):
    server = serve()
    server.behave = lambda secure: secure.recv(10)
    with pytest.raises(SyslogUnavailable, match=r"TLS failed|broke the connection off"):
        deliver(to(server), [frame("x" * 1_000_000, AT)] * 20)


@pytest.mark.parametrize("announces", [True, False])
def test_a_server_has_given_its_receipt_when_it_read_all_whether_it_announces_its_end_or_not(
    serve, to, announces
):
    server = serve()

    def take(secure):
        server.take_all(secure, announces=announces)

    server.behave = take
    for _ in range(10):
        deliver(to(server), [frame("<a/>", AT)])
    assert len(server.messages) == 10


def test_a_server_that_ends_before_it_has_read_all_has_given_no_receipt(serve, to):
    server = serve()
    server.behave = server.take_little
    for _ in range(20):
        with pytest.raises(SyslogUnavailable, match=r"TLS failed|broke the connection off"):
            deliver(to(server), [frame("<a/>", AT)] * 3)


def test_a_server_that_announces_its_end_before_it_has_read_all_has_given_no_receipt(serve, to):
    server = serve()
    server.behave = lambda secure: secure.unwrap()
    for _ in range(20):
        with pytest.raises(SyslogUnavailable, match=r"TLS failed|broke the connection off"):
            deliver(to(server), [frame("x" * 100_000, AT)])


def test_a_server_that_stands_still_is_given_up(serve, to, monkeypatch):
    monkeypatch.setattr(syslog, "_SECONDS", 0.3)
    server, done = serve(), threading.Event()
    server.behave = lambda _: done.wait(20)
    try:
        with pytest.raises(SyslogUnavailable, match="did not take it within"):
            deliver(to(server), [frame("x" * 1_000_000, AT)] * 20)
    finally:
        done.set()


def test_what_cannot_be_reached_is_named_with_the_remedy(to, serve, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gone = SyslogSettings("127.0.0.1", port)
    with pytest.raises(
        SyslogUnavailable, match=rf"127\.0\.0\.1:{port}: nothing listens there: check"
    ):
        deliver(gone, [])
    with pytest.raises(
        SyslogUnavailable, match=r"its name is not known: check \[audit\.syslog\] host"
    ):
        deliver(SyslogSettings("no-such-host.invalid"), [])
    missing = to(serve(), authorities=tmp_path / "missing.pem")
    with pytest.raises(SyslogUnavailable, match=r"\[audit\.syslog\] authorities: .*no such file"):
        deliver(missing, [])
