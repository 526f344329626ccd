"""Orthanc as the PACS: find, echo, and retrieves by C-MOVE and C-GET, each proven in the ledger.

Not covered: archives that misbehave (test_pacs_misbehaving.py).
"""

import csv
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook
from pydicom import dcmread

OWN_RULES = """
[[rule]]
name = "No reconstructions"
[rule.match]
ImageType = { contains = "DERIVED" }
not = { Modality = { in = ["CR", "DX", "MG"] } }
[rule.then]
drop = "derived"

[[rule]]
name = "Not the scouts"
[rule.match]
instances = { max = 2 }
[rule.then]
drop = "fewer than 3 instances"
"""


@pytest.fixture
def site(daemon, orthanc, free_port):
    """A daemon and an Orthanc that know each other."""
    port = free_port()
    pacs = orthanc(modalities={"SAFELIGHT": ("127.0.0.1", port)})
    return daemon(toml=table_of(pacs), port=port), pacs


def table_of(pacs, more=""):
    return (
        '[[pacs]]\nname = "main"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\n'
        f"port = {pacs.dicom_port}\narrival_seconds = 2\n{more}\n"
    )


@pytest.fixture
def load(storescu):
    """Function that stores the folders of files in Orthanc."""

    def send(pacs, files):
        storescu(*{path.parent for path in files}, port=pacs.dicom_port, called="ORTHANC")

    return send


def items_of(node, number=1):
    """What came of a list, by accession number."""
    shown = json.loads(node.run("retrieves", "show", str(number), "--json").stdout)
    return {item["accession_number"]: item for item in shown}


@pytest.fixture
def web_site(daemon, orthanc):
    """Function that starts a daemon and an Orthanc whose instances come by DICOMweb only."""
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not plugin.exists():
        pytest.skip("Orthanc's DICOMweb plug-in is not installed (Debian: orthanc-dicomweb)")

    def start(more=""):
        pacs = orthanc(Plugins=[str(plugin)], DicomWeb={"Enable": True, "Root": "/dicom-web/"})
        url = f"http://127.0.0.1:{pacs.http_port}/dicom-web"
        return daemon(toml=table_of(pacs, f'retrieve = "dicomweb"\nurl = "{url}"\n{more}')), pacs

    return start


def test_dicomweb_is_another_way_to_the_same_proof(
    web_site, stack, load, test_data, tmp_path, storescu
):
    node, pacs = web_site()
    load(pacs, [*stack(slices=12), *stack(slices=5, SeriesNumber=4), *stack(slices=1)])
    compressed = dcmread(test_data / "05_dcm_qa_ts" / "dicom" / "In" / "5.dcm")
    compressed.AccessionNumber = "A0002"
    compressed.save_as(tmp_path / "compressed.dcm")
    storescu(tmp_path / "compressed.dcm", port=pacs.dicom_port, called="ORTHANC", options=("-xs",))

    (study,) = json.loads(node.run("find", "A0001", "--level", "image", "--json").stdout)
    result = node.run("retrieve", "A0001", "A0002", "NOWHERE")

    assert sorted(len(series["instances"]) for series in study["series"]) == [1, 5, 12]
    states = {number: item["state"] for number, item in items_of(node).items()}
    assert states == {"A0001": "whole", "A0002": "whole", "NOWHERE": "absent"}, result.stdout
    rows = node.wait_for_ended(4)
    assert sorted(row.instances for row in rows.values()) == [1, 1, 5, 12]
    assert {row.grade for row in rows.values()} == {"listed"}
    balance = json.loads(node.run("verify", "--json").stdout)
    assert (balance["stored"], balance["in_series"], balance["losses"]) == (19, 19, [])
    (path,) = (node.data / "spool").rglob(f"{compressed.SOPInstanceUID}.dcm")
    kept = dcmread(path)
    assert kept.file_meta.TransferSyntaxUID == compressed.file_meta.TransferSyntaxUID
    assert kept.PixelData == compressed.PixelData


def test_a_dicomweb_server_that_is_down_is_an_error_with_a_remedy(web_site):
    node, pacs = web_site()
    pacs.stop()

    result = node.run("retrieve", "SECRET1")

    assert result.returncode == 1
    assert f"cannot reach ORTHANC at http://127.0.0.1:{pacs.http_port}/dicom-web" in result.stderr
    assert "SECRET1" not in result.stderr
    assert "SECRET1" not in (node.data.parent / "log").read_text()


@pytest.mark.parametrize("by", ["move", "get"])
def test_every_instance_arrives_is_processed_and_is_fetched_again_only_where_it_is_gone(
    site, stack, load, by
):
    node, pacs = site
    load(pacs, [*stack(slices=12), *stack(slices=5, SeriesNumber=4), *stack(slices=1)])

    result = node.run("retrieve", "A0001", "--by", by)

    assert result.returncode == 0, result.stderr
    assert "18 of 18" in result.stdout
    rows = node.wait_for_ended(3)
    assert sum(row.instances for row in rows.values()) == 18
    assert {row.calling_ae for row in rows.values()} == {"ORTHANC"}
    assert {row.state for row in rows.values()} == {"done"}
    assert {row.grade for row in rows.values()} == {"listed"}
    evidence = sorted(row.evidence for row in rows.values())
    assert evidence == [f"{n} of {n} listed by ORTHANC" for n in (1, 12, 5)]
    assert stored(node) == 18

    gone = min((node.data / "spool" / "instances").rglob("*.dcm"))
    gone.unlink()
    assert node.run("retrieve", "A0001", "--by", by).returncode == 0
    assert gone.is_file()
    node.wait_until(lambda: stored(node) == 19, "one instance to be stored again")


def stored(node):
    """How many instances the associations say they stored, those that have ended."""
    reader = node.reader()
    try:
        return sum(row.stored for row in reader.associations(limit=100))
    finally:
        reader.close()


def test_rules_leave_series_out_and_a_dry_run_says_so_first(site, stack, load, tmp_path):
    node, pacs = site
    wanted = stack(slices=6, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    derived = stack(slices=5, SeriesNumber=4, ImageType=["DERIVED", "SECONDARY", "MPR"])
    scout = stack(slices=1, SeriesNumber=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    load(pacs, [*wanted, *derived, *scout])
    rules = tmp_path / "filter.toml"
    rules.write_text(OWN_RULES)

    dry = node.run(
        *("retrieve", "A0001", "--dry-run", "--rules", str(rules)),
        env={**os.environ, "COLUMNS": "160"},
    )
    assert dry.returncode == 0, dry.stderr
    assert "left out: No reconstructions: derived" in dry.stdout
    assert "left out: Not the scouts: fewer than 3 instances" in dry.stdout
    assert dry.stdout.count("fetched") == 1
    assert not list((node.data / "spool" / "instances").rglob("*.dcm"))

    result = node.run("retrieve", "A0001", "--rules", str(rules))

    assert result.returncode == 0, result.stderr
    rows = node.wait_for_ended(1)
    assert [row.instances for row in rows.values()] == [6]
    (item,) = items_of(node).values()
    assert (item["state"], item["left_out"], item["received"]) == ("whole", 2, 6)
    told = {row["SeriesNumber"]: row["left_out"] for row in item["of_series"]}
    assert told == {
        3: "",
        4: "No reconstructions: derived",
        1: "Not the scouts: fewer than 3 instances",
    }


def test_a_list_says_what_is_made_also_of_what_is_here_already(site, stack, load):
    node, pacs = site
    load(pacs, stack(slices=6))
    assert node.run("retrieve", "A0001").returncode == 0
    (row,) = node.wait_for_ended(1).values()
    assert node.outputs(row, "npz") == []

    refused = node.run("retrieve", "A0001", "--format", "npz", "--run", "qc")
    assert (refused.returncode, "without convert" in refused.stderr) == (2, True)
    assert node.run("retrieve", "A0001", "--format", "npz", "--run", "convert,qc").returncode == 0

    node.wait_until(lambda: node.outputs(row, "npz"), "the array")
    (array,) = node.outputs(row, "npz")
    assert array.is_file()
    assert (
        "-> process: Retrieve list 2 -> convert, qc"
        in node.run(*("rules", "explain", str(row.id))).stdout
    )
    assert stored(node) == 6


def test_a_list_from_a_workbook_ends_in_a_report(site, stack, load, tmp_path):
    node, pacs = site
    load(pacs, stack(slices=4))
    load(pacs, stack(slices=3, study_uid="1.2.826.2", AccessionNumber="A0002"))
    workbook = Workbook()
    for row in (["Name", "Accession Number"], ["x", "A0001"], ["y", "A0002"], ["z", "A0003"]):
        workbook.active.append(row)
    workbook.save(tmp_path / "wanted.xlsx")

    result = node.run("retrieve", "--list", str(tmp_path / "wanted.xlsx"))

    assert result.returncode == 1  # one is absent
    node.wait_for_ended(2)
    for name in ("report.csv", "report.xlsx"):
        report = node.run("retrieves", "report", "1", "--out", str(tmp_path / name))
        assert report.returncode == 0, report.stderr
    with (tmp_path / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["AccessionNumber"]: row for row in csv.DictReader(file)}
    assert {number: row["State"] for number, row in rows.items()} == {
        "A0001": "whole",
        "A0002": "whole",
        "A0003": "absent",
    }
    assert [rows["A0001"][key] for key in ("Series", "Found", "Received", "Missing")] == list(
        "1440"
    )
    assert int(rows["A0001"]["Outputs"]) > 0
    sheets = load_workbook(tmp_path / "report.xlsx")
    assert sheets.sheetnames == ["Accession numbers", "Series", "Missing"]
    assert sheets["Accession numbers"].max_row == 4
    assert sheets["Series"].max_row == 3
    with urllib.request.urlopen(f"http://{node.web}/retrieves/1", timeout=60) as page:
        shown = page.read().decode()
    assert "2 whole" in shown
    assert "1 absent" in shown
    assert "4 of 4" in shown


def test_a_list_with_a_row_that_is_no_accession_number_is_refused_whole(site, tmp_path):
    node, _ = site
    (tmp_path / "wanted.txt").write_text("A0001\nSECRET-NUMBER-TOO-LONG\n")

    result = node.run("retrieve", "--list", str(tmp_path / "wanted.txt"))

    assert result.returncode == 2
    assert "wanted.txt: row 2: AccessionNumber: longer than the 16 characters" in result.stderr
    assert "SECRET" not in result.stderr
    assert node.run("retrieves").stdout.strip() == "no retrieve lists"


def test_find_lists_studies_and_series(site, stack, load):
    node, pacs = site
    load(pacs, stack())
    load(pacs, stack(study_uid="1.2.826.2", AccessionNumber="A0002"))
    (study,) = json.loads(node.run("find", "A0002", "--series", "--json").stdout)
    assert study["StudyInstanceUID"] == "1.2.826.2"
    assert [series["SeriesDescription"] for series in study["series"]] == ["Thorax"]
    both = json.loads(node.run("find", "--date", "20260101-20260131", "--json").stdout)
    assert {study["AccessionNumber"] for study in both} == {"A0001", "A0002"}
    table = node.run("find", "--patient", "P1", env={**os.environ, "COLUMNS": "120"})
    assert "A0001" in table.stdout
    assert "2 studies in ORTHANC" in table.stdout


def test_find_goes_down_to_instances_and_writes_csv(site, stack, load, tmp_path):
    node, pacs = site
    files = stack(slices=3)
    load(pacs, files)
    target = tmp_path / "found.csv"

    result = node.run("find", "--name", "doe^*", "--level", "image", "--csv", str(target))

    assert result.returncode == 0, result.stderr
    with target.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["SOPInstanceUID"] for row in rows} == {
        str(dcmread(f).SOPInstanceUID) for f in files
    }
    assert {(row["AccessionNumber"], row["Modality"]) for row in rows} == {("A0001", "CT")}


def test_echo_says_that_the_pacs_answers(site):
    node, _ = site
    result = node.run("echo")
    assert result.returncode == 0
    assert "answers" in result.stdout


def test_an_accession_number_the_pacs_does_not_have_is_said_so(site):
    node, _ = site
    result = node.run("retrieve", "NOWHERE")
    assert result.returncode == 1
    assert items_of(node)["NOWHERE"]["state"] == "absent"


def test_what_is_ordered_while_no_daemon_runs_is_fetched_when_one_starts(daemon, site, stack, load):
    node, pacs = site
    load(pacs, stack(slices=4))
    assert node.stop() == 0
    result = node.run("retrieve", "A0001", "--detach")
    assert result.returncode == 1
    assert "safelight serve" in result.stderr

    node = daemon(toml=table_of(pacs), port=node.port)

    node.wait_for_ended(1)
    node.wait_until(lambda: items_of(node)["A0001"]["state"] == "whole", "the retrieve to end")


def test_a_pacs_that_is_down_is_an_error_with_a_remedy(site):
    node, pacs = site
    pacs.stop()
    found = node.run("find", "A0001")
    retrieved = node.run("retrieve", "A0001")
    assert (found.returncode, retrieved.returncode) == (1, 1)
    assert found.stderr.startswith("safelight: cannot reach ORTHANC at 127.0.0.1:")
    assert "cannot reach ORTHANC at 127.0.0.1:" in retrieved.stderr
    assert "the daemon goes on by itself" in retrieved.stderr
    assert items_of(node)["A0001"]["tries"] == 0


def test_a_pacs_that_does_not_know_us_is_an_error_with_what_to_enter_there(
    daemon, orthanc, stack, load
):
    pacs = orthanc()
    node = daemon(toml=table_of(pacs))
    load(pacs, stack())
    result = node.run("retrieve", "A0001", "--tries", "1", env={**os.environ, "COLUMNS": "500"})
    assert result.returncode == 1
    assert "AE title SAFELIGHT, host " in result.stdout
    assert f"port {node.port}" in result.stdout
    (item,) = items_of(node).values()
    assert (item["state"], item["missing"]) == ("incomplete", 8)


def test_safelight_sends_to_a_pacs(site, stack):
    node, pacs = site
    files = stack(slices=4)
    command = [sys.executable, "-m", "safelight", "send", str(files[0].parent)]
    command += ["--to", f"127.0.0.1:{pacs.dicom_port}", "--aet", "ORTHANC"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "4 instances accepted by ORTHANC" in result.stdout
    (study,) = json.loads(node.run("find", "A0001", "--json").stdout)
    assert study["NumberOfStudyRelatedInstances"] == 4
