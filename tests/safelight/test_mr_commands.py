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
