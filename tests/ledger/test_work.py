"""Closures and decisions, as the ledger records them. Real SQLite on a real disk."""

import pytest

from ledger.errors import NotInLedger
from ledger.reader import LedgerReader
from listener.spool import SeriesKey

KEY = SeriesKey("1.2.3", "1.2.3.4")


def state_of(path):
    (row,) = LedgerReader(path).series()
    return row.state


def test_a_closed_series_has_its_instances_in_order_and_a_digest_of_them(record, arrival, close):
    record(arrival("1", InstanceNumber=2.0), arrival("2", InstanceNumber=1.0))
    closed = close()
    assert closed.sop_instance_uids == ("2", "1")
    assert (closed.revision, closed.grade, closed.calling_ae) == (1, "released", "PACS1")
    record(arrival("3"))
    later = close()
    assert later.revision == 2
    assert later.digest != closed.digest


def test_closing_a_series_that_is_not_known_is_an_error(close):
    with pytest.raises(NotInLedger):
        close(SeriesKey("8", "8.8"))


def test_the_states_of_a_series_from_arrival_to_results(
    record, arrival, close, decide, ledger, path, result
):
    record(arrival("1"))
    assert state_of(path) == "arriving"
    closed = close()
    assert state_of(path) == "waiting"
    decide(closed, "k1")
    assert state_of(path) == "waiting"
    (job,) = ledger.jobs.claim(1)
    assert state_of(path) == "processing"
    ledger.jobs.finish(job, result())
    assert state_of(path) == "done"
    (row,) = LedgerReader(path).series()
    assert row.results == {"qc": "Normal"}
    output = LedgerReader(path).output(row.preview_id)
    assert output.path == "A1/001-k1/preview.png"


@pytest.mark.parametrize(
    ("outcome", "state"), [("hold", "attention"), ("drop", "dropped"), ("keep", "kept")]
)
def test_a_series_that_is_not_processed_shows_why(
    record, arrival, close, decide, path, outcome, state
):
    record(arrival("1"))
    decide(close(), outcome=outcome)
    assert state_of(path) == state


def test_a_failed_step_needs_a_person(one_job, ledger, path, result):
    ledger.jobs.finish(one_job, result(state="failed"))
    assert state_of(path) == "attention"
    assert LedgerReader(path).overview().attention == 1


def test_a_closed_series_without_a_decision_is_found_after_a_restart(
    record, arrival, close, ledger
):
    record(arrival("1"))
    closed = close()
    assert ledger.work.undecided() == (closed.id,)


def test_a_held_series_is_found_again_and_can_be_decided_anew(
    record, arrival, close, decide, ledger
):
    record(arrival("1"))
    closed = close()
    decide(closed, outcome="hold")
    assert ledger.work.held() == (closed.id,)
    decide(closed, "k1")
    assert ledger.work.held() == ()
    assert len(ledger.jobs.claim(5)) == 1


def test_history_tells_what_happened_in_order_and_names_no_patient(one_job, ledger, path, result):
    ledger.jobs.finish(one_job, result())
    told = [row.what for row in LedgerReader(path).history(one_job.series.id)]
    assert told == [
        "the first instance arrived",
        "closed as released: released, quiet",
        "decided: All -> qc",
        "qc: Normal",
    ]
    assert "0042" not in "".join(told)


def test_growth_counts_what_was_received_and_published_and_since_when(
    one_job, ledger, path, result
):
    ledger.jobs.finish(one_job, result())
    growth = LedgerReader(path).growth()
    assert (growth.received, growth.published, growth.hours) == (1000, 10, 1.0)
