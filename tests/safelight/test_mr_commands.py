"""The command ``mr-clean`` on anyone's tables."""

import json

import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner

from processor.mr_clean.config import SHIPPED
from safelight.cli import cli

TABLE = pd.DataFrame(
    {
        "Modality": ["MR", "CT", "MR"],
        "PatientID": ["007", "008", "009"],
        "SeriesDescription": ["t2_tse_tra", "thorax", "@cmd()"],
        "note": ["a", "b", None],
    }
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli, ["mr-clean", *map(str, words)])


def test_a_csv_gets_the_columns_and_keeps_its_own(run, tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    done = run("t.csv")
    assert done.exit_code == 0, done.output
    assert "2 MR series in t_cleaned.csv; 1 rows are of other modalities" in done.output
    found = pd.read_csv(tmp_path / "t_cleaned.csv", dtype=str, encoding="utf-8-sig")
    assert list(found["PatientID"]) == ["007", "009"]
    assert list(found["sequenceClass"]) == ["T2_TSE", "UNKNOWN"]
    assert found["SeriesDescription"][1] == "'@cmd()"


def test_a_workbook_is_read_from_the_sheet_that_is_named(run, tmp_path):
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        pd.DataFrame({"a": [1]}).to_excel(book, sheet_name="First", index=False)
        TABLE.to_excel(book, sheet_name="Mine", index=False)
    assert run("t.xlsx", "--sheet", "Mine", "--out", "out.xlsx").exit_code == 0
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx")["MR_Cleaned"]
    names, first, second = sheet.iter_rows(values_only=True)
    assert dict(zip(names, first, strict=True))["sequenceClass"] == "T2_TSE"
    assert dict(zip(names, second, strict=True))["SeriesDescription"] == "@cmd()"
    assert {cell.data_type for cell in sheet["C"]} == {"s"}
    wrong = run("t.xlsx", "--sheet", "Yours")
    assert "no sheet 'Yours'; it has First, Mine" in str(wrong.exception)


def test_rules_of_ones_own_and_wrong_ones(run, tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    rules = json.loads(SHIPPED.read_text(encoding="utf-8"))
    rules["classification"]["ruleA"][0]["pattern"] = "("
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    done = run("t.csv", "--rules", "rules.json")
    assert "A-screen: no regular expression" in str(done.exception)
    assert not (tmp_path / "t_cleaned.csv").exists()


@pytest.mark.parametrize("name", ["t.txt", "t.xlsx"])
def test_what_is_no_table_is_said_without_its_values(run, tmp_path, name):
    (tmp_path / name).write_text("SECRET")
    done = run(name)
    assert done.exit_code == 1
    assert name in str(done.exception)
    assert "SECRET" not in str(done.exception)


@pytest.mark.parametrize("header", ["Series Description,Modality", "series_description,MODALITY"])
def test_columns_are_known_however_their_names_are_written(run, tmp_path, header):
    (tmp_path / "t.csv").write_text(f"{header}\nt2_tse_tra,MR\nthorax,CT\n")
    done = run("t.csv")
    assert "1 MR series in t_cleaned.csv; 1 rows are of other modalities" in done.output
    found = pd.read_csv(tmp_path / "t_cleaned.csv", encoding="utf-8-sig")
    assert list(found["sequenceClass"]) == ["T2_TSE"]
    assert list(found.columns[:2]) == header.split(",")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_of_another_separator_is_read(run, tmp_path, separator):
    lines = (["SeriesDescription", "note"], ["t2_tse_tra", "a, b"])
    (tmp_path / "t.csv").write_text("\n".join(map(separator.join, lines)))
    assert "T2_TSE" in run("t.csv").output


def test_a_csv_of_another_encoding_is_read_when_that_is_named(run, tmp_path):
    (tmp_path / "t.csv").write_text("SeriesDescription\n弥散\n", encoding="gb18030")
    assert "--encoding" in str(run("t.csv").exception)
    assert "no such encoding" in str(run("t.csv", "--encoding", "klingon").exception)
    assert "DWI" in run("t.csv", "--encoding", "gb18030").output


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name,TR\nSECRET,4000\n", "the first row must name columns by DICOM keywords"),
        ("SeriesDescription\nSECRET,4000\n", "more values than there are columns"),
        ("", "it is empty"),
    ],
)
def test_a_table_that_tells_nothing_is_refused_with_what_to_do(run, tmp_path, content, reason):
    (tmp_path / "t.csv").write_text(content)
    done = run("t.csv")
    assert done.exit_code == 1
    assert reason in str(done.exception)
    assert "SECRET" not in str(done.exception)
    assert not (tmp_path / "t_cleaned.csv").exists()
