"""``safelight audit verify``, ``status`` and ``doctor`` on the audit trail, whole and not."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from ledger.writer import LedgerWriter
from safelight.cli import cli
from safelight.config import load_config
from safelight.doctor_audit import audit
from safelight.doctor_site import Site
from safelight.errors import ConfigError
from web_status.audit_file import AuditFiles


@pytest.fixture
def site(tmp_path, trail):
    """Function that writes a configuration and returns its file."""

    def write(toml=""):
        file = tmp_path / "safelight.toml"
        file.write_text(f'[storage]\ndata = "data"\n{toml}')
        return file

    return write


@pytest.fixture
def safelight(site):
    """Function that runs a command on the site."""

    def run(*arguments, toml=""):
        return CliRunner().invoke(cli, [*arguments, "--config", str(site(toml))])

    return run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "audit.log"


@contextmanager
def lines_of(path):
    """The lines of the file, which are written back."""
    lines = path.read_bytes().splitlines(keepends=True)
    yield lines
    path.write_bytes(b"".join(lines))


def test_a_whole_trail_over_several_files_is_found_whole(safelight, record, path):
    record(3)
    path.rename(path.with_name("audit-000000000003.log"))
    record(2)
    done = safelight("audit", "verify")
    seal = AuditFiles(path.parent)
    *_, last = seal.lines(path)
    assert done.exit_code == 0
    assert "5 lines; the last has the number 5" in done.output
    assert f"SHA-256 of the last: {last.seal}" in done.output


def test_an_empty_trail_is_whole(safelight):
    assert safelight("audit", "verify").exit_code == 0


@pytest.mark.parametrize("deed", ["alter", "remove", "insert", "swap", "unseal"])
def test_whatever_was_done_to_a_line_is_found(safelight, record, path, deed):
    record(5)
    with lines_of(path) as lines:
        if deed == "alter":
            lines[2] = lines[2].replace(b"u3", b"u9")
        elif deed == "remove":
            del lines[2]
        elif deed == "insert":
            lines.insert(2, lines[2])
        elif deed == "swap":
            lines[1], lines[2] = lines[2], lines[1]
        else:
            record_of = json.loads(lines[2])
            del record_of["previous"]
            lines[2] = json.dumps(record_of).encode() + b"\n"
    done = safelight("audit", "verify")
    assert done.exit_code == 1
    assert "ALTERED  audit.log:" in done.output


def test_lines_that_are_gone_from_the_end_are_missed_where_the_server_has_them(
    safelight, record, path
):
    record(5)
    (path.parent / "audit-sent.json").write_text('{"number": 5}')
    with lines_of(path) as lines:
        del lines[3:]
    done = safelight("audit", "verify")
    assert done.exit_code == 1
    assert "lines 4 to 5 were sent to the syslog server and are gone" in done.output


def test_a_line_that_a_full_disk_cut_short_is_told_and_no_fault(safelight, record, path):
    record(2)
    with path.open("ab") as file:
        file.write(b'{"at": "2026')
    record(1)
    done = safelight("audit", "verify")
    assert done.exit_code == 0
    assert "1 of them were cut short" in done.output


def test_lines_from_before_there_were_digests_are_no_fault(safelight, record, path):
    path.write_text('{"action": "login", "user": "ada"}\n')
    record(1)
    assert safelight("audit", "verify").exit_code == 0


def syslog(server, authority, host="127.0.0.1"):
    return (
        f'[audit.syslog]\nhost = "{host}"\nport = {server.port}\nauthorities = "{authority.pem}"\n'
    )


def trouble(path, minutes):
    since = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="milliseconds")
    told = {"number": 1, "problem": "it is away", "since": since}
    (path.parent / "audit-sent.json").write_text(json.dumps(told))


def test_the_doctor_says_whether_the_server_takes_it(site, record, serve, authority, path):
    record(3)
    server = serve()
    found = list(audit(Site(load_config(site(syslog(server, authority)), {}))))
    assert [finding.level for finding in found] == ["ok"] * 3
    assert "answers, and its certificate is good" in found[1].what
    assert found[2].what == "3 lines wait to be sent to it"
    assert server.messages == []
    trouble(path, 20)
    *_, late = audit(Site(load_config(site(syslog(server, authority)), {})))
    assert (late.level, late.remedy) == ("warning", "last trouble: it is away")
    assert late.what.startswith("2 lines wait since ")


def test_the_doctor_finds_a_server_that_is_not_who_it_should_be(site, serve, authority, record):
    record(1)
    server = serve(authority, "syslog.example")
    found = list(audit(Site(load_config(site(syslog(server, authority)), {}))))
    assert found[1].level == "problem"
    assert "its certificate is not accepted" in found[1].what
    assert "[audit.syslog] authorities" in found[1].remedy


def test_the_doctor_finds_what_was_altered_and_asks_nobody_without_a_server(site, record, path):
    record(3)
    with lines_of(path) as lines:
        del lines[1]
    found = list(audit(Site(load_config(site(), {}))))
    assert [finding.level for finding in found] == ["problem", "ok"]
    assert "sent nowhere" in found[1].what


@pytest.mark.parametrize(("minutes", "is_told"), [(20, True), (10, False)])
def test_status_says_that_it_is_not_sent_once_that_is_late(
    safelight, serve, authority, path, minutes, is_told
):
    with LedgerWriter(path.parent / "ledger.sqlite"):
        pass
    trouble(path, minutes)
    done = safelight("status", toml=syslog(serve(), authority))
    assert done.exit_code == 0
    assert ("audit trail: NOT SENT since" in done.output) == is_told


def test_a_certificate_that_cannot_be_used_is_an_error_of_the_configuration(safelight, serve):
    toml = '[audit.syslog]\nhost = "127.0.0.1"\nauthorities = "missing.pem"\n'
    done = safelight("config", "check", toml=toml)
    assert isinstance(done.exception, ConfigError)
    assert "[audit.syslog] authorities: " in str(done.exception)


def test_a_certificate_without_its_key_is_an_error_of_the_configuration(site):
    file = site('[audit.syslog]\nhost = "127.0.0.1"\ncertificate = "a.pem"\n')
    with pytest.raises(ConfigError, match=r"\[audit\.syslog\] private_key: missing"):
        load_config(file, {})
