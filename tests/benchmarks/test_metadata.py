"""The workbook benchmark on a table small enough for a test."""

import openpyxl
import pytest

from benchmarks.metadata.__main__ import CONTESTANTS, make_rows, turn


@pytest.mark.parametrize("name", CONTESTANTS)
def test_every_contestant_writes_all_rows_and_is_measured(name, tmp_path):
    make_rows(tmp_path, 45, 6)
    taken = turn(name, tmp_path)
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").worksheets[0]
    assert sheet.max_column == 6
    last = [cell.value for cell in sheet[sheet.max_row]]
    assert last[0] == "1.2.840.113619.44"
    assert taken["peak"] >= taken["modules"] > 1
    assert min(taken["seconds"], taken["cpu"], taken["file"]) > 0
