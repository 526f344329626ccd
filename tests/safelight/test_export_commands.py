"""The files that ``export`` writes: formats, names, dates, cells that look like formulas."""

import csv
import json
from contextlib import closing

import openpyxl
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from ledger.export_tables import EXPORTS
from ledger.session import Session
from safelight.cli import cli


@pytest.fixture
def ask(config, tmp_path, monkeypatch):
    """Function that runs ``export`` in a folder of its own; the ledger has two studies."""
    with closing(Session(config.storage.ledger)) as session:
        for uid, name, at in (
            ("1.2.3", "=1+1", "2026-01-31T10:00:00.000+00:00"),
            ("1.2.4", "Doe^Jane", "2026-03-31T10:00:00.000+00:00"),
        ):
            session.insert(
                "studies",
                StudyInstanceUID=uid,
                PatientName=name,
                first_seen_at=at,
                **dict.fromkeys(("PatientID", "AccessionNumber", "StudyDescription"), ""),
                StudyDate="",
            )
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    file = tmp_path / "safelight.toml"

    def run(*words, exit_code=0):
        told = CliRunner().invoke(cli, ["export", *map(str, words), "--config", str(file)])
        assert told.exit_code == exit_code, told.output
        return told.output

    run.folder = folder
    return run


def of_csv(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_is_written_by_default_and_no_cell_is_a_formula(ask):
    assert ask("studies") == "studies.csv\n"
    names = [row["PatientName"] for row in of_csv(ask.folder / "studies.csv")]
    assert names == ["'=1+1", "Doe^Jane"]


def test_the_name_of_the_file_says_the_format(ask):
    ask("studies", "--out", ask.folder / "made.xlsx")
    sheet = openpyxl.load_workbook(ask.folder / "made.xlsx")["studies"]
    cell = sheet["C2"]
    assert (cell.value, cell.data_type, sheet["C1"].value) == ("=1+1", "s", "PatientName")


def test_json_holds_values_as_they_are(ask):
    ask("studies", "--format", "json")
    first, _ = json.loads((ask.folder / "studies.json").read_text())
    assert (first["PatientName"], first["series"], first["workbook"]) == ("=1+1", 0, None)
    ask("jobs", "--format", "json")
    assert json.loads((ask.folder / "jobs.json").read_text()) == []


def test_parquet_has_the_promised_types_where_a_column_is_empty_too(ask):
    ask("studies", "--format", "parquet")
    table = parquet.read_table(ask.folder / "studies.parquet")
    assert str(table.schema.field("instances").type) == "int64"
    assert str(table.schema.field("workbook").type) == "string"
    ask("jobs", "--format", "parquet")
    assert str(parquet.read_schema(ask.folder / "jobs.parquet").field("seconds").type) == "double"


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_all_tables_are_files_of_a_folder(ask, format_):
    ask("all", "--format", format_)
    files = sorted(path.name for path in (ask.folder / "safelight-ledger").iterdir())
    assert files == sorted(f"{name}.{format_}" for name in EXPORTS)


def test_all_tables_are_sheets_of_one_workbook(ask):
    ask("all", "--format", "xlsx")
    book = openpyxl.load_workbook(ask.folder / "safelight-ledger.xlsx")
    assert book.sheetnames == list(EXPORTS)
    assert [cell.value for cell in book["jobs"][1]][:2] == ["job", "StudyInstanceUID"]


def test_a_day_and_a_period_say_since_when(ask):
    ask("studies", "--since", "2026-02-01")
    assert [row["StudyInstanceUID"] for row in of_csv(ask.folder / "studies.csv")] == ["1.2.4"]
    ask("studies", "--since", "1h")
    assert of_csv(ask.folder / "studies.csv") == []
    assert "expected hours, days" in ask("studies", "--since", "lately", exit_code=2)


def test_without_patients_there_is_no_column_that_tells_whose_it_is(ask):
    ask("studies", "--without-patients")
    (first, _) = of_csv(ask.folder / "studies.csv")
    assert first["StudyInstanceUID"] == "1.2.3"
    assert {"PatientName", "PatientID", "AccessionNumber", "StudyDate"}.isdisjoint(first)
