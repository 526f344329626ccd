"""What arrived, as the ledger records it and tells the watcher. Real SQLite on a real disk."""

from ledger.reader import LedgerReader
from ledger.writer import LedgerWriter
from listener.spool import SeriesKey
from listener.watcher import ResumedSeries

KEY = SeriesKey("1.2.3", "1.2.3.4")


def counts(ledger):
    return {key: count for key, (count, _) in ledger.intake.counts().items()}


def test_an_arrival_is_in_its_series_of_its_study(ledger, record, arrival, path):
    record(arrival("1", SeriesNumber=7.0, SeriesDescription="T1"), arrival("2"))
    assert ledger.intake.sop_instance_uids(KEY) == {"1", "2"}
    assert counts(ledger) == {KEY: 2}
    (row,) = LedgerReader(path).series()
    assert (row.SeriesNumber, row.SeriesDescription, row.Modality) == (7, "T1", "CT")
    assert (row.instances, row.bytes, row.calling_ae, row.state) == (2, 2000, "PACS1", "arriving")
    assert row.PatientID == "0042"  # leading zeros survive


def test_the_same_instance_again_changes_nothing(ledger, record, arrival):
    record(arrival("1"))
    record(arrival("1"))
    assert counts(ledger) == {KEY: 1}


def test_one_series_uid_in_two_studies_is_two_series(ledger, record, arrival):
    other = SeriesKey("9.9", KEY.SeriesInstanceUID)
    record(arrival("1"), arrival("2", key=other))
    assert counts(ledger) == {KEY: 1, other: 1}


def test_what_is_still_arriving_is_known_after_a_restart(record, arrival, ledger, path):
    record(arrival("1", association_id="a1"), arrival("2", association_id="a2"))
    ledger.close()
    with LedgerWriter(path) as again:
        resumed = again.intake.arriving()
    associations = frozenset({"a1", "a2"})
    assert resumed.series == (ResumedSeries(KEY, "CT", "PACS1", associations),)
    assert resumed.studies == {KEY.StudyInstanceUID: associations}


def test_how_associations_stand_is_known_after_a_restart(record, arrival, event, ledger, path):
    record(
        arrival("1", association_id="a1"),
        events=[event("accepted", "a1"), event("released", "a1"), event("accepted", "a2")],
    )
    ledger.close()
    with LedgerWriter(path) as again:
        associations = again.intake.arriving().associations
    assert {(one.association_id, one.event) for one in associations} == {
        ("a1", "released"),
        ("a2", "accepted"),
    }


def test_journal_offsets_survive(ledger, record, path):
    record(offsets={"2026-01-01.jsonl": 10})
    record(offsets={"2026-01-01.jsonl": 20, "2026-01-02.jsonl": 5})
    with LedgerWriter(path) as again:
        assert again.intake.journal_offsets() == {"2026-01-01.jsonl": 20, "2026-01-02.jsonl": 5}


def test_an_association_is_followed_from_its_acceptance_to_its_end(record, event, path):
    record(events=[event("accepted", at="2026-01-01T00:00:00.000+00:00")])
    (opened,) = LedgerReader(path).associations()
    assert (opened.state, opened.ended_at) == ("open", None)
    record(events=[event("released", at="2026-01-01T00:01:00.000+00:00", stored=5, bytes=99)])
    (ended,) = LedgerReader(path).associations()
    assert (ended.state, ended.stored, ended.bytes) == ("released", 5, 99)
    assert ended.began_at == "2026-01-01T00:00:00.000+00:00"
    assert ended.ended_at == "2026-01-01T00:01:00.000+00:00"


def test_an_open_association_counts_what_came_until_it_says_so_itself(
    ledger, record, arrival, event, path
):
    record(events=[event("accepted", at="2026-11-23T10:00:00.000+00:00")])
    record(arrival("1"), arrival("2"), arrival("3", association_id="another"))
    (row,) = LedgerReader(path).associations()
    assert (row.state, row.stored, row.bytes) == ("open", 2, 2000)
    assert row.latest_at > row.began_at
    record(events=[event("released", stored=2, duplicates=1, bytes=1800)])
    (row,) = LedgerReader(path).associations()
    assert (row.stored, row.duplicates, row.bytes, row.latest_at) == (2, 1, 1800, None)
    record(arrival("4"))
    assert LedgerReader(path).associations()[0].stored == 2


def test_a_rejected_association_is_kept_with_its_reason(record, event, path):
    record(events=[event("rejected", reason="not known")])
    (row,) = LedgerReader(path).associations()
    assert (row.state, row.reason) == ("rejected", "not known")


def test_a_receiver_that_starts_anew_has_lost_its_open_associations(record, event, path):
    record(events=[event("accepted"), event("started", "receiver")])
    assert [row.state for row in LedgerReader(path).associations()] == ["lost"]


def test_refusals_of_the_last_day_are_counted(record, event, path):
    record(events=[event("refused", reason="0xC000"), event("refused", at="2020-01-01T00:00:00")])
    assert LedgerReader(path).overview().refusals == 1


def test_quarantine_is_recorded_once_for_each_file(ledger, path):
    entries = [("x-1", "other bytes", "1.2"), ("y-2", "not Part 10", "1.3")]
    assert ledger.intake.record_quarantine(entries) == 2
    assert ledger.intake.record_quarantine(entries) == 0
    assert LedgerReader(path).overview().quarantined == 2
