"""The tables of an export: columns, one moment, without patients, memory."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.errors import NoLedger
from ledger.export_tables import EXPORTS
from ledger.exporting import exported
from processor.tables import write_csv

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
COLUMNS = [(table, one) for table, made in EXPORTS.items() for one in made.columns]


@pytest.fixture
def one_study(record, arrival, close, decide, ledger, event, result):
    """A study that came, was processed, and was asked for."""
    record(
        arrival(
            "1",
            PatientName="Doe^Jane",
            StudyDescription="Jane's head",
            StudyDate="20260131",
            SeriesDescription="for Doe",
            InstanceNumber=1.0,
        ),
        events=[event("accepted"), event("released", stored=1)],
    )
    decide(close(), "k1")
    (job,) = ledger.jobs.claim(5)
    ledger.jobs.finish(job, result(folder="0042/A1/001-k1"))


def rows(path, table, **asked):
    with exported(path, [table], **asked) as tables:
        return list(tables[table])


@pytest.mark.parametrize("table", EXPORTS)
def test_every_table_can_be_read_by_the_columns_it_promises(path, one_study, table):
    with exported(path, [table]) as tables:
        for row in tables[table]:
            assert list(row) == list(tables[table].kinds)


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda one: getattr(one, "name", one))
def test_every_column_is_explained(table, column):
    section = DOCUMENTED.partition(f"\n## `{table}`\n")[2].partition("\n## ")[0]
    mark = " †" if column.tells_patient else ""
    assert f"\n| `{column.name}`{mark} | {column.kind} | " in section


def test_what_came_is_in_the_tables_of_studies_series_and_instances(path, one_study):
    (study,) = rows(path, "studies")
    assert (study["PatientName"], study["series"], study["instances"]) == ("Doe^Jane", 1, 1)
    (series,) = rows(path, "series")
    assert (series["PatientID"], series["grade"], series["outcome"]) == (
        *("0042", "released", "process"),
    )
    (instance,) = rows(path, "instances")
    assert (instance["SOPInstanceUID"], instance["deleted_at"]) == ("1", None)
    (output,) = rows(path, "outputs")
    (job,) = rows(path, "jobs")
    assert (output["job"], output["path"]) == (job["job"], "preview.png")


def test_without_patients_nothing_tells_whose_it_is(path, one_study):
    with exported(path, list(EXPORTS), without_patients=True) as tables:
        told = "\n".join(str(row) for table in tables.values() for row in table)
    assert "1.2.3.4" in told
    for word in ("Doe", "Jane", "0042", "A1", "20260131"):
        assert word not in told


def test_only_rows_since_a_time_are_taken(path, one_study):
    now = datetime.now(UTC)
    assert len(rows(path, "instances", since=now - timedelta(hours=1))) == 1
    assert rows(path, "instances", since=now + timedelta(hours=1)) == []


def test_all_tables_are_of_one_moment_while_the_daemon_writes(path, one_study, record, arrival):
    with exported(path, ["studies", "instances"]) as tables:
        assert len(list(tables["studies"])) == 1
        record(arrival("2", PatientName="Later"))
        assert len(list(tables["instances"])) == 1
    assert len(rows(path, "instances")) == 2


def test_the_rows_of_a_large_table_are_not_held_in_memory(path, record, arrival, ledger, tmp_path):
    record(arrival("1"))
    session = ledger.intake._session
    session.execute(
        "INSERT INTO instances (series_id, SOPInstanceUID, SOPClassUID, TransferSyntaxUID,"
        " association_id, bytes, sha256, received_at)"
        " WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
        " SELECT 1, '1.2.840.' || i, 'c', 't', 'a', 1, 's', '2026-01-31' FROM n"
    )
    tracemalloc.start()
    with exported(path, ["instances"]) as tables:
        write_csv(tmp_path / "instances.csv", tables["instances"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "instances.csv").read_text().count("\n") == 50_001
    assert peak < 4 << 20


def test_where_there_is_no_ledger_it_is_said(path):
    with pytest.raises(NoLedger), exported(path, ["studies"]):
        pass
