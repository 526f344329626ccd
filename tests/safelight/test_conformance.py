"""The conformance statement says what the code does, as far as tables can say it."""

import re

import pytest

from listener.negotiation import storage_sop_classes
from listener.statuses import STORAGE_STATUSES
from safelight import conformance

STATEMENT = conformance.DOCUMENT.read_text(encoding="utf-8")


def test_the_statement_is_up_to_date():
    assert conformance.renewed(STATEMENT) == STATEMENT, "run: python -m safelight.conformance"


@pytest.mark.parametrize("name", conformance.BLOCKS)
def test_every_table_stands_in_the_statement_once(name):
    assert STATEMENT.count(f"<!-- generated: {name} -->") == 1


def test_every_block_is_closed():
    opened = re.findall(r"<!-- (generated: \S+|end) -->", STATEMENT)
    assert opened[1::2] == ["end"] * len(conformance.BLOCKS)


def test_what_stands_between_markers_is_replaced_and_the_rest_kept():
    old = "a\n<!-- generated: rejections -->\nstale\n<!-- end -->\nb\n"
    new = conformance.renewed(old)
    assert new.startswith("a\n<!-- generated: rejections -->\n\n| result/source/reason |")
    assert new.endswith("|\n\n<!-- end -->\nb\n")
    assert "stale" not in new
    assert conformance.renewed(new) == new


def test_a_table_nobody_makes_is_an_error():
    with pytest.raises(KeyError, match="nonsense"):
        conformance.renewed("<!-- generated: nonsense -->\n<!-- end -->\n")


def test_each_status_and_each_storage_class_has_a_row():
    for status in STORAGE_STATUSES:
        assert f"| 0x{status.code:04X} | {status.meaning} |" in conformance.storage_statuses()
    table = conformance.storage_classes().splitlines()
    assert len(table) == 2 + len(storage_sop_classes())
    assert "| CT Image Storage | `1.2.840.10008.5.1.4.1.1.2` |" in table


def test_the_command_renews_the_statement(tmp_path, monkeypatch, capsys):
    copy = tmp_path / "conformance.md"
    copy.write_text("<!-- generated: limits -->\n<!-- end -->\n")
    monkeypatch.setattr(conformance, "DOCUMENT", copy)
    conformance.main()
    assert "| `idle_seconds` | 60 |" in copy.read_text()
    conformance.main()
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "renewed",
        "is up to date",
    ]
