"""Orthanc as the PACS: find, echo, and C-MOVE of a study to our own AE title."""

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def site(daemon, orthanc, free_port):
    """A daemon and an Orthanc that know each other."""
    port = free_port()
    pacs = orthanc(modalities={"SAFELIGHT": ("127.0.0.1", port)})
    return daemon(toml=table_of(pacs), port=port), pacs


def table_of(pacs):
    return (
        '[[pacs]]\nname = "main"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\n'
        f"port = {pacs.dicom_port}\n"
    )


def test_every_instance_the_pacs_holds_arrives_and_is_processed(site, stack, storescu):
    node, pacs = site
    sent = [*stack(slices=12), *stack(slices=5, SeriesNumber=4), *stack(slices=1, SeriesNumber=5)]
    for files in {path.parent for path in sent}:
        storescu(files, port=pacs.dicom_port, called="ORTHANC")
    result = node.run("retrieve", "A0001")
    assert result.returncode == 0, result.stderr
    assert "18 instances sent, 0 failed" in result.stdout
    assert "arrived: 18 of 18 instances" in result.stdout
    rows = node.wait_for_ended(3)
    assert sum(row.instances for row in rows.values()) == 18
    assert {row.calling_ae for row in rows.values()} == {"ORTHANC"}
    assert {row.state for row in rows.values()} == {"done"}
    assert {row.grade for row in rows.values()} == {"listed"}
    evidence = sorted(row.evidence for row in rows.values())
    assert evidence == [f"{n} of {n} listed by ORTHANC" for n in (1, 12, 5)]


def test_find_lists_studies_and_series(site, stack, storescu):
    node, pacs = site
    storescu(stack()[0].parent, port=pacs.dicom_port, called="ORTHANC")
    storescu(
        stack(study_uid="1.2.826.2", AccessionNumber="A0002")[0].parent,
        port=pacs.dicom_port,
        called="ORTHANC",
    )
    (study,) = json.loads(node.run("find", "A0002", "--series", "--json").stdout)
    assert study["StudyInstanceUID"] == "1.2.826.2"
    assert [series["SeriesDescription"] for series in study["series"]] == ["Thorax"]
    both = json.loads(node.run("find", "--date", "20260101-20260131", "--json").stdout)
    assert {study["AccessionNumber"] for study in both} == {"A0001", "A0002"}
    table = node.run("find", "--patient", "P1", env={**os.environ, "COLUMNS": "120"})
    assert "A0001" in table.stdout
    assert "2 studies in ORTHANC" in table.stdout


def test_echo_says_that_the_pacs_answers(site):
    node, _ = site
    result = node.run("echo")
    assert result.returncode == 0
    assert "answers" in result.stdout


def test_an_accession_number_the_pacs_does_not_have_is_said_so(site):
    node, _ = site
    result = node.run("retrieve", "NOWHERE")
    assert result.returncode == 1
    assert "ORTHANC has no study of this accession number" in result.stderr


def test_a_study_that_does_not_arrive_is_not_called_retrieved(site, stack, storescu):
    node, pacs = site
    storescu(stack()[0].parent, port=pacs.dicom_port, called="ORTHANC")
    assert node.stop() == 0
    result = node.run("retrieve", "A0001")
    assert result.returncode == 1
    assert "safelight serve" in result.stderr or "C-MOVE" in result.stderr


def test_a_pacs_that_is_down_is_an_error_with_a_remedy(site):
    node, pacs = site
    pacs.stop()
    result = node.run("find", "A0001")
    assert result.returncode == 1
    assert result.stderr.startswith("safelight: cannot reach ORTHANC at 127.0.0.1:")


def test_a_pacs_that_does_not_know_us_is_an_error_with_what_to_enter_there(
    daemon, orthanc, stack, storescu
):
    pacs = orthanc()
    node = daemon(toml=table_of(pacs))
    storescu(stack()[0].parent, port=pacs.dicom_port, called="ORTHANC")
    result = node.run("retrieve", "A0001")
    assert result.returncode == 1
    assert "AE title SAFELIGHT, host " in result.stderr
    assert f"port {node.port}" in result.stderr


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
