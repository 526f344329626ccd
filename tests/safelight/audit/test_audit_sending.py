"""The audit trail's way to a syslog server: in order, once where all is well, without gaps."""

import json
import logging
import re

import pytest

from safelight.audit_delivery import Delivery, delivery_of
from safelight.audit_sending import AuditSending


@pytest.fixture
def clock():
    """A clock that a test sets: ``clock.now``."""

    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def sending(data, to, clock):
    """Function that begins to send to a server, as a daemon that starts does."""
    begun = []

    def begin(server, **others):
        begun.append(AuditSending(data, to(server, **others), clock))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def users(server):
    return [re.search(rb'UserID="(u\d+)"', one)[1].decode() for one in server.messages]


def numbered(first, last):
    return [f"u{number}" for number in range(first, last + 1)]


def test_what_is_recorded_is_sent_once_and_in_order(serve, sending, record, data):
    server = serve()
    one = sending(server)
    assert not one.step()
    record(3)
    assert one.step()
    record(2)
    assert one.step()
    assert not one.step()
    assert users(server) == numbered(1, 5)
    assert delivery_of(data) == Delivery(5)


def test_many_are_sent_in_batches(serve, sending, record):
    server = serve()
    record(1200)
    one = sending(server)
    while one.step():
        pass
    assert users(server) == numbered(1, 1200)
    assert server.connections == 3


def test_a_restart_goes_on_where_the_server_stands(serve, sending, record):
    server = serve()
    record(3)
    sending(server).step()
    record(3)
    sending(server).step()
    assert users(server) == numbered(1, 6)


def test_what_waits_while_the_server_is_away_comes_when_it_is_back(
    serve, sending, record, data, clock, caplog
):
    server = serve()
    one = sending(server)
    server.behave = server.take_little
    record(2)
    with caplog.at_level(logging.WARNING):
        assert not one.step()
        record(2)
        clock.now += 5
        assert not one.step()
    told = delivery_of(data)
    assert (told.number, told.problem.partition(": ")[0]) == (
        0,
        f"syslog server 127.0.0.1:{server.port}",
    )
    said = [one.message for one in caplog.records]
    assert said
    assert len(said) == len(set(said))  # each trouble once
    server.behave = server.take_all
    assert not one.step()  # its time has not come
    clock.now += 15
    assert one.step()
    assert one.step()
    assert users(server) == numbered(1, 4)
    assert delivery_of(data) == Delivery(4)


def test_it_is_asked_less_and_less_often_while_it_is_away(serve, sending, record, clock):
    server = serve()
    server.behave = server.take_little
    one = sending(server)
    record(1)
    for second in range(900):
        clock.now = float(second)
        one.step()
    assert server.connections == 6  # at 0, 5, 20, 80, 380 and 680 s


def test_what_was_taken_and_not_answered_is_sent_again_and_nothing_is_left_out(
    serve, sending, record, clock
):
    server = serve()

    def dies_after_two(secure):
        with secure.makefile("rb") as stream:
            for _ in range(2):
                length = int(stream.read(4))
                server.messages.append(stream.read(length))

    server.behave = dies_after_two
    one = sending(server)
    record(5)
    assert not one.step()
    server.behave = server.take_all
    clock.now += 5
    assert one.step()
    assert users(server) == [*numbered(1, 2), *numbered(1, 5)]


def test_a_delivery_is_late_when_its_trouble_has_lasted_and_only_then():
    assert not Delivery(7).is_late(0)
    old = Delivery(7, "away", "2026-01-01T00:00:00.000+00:00")
    assert old.is_late(15)
    assert not old.is_late(1e9)


def test_the_trouble_is_remembered_since_it_began_over_a_restart(
    serve, sending, record, data, clock
):
    server = serve()
    server.behave = server.take_little
    record(1)
    sending(server).step()
    since = delivery_of(data).since
    assert since
    sending(server, authorities=None).step()  # another problem, the same trouble
    assert "certificate is not accepted" in delivery_of(data).problem
    assert delivery_of(data).since == since


def test_a_memory_that_cannot_be_read_has_all_of_it_sent_again(serve, sending, record, data):
    server = serve()
    record(2)
    sending(server).step()
    (data / "audit-sent.json").write_text("{")
    sending(server).step()
    assert users(server) == [*numbered(1, 2), *numbered(1, 2)]
    assert json.loads((data / "audit-sent.json").read_text())["number"] == 2
