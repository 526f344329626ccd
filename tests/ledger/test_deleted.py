"""What rules deleted, told by the record in the spool to a ledger that does not know it."""

from contextlib import closing

import pytest

from ledger.deleted import FILE, lines, take_over
from ledger.reader import LedgerReader
from ledger.session import Session
from ledger.verify import verify

LATER = {"All": "9999"}


@pytest.fixture
def deleted(record, arrival, event, close, decide, ledger, result, spool):
    """A series of two instances that a rule deleted; the spool has only the record of it."""
    spool.root.mkdir(exist_ok=True)
    events = [event("accepted"), event("released", stored=2)]
    record(arrival("1", PatientName="Doe"), arrival("2"), events=events)
    decide(close(), "k1")
    (job,) = ledger.jobs.claim(5)
    ledger.jobs.finish(job, result())
    (due,) = ledger.retention.instances_due(LATER)
    deletion = ledger.retention.begin(due)
    ledger.retention.note(deletion, spool.root)
    ledger.retention.end(deletion)
    return deletion


@pytest.fixture
def other(tmp_path):
    """A ledger that knows nothing."""
    path = tmp_path / "other.sqlite"
    session = Session(path)
    yield session
    session.close()


def rows(session, query):
    return [tuple(row.values()) for row in session.query(query)]


def test_a_ledger_that_knows_nothing_has_series_instances_and_deletion(deleted, other, spool):
    assert take_over(other, spool.root, dict) == 2
    series = "SELECT state, outcome, revision, instances, deleted, bytes, grade FROM series"
    assert rows(other, series) == [("closed", "process", 1, 2, 2, 2000, "released")]
    assert rows(other, "SELECT PatientName FROM studies") == [("Doe",)]
    deletions = rows(other, "SELECT what, count, bytes, rule, at = ended_at FROM deletions")
    assert deletions == [("instances", 2, 2000, "All", 1)]
    assert rows(other, "SELECT summary FROM decisions") == [("All -> qc",)]


def test_it_balances_afterwards(deleted, other, spool, tmp_path):
    other.insert(
        "associations",
        association_id="a1",
        state="released",
        stored=2,
        **dict.fromkeys(("calling_ae", "called_ae", "address", "began_at"), ""),
    )
    assert verify(tmp_path / "other.sqlite", spool.root).losses
    take_over(other, spool.root, dict)
    balance = verify(tmp_path / "other.sqlite", spool.root)
    assert (balance.losses, balance.deleted) == ((), 2)


def test_nothing_is_recorded_twice(deleted, other, spool, ledger, path):
    take_over(other, spool.root, dict)
    assert take_over(other, spool.root, dict) == 0
    with closing(Session(path)) as session:
        assert take_over(session, spool.root, dict) == 0
    with closing(LedgerReader(path)) as reader:
        assert len(reader.deletions()) == 1


def test_a_ledger_from_before_the_deletion_learns_of_it(deleted, spool, path, ledger):
    ledger.close()
    with closing(Session(path)) as session:
        session.execute("UPDATE instances SET deletion_id = NULL")
        session.execute("UPDATE series SET deleted = 0")
        session.execute("DELETE FROM deletions")
        assert take_over(session, spool.root, dict) == 2
        assert rows(session, "SELECT instances, deleted, bytes FROM series") == [(2, 2, 2000)]


@pytest.fixture
def sent_again(make_instance, land, ledger, record, arrival, event):
    """Function that has the first instance come again by another association, and be recorded."""

    def send(association_id="a2"):
        land(make_instance(SOPInstanceUID="1"), association_id)
        ends = [event(name, association_id, stored=1) for name in ("accepted", "released")]
        record(arrival("1", association_id=association_id), events=ends)

    return send


def test_what_was_not_deleted_yet_is_left_alone(deleted, other, spool, make_instance, land):
    land(make_instance(SOPInstanceUID="2"), "a1")
    assert take_over(other, spool.root, dict) == 1
    assert rows(other, "SELECT SOPInstanceUID FROM instances") == [("1",)]


def test_what_was_sent_again_stays_accounted_for_as_deleted(deleted, sent_again, path, spool):
    sent_again()
    balance = verify(path, spool.root)
    assert [one.fault for one in balance.losses] == ["size"]  # its bytes are not those of a test
    assert (balance.acknowledged, balance.accounted) == (3, 3)
    assert (balance.deleted, balance.in_series) == (2, 1)


def test_a_ledger_that_has_what_was_sent_again_learns_what_was_deleted_before(
    deleted, sent_again, other, spool, record
):
    sent_again()
    key = deleted.key
    study = other.insert(
        "studies",
        StudyInstanceUID=key.StudyInstanceUID,
        first_seen_at="",
        **dict.fromkeys(("PatientID", "PatientName", "AccessionNumber"), ""),
        **dict.fromkeys(("StudyDate", "StudyDescription"), ""),
    )
    series = other.insert(
        "series",
        study_id=study,
        SeriesInstanceUID=key.SeriesInstanceUID,
        state="arriving",
        instances=1,
        **dict.fromkeys(("Modality", "SeriesDescription", "calling_ae", "called_ae"), ""),
        **dict.fromkeys(("first_seen_at", "last_arrival_at"), ""),
    )
    other.insert(
        "instances",
        series_id=series,
        SOPInstanceUID="1",
        association_id="a2",
        bytes=1,
        **dict.fromkeys(("SOPClassUID", "TransferSyntaxUID", "sha256", "received_at"), ""),
    )
    for _ in range(2):  # nothing is recorded twice
        take_over(other, spool.root, dict)
        assert rows(other, "SELECT SOPInstanceUID, association_id FROM sent_again") == [("1", "a1")]
        assert rows(other, "SELECT state, instances, deleted FROM series") == [("arriving", 2, 1)]


def test_what_was_deleted_twice_counts_for_both_associations(
    deleted, sent_again, close, ledger, decide, other, spool
):
    sent_again()
    decide(close(), "k1")
    (due,) = ledger.retention.instances_due(LATER)
    second = ledger.retention.begin(due)
    ledger.retention.note(second, spool.root)
    (spool.folder_of(second.key) / "1.dcm").unlink()
    for _ in range(2):
        take_over(other, spool.root, dict)
        brought = rows(
            other,
            "SELECT association_id FROM instances UNION ALL SELECT association_id FROM sent_again",
        )
        assert sorted(brought) == [("a1",), ("a1",), ("a2",)]


def test_a_line_that_was_cut_off_is_passed_over_and_the_next_stands_alone(
    deleted, ledger, other, spool
):
    record = spool.root / FILE
    whole = record.read_bytes()
    record.write_bytes(whole + whole[: whole.index(b"}") + 1])
    ledger.retention.note(deleted, spool.root)
    assert len(list(lines(spool.root))) == 2
    assert take_over(other, spool.root, dict) == 2
