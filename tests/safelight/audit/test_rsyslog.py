"""The audit trail in rsyslog, as sites run it: over TLS, with certificates on both sides."""

import re

from safelight import syslog
from safelight.audit_delivery import delivery_of
from safelight.audit_sending import AuditSending


def test_rsyslog_takes_each_message_once_over_an_outage(
    rsyslog, to, authority, trail, record, tmp_path, wait_until
):
    certificate, key = authority.issue("safelight.example")
    data = tmp_path / "data"
    settings = to(rsyslog, certificate=certificate, private_key=key)

    def send():
        sending = AuditSending(data, settings)  # as after a restart: what failed is tried at once
        sending.step()
        sending.close()

    stop = rsyslog.start()
    record(50)
    send()
    wait_until(lambda: len(rsyslog.lines()) == 50, "rsyslog to write")
    stop()
    record(30)
    send()
    assert "nothing listens there" in delivery_of(data).problem
    rsyslog.start()
    record(20)
    send()
    wait_until(lambda: len(rsyslog.lines()) == 100, "rsyslog to write")
    assert delivery_of(data).number == 100
    beginning = "85 safelight DICOM+RFC3881 - \ufeff<?xml "
    assert [line[: len(beginning)] for line in rsyslog.lines()] == [beginning] * 100
    users = [re.search(r'UserID="(u\d+)"', line)[1] for line in rsyslog.lines()]
    assert users == [f"u{number}" for number in range(1, 101)]


def test_rsyslog_that_wants_a_certificate_takes_nothing_without(
    rsyslog, to, record, tmp_path, monkeypatch
):
    monkeypatch.setattr(syslog, "_SECONDS", 1.0)  # it leaves such a connection open
    rsyslog.start()
    record(3)
    sending = AuditSending(tmp_path / "data", to(rsyslog))
    taken = sending.step()
    sending.close()
    assert not taken
    assert delivery_of(tmp_path / "data").problem
    assert rsyslog.lines() == []
