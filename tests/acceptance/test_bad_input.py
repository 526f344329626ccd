"""What users and peers get wrong: a clear error, and nothing lost."""

import os
import re
import socket
import sqlite3
import subprocess
import sys

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from ledger.writer import LedgerWriter


def safelight(*arguments, cwd=None, env=None):
    command = [sys.executable, "-m", "safelight", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )


def test_a_truncated_file_is_kept_and_said_not_to_be_convertible(lasting_daemon):
    node = lasting_daemon
    row = sent(node, get_testdata_file("MR_truncated.dcm"))
    assert row.instances == 1
    assert "truncated" in row.results["convert"]
    assert "cannot convert because" in row.results["convert"]
    assert node.outputs(row, "nifti") == []


@pytest.mark.parametrize("name", ["test-SR.dcm", "waveform_ecg.dcm"])
def test_an_object_without_pixels_is_no_error(lasting_daemon, name):
    row = sent(lasting_daemon, get_testdata_file(name))
    assert row.state == "done"
    assert "no volume in this object" in row.results["convert"]


def test_a_file_whose_meta_names_another_instance_is_sent_as_what_its_dataset_says(
    lasting_daemon,
):
    assert sent(lasting_daemon, get_testdata_file("rtplan.dcm")).Modality == "RTPLAN"


def sent(node, path):
    """Send a file that is of a series of its own; return the series when it has ended."""
    assert node.run_sender(path).returncode == 0
    return node.wait_for_series(dcmread(path, stop_before_pixels=True).SeriesInstanceUID)


def test_an_unknown_sop_class_is_refused_by_name_and_the_rest_is_taken(lasting_daemon, stack):
    node = lasting_daemon
    files = stack(slices=3)
    stack(slices=1, SOPClassUID="1.2.3.4.5", series_uid="1.2.826.9")
    result = node.run_sender(files[0].parent.parent)
    assert result.returncode == 1
    assert "3 instances accepted" in result.stdout
    assert "does not take SOP class 1.2.3.4.5" in result.stderr


def test_bytes_that_are_not_dicom_on_the_port_do_not_disturb_others(
    lasting_daemon, stack, storescu
):
    node, uid = lasting_daemon, generate_uid()
    with socket.create_connection(("127.0.0.1", node.port)) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        storescu(stack(series_uid=uid)[0].parent, port=node.port, called="SAFELIGHT")
    assert node.wait_for_series(uid).state == "done"


def test_a_second_version_of_an_instance_is_acknowledged_and_set_aside(daemon, stack, storescu):
    node = daemon()
    uid, sop = generate_uid(), generate_uid()
    (first,) = stack(slices=1, series_uid=uid, SOPInstanceUID=sop)
    storescu(first, port=node.port, called="SAFELIGHT")
    node.wait_for_ended(1)
    first.rename(first.with_suffix(".first"))
    first.parent.rename(first.parent.with_name("first"))
    (second,) = stack(slices=1, series_uid=uid, SOPInstanceUID=sop, PatientID="P2")
    storescu(second, port=node.port, called="SAFELIGHT")

    def quarantined():
        reader = node.reader()
        try:
            return reader.overview().quarantined == 1
        finally:
            reader.close()

    node.wait_until(quarantined, "the second version in quarantine")


def test_a_configuration_error_names_the_key_and_ends_with_2(tmp_path):
    config = tmp_path / "safelight.toml"
    config.write_text("[series]\nquiet_second = 10\n")
    for command in (["serve"], ["config", "check"], ["status"]):
        result = safelight(*command, "--config", config)
        assert result.returncode == 2
        assert result.stderr == (
            "safelight: configuration: [series] quiet_second: unknown key"
            " (did you mean quiet_seconds?)\n"
        )
        assert result.stdout == ""


def test_a_rule_error_names_file_rule_and_key_and_ends_with_2(tmp_path):
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "A"\nrun = { convertt = {} }\n')
    (tmp_path / "safelight.toml").write_text('[rules]\nfile = "rules.toml"\n')
    result = safelight("config", "check", "--config", tmp_path / "safelight.toml")
    assert result.returncode == 2
    assert 'rules.toml: rule "A": run.convertt: unknown processor (did you mean' in result.stderr


def test_a_template_that_cannot_be_used_is_found_before_any_series_needs_it(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "ct.json").write_text('["Modality", "KVPP"]')
    (tmp_path / "safelight.toml").write_text('[output]\ntemplates = "templates"\n')
    result = safelight("config", "check", "--config", tmp_path / "safelight.toml")
    assert result.returncode == 2
    assert "[output] templates: ct.json" in result.stderr
    assert "KVPP" in result.stderr


def test_a_good_configuration_is_shown(tmp_path):
    result = safelight("config", "check", cwd=tmp_path)
    assert result.returncode == 0
    assert "embedded defaults" in result.stdout
    assert "no errors found" in result.stdout


@pytest.mark.parametrize("which", ["dicom", "web"])
def test_a_taken_port_is_refused_and_its_owner_named(tmp_path, free_port, which):
    with socket.create_server(("127.0.0.1", 0)) as owner:
        taken = owner.getsockname()[1]
        ports = {"dicom": free_port(), "web": free_port(), which: taken}
        options = ["--port", ports["dicom"], "--web", f"127.0.0.1:{ports['web']}"]
        result = safelight("serve", "--data", tmp_path / "data", *options)
    assert result.returncode == 1
    assert f"port {taken} is in use by process {os.getpid()} (" in result.stderr
    assert "choose another with" in result.stderr


def test_a_second_daemon_on_the_same_data_says_who_has_it(daemon, free_port):
    node = daemon()
    options = ["--port", free_port(), "--web", f"127.0.0.1:{free_port()}"]
    result = safelight("serve", "--config", node.config, *options)
    assert result.returncode == 1
    assert f"another Safelight (process {node.process.pid}) works on" in result.stderr


def test_status_without_a_daemon_says_what_is_missing(tmp_path):
    result = safelight("status", cwd=tmp_path)
    assert result.returncode == 1
    assert "has the daemon run" in result.stderr


def test_help_names_every_command():
    result = safelight("--help")
    assert result.returncode == 0
    for command in ("serve", "status", "send", "find", "retrieve", "echo", "config", "demo"):
        assert re.search(rf"^  {command} ", result.stdout, re.MULTILINE)


def test_no_patient_data_is_in_the_log(daemon, stack, storescu):
    node = daemon()
    canaries = {
        "PatientName": "Canary^Yellow",
        "PatientID": "CANARY-ID",
        "AccessionNumber": "CANARYACC",
        "SeriesDescription": "canary series",
        "StudyDescription": "canary study",
        "PatientBirthDate": "19010203",
    }
    storescu(stack(**canaries)[0].parent, port=node.port, called="SAFELIGHT")
    bad = stack(slices=1, **canaries, StudyInstanceUID="not.a.uid")[0]
    node.run_sender(bad)
    node.wait_for_ended(1)
    assert node.stop() == 0
    log = (node.config.parent / "log").read_text()
    assert "job" in log
    assert "refused" in log
    for value in canaries.values():
        for part in value.split("^"):
            assert part.lower() not in log.lower()


def test_a_ledger_of_a_newer_version_stops_the_start_and_is_left_as_it_is(tmp_path, free_port):
    ledger = tmp_path / "data" / "ledger.sqlite"
    ledger.parent.mkdir()
    LedgerWriter(ledger).close()
    with sqlite3.connect(ledger) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('safelight', 'm999_later', '2030')"
        )
    db.close()
    before = ledger.read_bytes()
    options = ["--port", free_port(), "--web", f"127.0.0.1:{free_port()}"]
    result = safelight("serve", "--data", ledger.parent, *options)
    assert result.returncode == 1
    assert "a newer Safelight (migration m999_later)" in result.stderr
    assert "Traceback" not in result.stderr
    assert ledger.read_bytes() == before


def test_a_damaged_ledger_is_set_aside_and_made_again_from_the_spool(daemon, stack, storescu):
    node = daemon()
    storescu(stack()[0].parent, port=node.port, called="SAFELIGHT")
    (before,) = node.wait_for_ended(1).values()
    assert node.stop() == 0
    for suffix in ("-wal", "-shm"):
        (node.data / f"ledger.sqlite{suffix}").unlink(missing_ok=True)
    (node.data / "ledger.sqlite").write_bytes(b"junk " * 1000)
    node = daemon()
    node.wait_until(lambda: list(node.data.glob("ledger-*.sqlite")), "the ledger made again")
    (after,) = node.wait_for_ended(1).values()
    kept = (after.instances, after.revision, after.grade, after.state)
    assert kept == (before.instances, before.revision, before.grade, before.state)
    (aside,) = node.data.glob("ledger-*.sqlite")
    assert aside.read_bytes() == b"junk " * 1000
    verified = node.run("verify", "--deep")
    assert verified.returncode == 0, verified.stdout
