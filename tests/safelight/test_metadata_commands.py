"""The command ``metadata`` on folders of DICOM and on results."""

import json
import re

import pytest
from click.testing import CliRunner
from python_calamine import CalamineWorkbook

from processor.tables import write_rows
from safelight.cli import cli


def sheet(path, title):
    columns, *rows = CalamineWorkbook.from_path(str(path)).get_sheet_by_name(title).to_python()
    return [dict(zip(columns, row, strict=True)) for row in rows]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli, ["metadata", *map(str, words)])


def test_a_folder_of_dicom_becomes_a_workbook(run, write, tmp_path):
    for number in (1, 2):
        write(tmp_path / "in" / "a" / f"{number}.dcm", InstanceNumber=number, PatientID="007")
    write(tmp_path / "in" / "b" / "1.dcm", SeriesInstanceUID="1.2.4", Modality="DX")
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    result = run("in", "--out", "out.xlsx", "--format", "csv")
    assert (result.exit_code, result.output) == (0, "2 series in out.xlsx\n")
    first, second = sheet(tmp_path / "out.xlsx", "DICOM_Metadata")
    assert (first["PatientID"], first["TotalFilesInSeries"], first["SeriesFolder"]) == (
        "007",
        2,
        "a",
    )
    assert second["Modality"] == "DX"
    assert [row["FileCount"] for row in sheet(tmp_path / "out.xlsx", "Series_Summary")] == [2, 1]
    assert (tmp_path / "out.DICOM_Metadata.csv").exists()


def test_a_folder_without_dicom_is_said_and_writes_nothing(run, tmp_path):
    (tmp_path / "in").mkdir()
    result = run("in")
    assert result.exit_code == 1
    assert "no DICOM files" in result.output
    assert not (tmp_path / "metadata.xlsx").exists()


def test_a_site_template_of_the_configuration_is_used(run, write, tmp_path):
    write(tmp_path / "in" / "1.dcm", KVP=120)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "ct.json").write_text(
        json.dumps([{"keyword": "KVP", "column": "kilovolts"}])
    )
    (tmp_path / "safelight.toml").write_text('[output]\ntemplates = "own"\n')
    assert run("in").exit_code == 0
    (row,) = sheet(tmp_path / "metadata.xlsx", "DICOM_Metadata")
    assert row["kilovolts"] == 120
    assert "PatientID" not in row


def test_what_a_character_set_cannot_hold_does_not_end_the_command(run, write, tmp_path):
    write(tmp_path / "in" / "1.dcm", SpecificCharacterSet="ISO_IR 192", SeriesDescription="ABCDEF")
    path = tmp_path / "in" / "1.dcm"
    path.write_bytes(path.read_bytes().replace(b"ABCDEF", b"A\xff\xfeDEF"))
    write(tmp_path / "in" / "2.dcm", SeriesInstanceUID="1.2.4", StudyDescription="plain")
    other = tmp_path / "in" / "2.dcm"
    other.write_bytes(other.read_bytes())
    assert run("in").exit_code == 0
    first, second = sheet(tmp_path / "metadata.xlsx", "DICOM_Metadata")
    assert re.fullmatch("A.*DEF", first["SeriesDescription"])
    assert second["StudyDescription"] == "plain"


def test_results_of_many_studies_merge_into_one_workbook(run, tmp_path):
    for study in ("A1", "A2"):
        (tmp_path / "results" / study / "1").mkdir(parents=True)
        tables = {"DICOM_Metadata": [{"AccessionNumber": study}], "Series_Summary": [{"x": 1}]}
        write_rows(tmp_path / "results" / study / "1" / "metadata.json", tables)
    result = run("merge", "results", "results/A1", "--out", "all.xlsx", "--format", "parquet")
    assert (result.exit_code, result.output) == (0, "the tables of 2 series in all.xlsx\n")
    rows = sheet(tmp_path / "all.xlsx", "DICOM_Metadata")
    assert [row["AccessionNumber"] for row in rows] == ["A1", "A2"]
    assert (tmp_path / "all.Series_Summary.parquet").exists()


def test_nothing_to_merge_is_said(run, tmp_path):
    (tmp_path / "results").mkdir()
    result = run("merge", "results", "--out", "all.xlsx")
    assert result.exit_code == 1
    assert "no metadata.json" in result.output


@pytest.mark.parametrize("words", [("in",), ("merge", "in")])
def test_a_workbook_has_a_name_that_excel_opens(run, tmp_path, words):
    (tmp_path / "in").mkdir()
    result = run(*words, "--out", "out.csv")
    assert result.exit_code == 2
    assert "ends in .xlsx" in result.output
    assert not (tmp_path / "out.csv").exists()
