"""The command ``deidentify`` on folders of DICOM."""

import pydicom
import pytest
from click.testing import CliRunner

from safelight.cli import cli


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli, ["deidentify", *words, "--out", "out"])


def test_a_folder_of_series_becomes_one_without_identity(run, write, tmp_path):
    for number in (1, 2):
        write(tmp_path / "in" / f"{number}.dcm", InstanceNumber=number)
    write(tmp_path / "in" / "3.dcm", SeriesInstanceUID="1.2.77.4")
    result = run("in", "--dates", "shifted")
    assert result.exit_code == 0
    assert result.output.startswith("2 of 2 series without identity")
    paths = sorted((tmp_path / "out").rglob("*.dcm"))
    found = [pydicom.dcmread(path) for path in paths]
    for path, header in zip(paths, found, strict=True):
        expected = (header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID)
        assert path.relative_to(tmp_path / "out").with_suffix("").as_posix() == "/".join(expected)
    assert len({header.PatientID for header in found}) == 1
    assert found[0].StudyDate not in ("", "20240102")
    assert not [path for path in paths if b"Doe" in path.read_bytes()]
    assert (tmp_path / "safelight-data" / "deidentify.key").exists()


def test_a_series_that_cannot_be_is_left_out_and_said(run, write, tmp_path):
    write(tmp_path / "in" / "1.dcm")
    write(tmp_path / "in" / "2.dcm", SeriesInstanceUID="1.2.77.4", BurnedInAnnotation="YES")
    result = run("in")
    assert result.exit_code == 1
    assert "series 1.2.77.4: left out: 1 of 1 instances: BurnedInAnnotation" in result.output
    assert "1 of 2 series" in result.output
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 1


def test_a_key_that_others_may_read_is_refused(run, write, tmp_path):
    write(tmp_path / "in" / "1.dcm")
    run("in")
    (tmp_path / "safelight-data" / "deidentify.key").chmod(0o644)
    result = run("in")
    assert result.exit_code == 1
    assert "chmod 600" in result.output


def test_a_folder_without_dicom_is_said(run, tmp_path):
    (tmp_path / "in").mkdir()
    result = run("in")
    assert (result.exit_code, result.output) == (1, "no DICOM files there\n")


def test_process_publishes_without_identity_when_asked_to(run, write, tmp_path):
    for number in (1, 2):
        write(tmp_path / "in" / f"{number}.dcm", InstanceNumber=number)
    write(tmp_path / "in" / "3.dcm", SeriesInstanceUID="1.2.77.4", BurnedInAnnotation="YES")
    steps = ["process", "in", "--out", "results", "--run", "deidentify,metadata"]
    result = CliRunner().invoke(cli, steps)
    assert result.exit_code == 0, result.output
    told = "".join(map(str, (tmp_path / "results").rglob("*")))
    for path in (tmp_path / "results").rglob("*"):
        told += path.read_bytes().decode("latin-1") if path.is_file() else ""
    assert len(list((tmp_path / "results").rglob("*.dcm"))) == 2
    assert "1.2.77" not in told
    assert "P4711" not in told
