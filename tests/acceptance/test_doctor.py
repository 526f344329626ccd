"""`safelight doctor` beside a daemon as a site runs it, with Orthanc as the PACS, and without.

What each check finds: tests/safelight/doctor.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PATIENT = ("Doe", "P1", "A0001", "Thorax")


@pytest.fixture
def site(daemon, orthanc, free_port, stack, storescu):
    """Function that starts a daemon, and an Orthanc with two series that sends to `address`.

    `address` is what Orthanc knows as SAFELIGHT; None for nothing, by default the daemon. `more`
    is told Orthanc and says what its table has besides; `options` are Orthanc's.
    """

    def start(address="ours", more=lambda _: "", toml="", **options):
        port = free_port()
        address = ("127.0.0.1", port) if address == "ours" else address
        pacs = orthanc({"SAFELIGHT": address} if address else {}, **options)
        for files in (stack(slices=4), stack(slices=2, SeriesNumber=4)):
            storescu(files[0].parent, port=pacs.dicom_port, called="ORTHANC")
        table = (
            f'[[pacs]]\nname = "main"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\n'
            f"port = {pacs.dicom_port}\narrival_seconds = 1\n{more(pacs)}\n"
        )
        return daemon(toml=table + toml, port=port), pacs

    return start


def examined(node, *arguments):
    """The exit code of the doctor and its findings, those of a group after one another."""
    done = node.run("doctor", "--json", *arguments)
    assert done.stdout, done.stderr
    assert not any(secret in done.stdout + done.stderr for secret in PATIENT)
    return done.returncode, json.loads(done.stdout)["findings"]


def told(findings, group):
    return [(one["level"], one["what"]) for one in findings if one["group"] == group]


def kept(node):
    return [path.stem for path in (node.data / "spool" / "instances").rglob("*.dcm")]


def test_a_node_that_is_well_moves_one_instance_and_a_second_time_the_same(site):
    node, pacs = site()
    page = node.web.rpartition(":")[2]

    code, findings = examined(node, "--move")

    assert code == 0, [one for one in findings if one["level"] == "problem"]
    assert told(findings, "ports") == [
        ("ok", f"DICOM: the daemon (process {node.process.pid}) listens on port {node.port}"),
        ("ok", f"page: the daemon (process {node.process.pid}) listens on port {page}"),
    ]
    assert told(findings, "pacs") == [
        ("ok", f"main: ORTHANC at 127.0.0.1:{pacs.dicom_port} answers C-ECHO"),
        ("ok", "main: answers C-FIND: 0 studies of today and yesterday"),
        ("ok", "main: C-MOVE brought one instance to the daemon, which is new here, and kept"),
    ]
    first = kept(node)
    assert len(first) == 1
    _, findings = examined(node, "--move", "--only", "pacs")
    assert told(findings, "pacs")[-1] == (
        "ok",
        "main: C-MOVE brought one instance to the daemon, which was here already",
    )
    assert kept(node) == first


def test_without_move_nothing_changes(site):
    node, _ = site()
    before = sorted(node.data.rglob("*"))
    examined(node, "--only", "pacs", "--only", "disk", "--only", "folders")
    assert kept(node) == []
    assert [path for path in sorted(node.data.rglob("*")) if path.is_file()] == [
        path for path in before if path.is_file()
    ]


def test_by_c_get_an_instance_is_taken_and_not_kept(site):
    node, _ = site(address=None, more=lambda _: 'retrieve = "get"')
    code, findings = examined(node, "--move", "--only", "pacs")
    assert code == 0
    last = told(findings, "pacs")[-1]
    assert last == ("ok", "main: sent one instance by C-GET; it was not kept")
    assert kept(node) == []


def test_by_dicomweb_too_and_no_echo_is_asked_for(site):
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not plugin.exists():
        pytest.skip("Orthanc's DICOMweb plug-in is not installed (Debian: orthanc-dicomweb)")

    def web(pacs):
        url = f"http://127.0.0.1:{pacs.http_port}/dicom-web"
        return f'retrieve = "dicomweb"\nurl = "{url}"'

    served = {"Enable": True, "Root": "/dicom-web/"}
    node, _ = site(address=None, more=web, Plugins=[str(plugin)], DicomWeb=served)
    code, findings = examined(node, "--move", "--only", "pacs")
    assert code == 0
    assert told(findings, "pacs") == [
        ("ok", "main: answers a search of DICOMweb: 0 studies of today and yesterday"),
        ("ok", "main: sent one instance by WADO-RS; it was not kept"),
    ]
    assert kept(node) == []


def test_a_pacs_that_does_not_know_us_is_a_problem_that_says_what_to_tell_it(site):
    node, _ = site(address=None)
    code, findings = examined(node, "--move", "--only", "pacs")
    assert code == 1
    last = findings[-1]
    assert (last["level"], "C-MOVE refused by ORTHANC" in last["what"]) == ("problem", True)
    assert "its administrator must add AE title SAFELIGHT" in last["remedy"]
    assert f"port {node.port}" in last["remedy"]


def test_a_pacs_that_sends_to_another_machine_is_found_out(site, dcmtk_storescp):
    elsewhere = dcmtk_storescp(ae_title="SAFELIGHT")
    node, _ = site(address=("127.0.0.1", elsewhere.port))
    code, findings = examined(node, "--move", "--only", "pacs")
    assert code == 1
    assert told(findings, "pacs")[-1] == (
        "problem",
        "main: says that C-MOVE sent the instance, and it did not come",
    )
    assert f"port {node.port}" in findings[-1]["remedy"]
    assert len(elsewhere.received()) == 1


def test_a_daemon_that_lets_the_pacs_not_in_is_named_with_its_reason(site):
    node, _ = site(toml='[[dicom.accept]]\ncalling_ae = "CT1"\naddresses = ["127.0.0.0/8"]\n')
    code, findings = examined(node, "--move", "--only", "pacs")
    assert code == 1
    assert told(findings, "pacs")[-1][1].startswith(
        "main: the daemon refused what C-MOVE sent: no [[dicom.accept]] names"
    )


def test_without_a_daemon_and_a_pacs_it_says_so_to_a_person(site):
    node, pacs = site()
    node.stop()
    done = node.run("doctor", "--only", "ports", "--only", "pacs", "--move")
    assert done.returncode == 0, done.stdout
    assert f"  ok       DICOM: port {node.port} is free; no daemon runs\n" in done.stdout
    assert "C-MOVE was not tried, because no daemon runs to receive\n           -> " in done.stdout
    assert done.stdout.endswith("\n0 problems, 1 warning\n")

    pacs.stop()
    done = node.run("doctor", "--only", "pacs")
    assert done.returncode == 1
    assert "\npacs\n  PROBLEM  main: cannot reach ORTHANC at 127.0.0.1:" in done.stdout
    assert "\n           -> check host and port of [[pacs]]" in done.stdout
    assert node.run("doctor", "--no-pacs", "--only", "pacs").stdout.endswith("\nall is well\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--move", "--no-pacs"], "--move asks every PACS"),
        (["--move", "--only", "disk"], "--move asks every PACS"),
        (["--only", "disc"], "'disc' is not one of"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(tmp_path, arguments, said):
    command = [sys.executable, "-m", "safelight", "doctor", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
