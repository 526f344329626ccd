"""The audit trail of a running daemon, as rsyslog has it. Each event: tests/web_status."""

import json
import re
from collections import Counter
from xml.etree import ElementTree as ET

import pytest

TOML = """
[audit]
source = "node-7"
[audit.syslog]
host = "127.0.0.1"
port = {port}
authorities = "{ca}"
certificate = "{certificate}"
private_key = "{key}"
[[dicom.accept]]
calling_ae = "CT1"
addresses = ["127.0.0.0/8"]
[rules]
file = "rules.toml"
"""


@pytest.fixture
def node(daemon, rsyslog, authority, tmp_path):
    """Function that starts a daemon, again on the same data."""
    certificate, key = authority.issue("safelight.example")
    values = {"port": rsyslog.port, "ca": authority.pem, "certificate": certificate, "key": key}
    (tmp_path / "site").mkdir()
    (tmp_path / "site/rules.toml").write_text('[[rule]]\nname = "On"\n[rule.run]\nqc = {}\n')
    return lambda: daemon(toml=TOML.format(**values))


def told(line):
    """Event, type (or action, without one), and study of a line of rsyslog."""
    message = ET.fromstring(line.partition("\ufeff")[2])
    code = "csd-code"
    assert message.find("AuditSourceIdentification").get("AuditSourceID") == "node-7"
    kind = message.find(".//EventTypeCode")
    studies = [
        one.get("ParticipantObjectID")
        for one in message.iter("ParticipantObjectIdentification")
        if one[0].get(code) == "110180"
    ]
    return (
        message.find(".//EventID").get(code),
        message[0].get("EventActionCode") if kind is None else kind.get(code),
        *studies,
    )


def test_what_a_node_does_is_in_rsyslog_over_its_restarts(
    node, rsyslog, storescu, stack, wait_until
):
    site = node()  # rsyslog is not there yet
    files = stack(slices=3, study_uid="1.2.826.7")[0].parent
    storescu(files, port=site.port, called="SAFELIGHT", calling="CT1")
    to = ("--to", f"127.0.0.1:{site.port}", "--aet", "SAFELIGHT", "--tries", "1")
    stranger = site.run("send", str(files), *to)
    assert stranger.returncode == 1
    site.wait_for_ended(1)
    site.kill()
    rsyslog.start()
    site = node()
    assert site.run("user", "add", "ada", "--role", "admin", input="correct horse battery\n")
    received, rejected = ("110104", "C", "1.2.826.7"), ("110113", "110126")
    starts, users = ("110100", "110120"), ("110113", "110137")

    def counted():
        return Counter(told(line) for line in rsyslog.lines())

    wait_until(lambda: counted()[users] and counted()[rejected], "the audit trail", 60)
    assert site.stop() == 0
    found = counted()
    assert found[received] == 1
    assert found[rejected] >= 1
    assert found[("110102", "E", "1.2.826.7")] == 1  # the stranger used our configuration
    assert found[starts] == 2  # the first one was killed
    lines = [json.loads(line) for line in (site.data / "audit.log").read_text().splitlines()]
    assert lines[-1]["action"] == "application stopped"
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert not re.search("Doe|P1", "".join(rsyslog.lines()))
    verified = site.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout
    node()
    wait_until(lambda: counted()[("110100", "110121")] == 1, "what was told at the end", 60)
