"""Lists of accession numbers: what is read from each kind of file, and what is refused."""

import pytest
from openpyxl import Workbook

from safelight.errors import ListError
from safelight.retrieve_list import read_list


@pytest.fixture
def write(tmp_path):
    """Function that writes a file of bytes or text, or a workbook of rows."""

    def make(name, content):
        path = tmp_path / name
        if isinstance(content, list):
            workbook = Workbook()
            for row in content:
                workbook.active.append(row)
            workbook.save(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.txt", "# tonight\nA1\n\n  A2 \nA1\n"),
        ("list.txt", "\ufeffA1\r\nA2\r\n"),
        ("list.csv", "A1\nA2\n"),
        ("list.csv", "Name,AccessionNumber\nx,A1\ny,A2\nz,\n"),
        ("list.csv", "accession_number;Name\nA1;x\nA2;y\n"),
        ("list.csv", "姓名\tAccession No.\n张\tA1\n王\tA2\n".encode("gb18030")),
        ("list.CSV", 'Accession,Name\n"A1","x, y"\nA2,z\n'),
        ("list.xlsx", [["A1"], ["A2"]]),
        ("list.xlsx", [["Name", "Accession Number"], ["x", "A1"], [None, None], ["y", " A2 "]]),
    ],
)
def test_each_accession_number_is_read_once_and_in_order(write, name, content):
    assert read_list(write(name, content)) == ("A1", "A2")


def test_numbers_of_a_workbook_are_read_as_they_are_seen(write):
    assert read_list(write("list.xlsx", [[2026001], [12.0], ["007"]])) == ("2026001", "12", "007")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("list.pdf", "A1", r"expected a \.txt, \.csv or \.xlsx file"),
        ("list.txt", "# nothing\n", "there is no accession number in it"),
        ("list.txt", "A1\nSECRET-NUMBER-TOO-LONG\n", "row 2: AccessionNumber: longer than the 16"),
        ("list.csv", "Name,Number\nx,A1\n", "no column has the heading AccessionNumber"),
        ("list.xlsx", "A1", "is no Excel workbook"),
        ("list.csv", b"\xff\xff\xff", "is no text in UTF-8 or GB18030"),
    ],
)
def test_what_is_no_list_is_refused_by_file_and_row_without_the_value(write, name, content, said):
    with pytest.raises(ListError, match=f"{name}: .*{said}") as refused:
        read_list(write(name, content))
    assert "SECRET" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ListError, match=r"list.txt: cannot be read: No such file"):
        read_list(tmp_path / "list.txt")
