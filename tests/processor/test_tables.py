"""Tables as CSV and Parquet, and workbooks as two readers see them.

Not covered: what LibreOffice makes of them.
"""

import csv
import tracemalloc

import openpyxl
import pyarrow.parquet
import pytest
from openpyxl.utils.escape import unescape
from python_calamine import CalamineWorkbook

from processor import workbook
from processor.errors import RowsError
from processor.job import run_job
from processor.tables import (
    ROWS_FILE,
    inert,
    recorded_tables,
    write_beside,
    write_csv,
    write_parquet,
    write_rows,
)
from processor.workbook import CUT_MARK, LONGEST, write_workbook
from rules.model import Step

NASTY = [
    ("=1+1", "=1+1"),
    ("+1", "+1"),
    ("-1", "-1"),
    ("@SUM(A1)", "@SUM(A1)"),
    ("\t=1", "\t=1"),
    ("007", "007"),
    ("1e5", "1e5"),
    ("{=1}", "{=1}"),
    ("http://a.b", "http://a.b"),
    ("mailto:a@b.c", "mailto:a@b.c"),
    ("internal:Sheet!A1", "internal:Sheet!A1"),
    ("_x0041_", "_x0041_"),
    ("  a  ", "  a  "),
    ("M\u00fcller^\u5c71\u7530 \U0001f600", "M\u00fcller^\u5c71\u7530 \U0001f600"),
    ("x\x00\x0b\x1b\ud800y\ufffe", "xy"),
    ("\ufffd", "\ufffd"),
    (float("nan"), "nan"),
    (float("-inf"), "-inf"),
    (2**60 + 1, str(2**60 + 1)),
]


def calamine(path, title):
    return CalamineWorkbook.from_path(str(path)).get_sheet_by_name(title).to_python()


@pytest.mark.parametrize(("value", "expected"), NASTY)
def test_both_readers_see_a_nasty_value_as_plain_text(tmp_path, value, expected):
    path = tmp_path / "b.xlsx"
    write_workbook(path, {"T": [{"v": value}]})
    cell = openpyxl.load_workbook(path)["T"]["A2"]
    # openpyxl leaves the escape of ECMA-376 (22.4.2.4) to whoever asks.
    found = unescape(cell.value), cell.data_type, cell.hyperlink
    assert found == (expected, "s", None)
    assert calamine(path, "T") == [["v"], [expected]]


def test_a_value_that_looks_active_is_marked_as_text_for_whoever_edits_it(tmp_path):
    write_workbook(tmp_path / "b.xlsx", {"T": [{"v": "=1", "w": "a"}]})
    sheet = openpyxl.load_workbook(tmp_path / "b.xlsx")["T"]
    assert (sheet["A2"].quotePrefix, sheet["B2"].quotePrefix) == (True, False)


def test_a_long_value_is_cut_by_the_units_that_spreadsheets_count(tmp_path):
    write_workbook(tmp_path / "b.xlsx", {"T": [{"v": "\U0001f600" * LONGEST, "w": "a" * LONGEST}]})
    _, (cut, whole) = calamine(tmp_path / "b.xlsx", "T")
    assert len(cut.encode("utf-16-le")) // 2 in (LONGEST, LONGEST - 1)
    assert cut.endswith("\U0001f600" + CUT_MARK)
    assert whole == "a" * LONGEST


def test_numbers_booleans_text_and_nothing_share_a_column(tmp_path):
    rows = [{"v": value} for value in (1, 2.5, "x", True, None, -3)]
    write_workbook(tmp_path / "b.xlsx", {"T": rows})
    sheet = openpyxl.load_workbook(tmp_path / "b.xlsx")["T"]
    found = [cell.value for (cell,) in sheet.iter_rows(min_row=2)]
    assert found == [1, 2.5, "x", True, None, -3]
    assert found[3] is True


def test_rows_that_a_sheet_cannot_hold_go_on_in_another(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "SHEET_ROWS", 2)
    write_workbook(tmp_path / "b.xlsx", {"T": [{"v": n} for n in range(5)], "Empty": []})
    sheets = {name: calamine(tmp_path / "b.xlsx", name) for name in ("T", "T_2", "T_3", "Empty")}
    assert sheets["T"] == [["v"], [0], [1]]
    assert sheets["T_3"] == [["v"], [4]]
    assert sheets["Empty"] == []


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-cmd", "@x", "\t=1", " =1", "\r=1"])
def test_no_field_of_a_csv_is_a_formula(tmp_path, text):
    write_csv(tmp_path / "t.csv", [{"v": text}])
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["v"], ["'" + text]]


@pytest.mark.parametrize("value", ["-1.5", "+3", "1.2.840", "a=b", -1.5, None])
def test_harmless_fields_of_a_csv_are_left_as_they_are(value):
    assert inert(value) == value


def test_a_csv_is_read_back_with_its_separators_lines_and_letters(tmp_path):
    text = 'a,"b"\n\u5c71'
    write_csv(tmp_path / "t.csv", [{"v": text, "w": None}, {"x": 2}])
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["v", "w", "x"], [text, "", ""], ["", "", "2"]]


def test_a_column_of_parquet_has_the_type_that_holds_all_its_values(tmp_path):
    rows = [
        {"i": 1, "f": 1, "m": 1, "b": True, "n": None, "s": "007"},
        {"i": None, "f": 2.5, "m": "x\ud800", "b": False, "n": None, "s": "=1"},
    ]
    write_parquet(tmp_path / "t.parquet", rows)
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    types = [str(field.type) for field in table.schema]
    assert types == ["int64", "double", "string", "bool", "string", "string"]
    assert table.to_pylist()[1] == {**rows[1], "m": "x"}


def test_a_whole_number_too_large_for_parquet_is_text(tmp_path):
    write_parquet(tmp_path / "t.parquet", [{"v": 2**70}, {"v": 1}])
    found = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert found == [{"v": str(2**70)}, {"v": "1"}]


def test_a_rule_may_ask_for_both_beside_the_workbook(job, stack):
    request = job(stack(2))
    request = type(request)(
        **{**vars(request), "steps": (Step("metadata", {"tables": "both"}),), "key": "k" * 64}
    )
    result = run_job(request)
    names = {output.path: output.kind for output in result.steps[0].outputs}
    assert names["metadata.DICOM_Metadata.csv"] == "csv"
    assert names["metadata.Series_Summary.parquet"] == "parquet"
    folder = request.results / result.folder
    table = pyarrow.parquet.read_table(folder / "metadata.DICOM_Metadata.parquet")
    assert table["PatientID"].to_pylist() == ["0042"]


def test_merging_holds_the_rows_of_one_job_in_memory(tmp_path):
    paths = []
    for number in range(40):
        paths.append(tmp_path / f"{number}" / ROWS_FILE)
        paths[-1].parent.mkdir()
        rows = [{f"c{at}": f"{number}.{row}.{at}" for at in range(20)} for row in range(50)]
        write_rows(paths[-1], {"DICOM_Metadata": rows, "Series_Summary": []})
    tracemalloc.start()
    write_workbook(tmp_path / "few.xlsx", recorded_tables(paths[:4]))
    few = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    write_workbook(tmp_path / "all.xlsx", recorded_tables(paths))
    whole = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole < few * 1.5
    assert len(calamine(tmp_path / "all.xlsx", "DICOM_Metadata")) == 2001


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 99}', "\x00"])
def test_rows_that_cannot_be_read_are_named_and_leave_what_was_there(tmp_path, content):
    path = tmp_path / "A1" / ROWS_FILE
    path.parent.mkdir()
    path.write_text(content)
    out = tmp_path / "metadata.xlsx"
    out.write_text("old")
    with pytest.raises(RowsError, match=r"A1.metadata.json"):
        workbook.merge_workbooks([path.parent], out)
    with pytest.raises(RowsError):
        write_beside(out, recorded_tables([path]), ("csv",))
    assert out.read_text() == "old"
    assert {entry.name for entry in tmp_path.iterdir()} == {"A1", "metadata.xlsx"}
