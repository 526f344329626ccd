"""Closures, decisions and jobs, as the ledger records them. Real SQLite on a real disk."""

import pytest

from ledger.errors import NotInLedger
from ledger.reader import LedgerReader
from ledger.writer import LedgerWriter
from listener.spool import SeriesKey
from rules.model import Step

KEY = SeriesKey("1.2.3", "1.2.3.4")


@pytest.fixture
def one_job(record, arrival, close, decide, ledger):
    """A series that was closed and decided, with its one job claimed."""
    record(arrival("1", InstanceNumber=1.0))
    decide(close(), "k1")
    (job,) = ledger.work.claim(5)
    return job


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
    (job,) = ledger.work.claim(1)
    assert state_of(path) == "processing"
    ledger.work.finish(job, result())
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
    ledger.work.finish(one_job, result(state="failed"))
    assert state_of(path) == "attention"
    assert LedgerReader(path).overview().attention == 1


def test_a_claimed_job_carries_its_series_and_steps_and_is_not_claimed_twice(one_job, ledger):
    assert one_job.steps == (Step("qc", {"a": 1}),)
    assert one_job.series.key == KEY
    assert one_job.tries == 1
    assert ledger.work.claim(5) == ()


def test_the_same_key_is_queued_once(record, arrival, close, decide, ledger):
    record(arrival("1"))
    closed = close()
    decide(closed, "k1")
    decide(closed, "k1")
    assert len(ledger.work.claim(5)) == 1


def test_a_job_that_was_running_when_an_earlier_run_ended_is_queued_again(one_job, ledger, path):
    ledger.close()
    with LedgerWriter(path) as again:
        assert again.work.requeue_running() == 1
        (job,) = again.work.claim(5)
    assert (job.key, job.tries) == ("k1", 2)


def test_a_retry_waits_for_its_time(one_job, ledger):
    ledger.work.retry(one_job, "disk full", 3600)
    assert ledger.work.claim(5) == ()
    ledger.work.retry(one_job, "disk full", -1)
    (job,) = ledger.work.claim(5)
    assert job.tries == 2


def test_a_job_given_up_is_a_dead_letter_with_its_reason(one_job, ledger, path):
    ledger.work.bury(one_job, "the worker ended by SIGSEGV")
    assert state_of(path) == "attention"
    (job,) = LedgerReader(path).jobs(["dead"])
    assert job.error == "the worker ended by SIGSEGV"
    assert ledger.work.claim(5) == ()


def test_what_comes_late_supersedes_the_earlier_jobs_and_keeps_their_outputs(
    one_job, record, arrival, close, decide, ledger, path, result
):
    ledger.work.finish(one_job, result())
    record(arrival("2"))
    assert state_of(path) == "arriving"
    decide(close(), "k2")
    old, new = sorted(LedgerReader(path).jobs_of(one_job.series.id), key=lambda job: job.id)
    assert (old.state, new.state) == ("superseded", "queued")
    assert [output.kind for output in old.outputs] == ["preview"]


def test_a_job_gets_the_instances_of_its_revision_and_none_that_came_later(
    record, arrival, close, decide, ledger
):
    record(arrival("1"))
    closed = close()
    decide(closed, "k1")
    record(arrival("2"))  # the series is arriving again while its job waits
    (job,) = ledger.work.claim(1)
    assert job.series == closed
    later = close()
    decide(later, "k2")
    ledger.work.retry(job, "disk full", -1)
    for again in ledger.work.claim(5):
        assert again.series == {"k1": closed, "k2": later}[again.key]


def test_a_job_that_ends_after_its_series_was_closed_anew_is_superseded(
    one_job, record, arrival, close, decide, ledger, path, result
):
    record(arrival("2"))
    decide(close(), "k2")
    ledger.work.finish(one_job, result())
    states = {job.key: job.state for job in LedgerReader(path).jobs_of(one_job.series.id)}
    assert states == {"k1": "superseded", "k2": "queued"}


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
    assert len(ledger.work.claim(5)) == 1


def test_the_folders_of_a_study_are_told_once_all_its_jobs_have_ended(
    record, arrival, close, decide, ledger, result
):
    second = SeriesKey("1.2.3", "1.2.3.5")
    record(arrival("1"), arrival("2", key=second))
    decide(close(), "k1")
    decide(close(second), "k2")
    first_job, second_job = ledger.work.claim(5)
    ledger.work.finish(first_job, result("k1", folder="A1/1"))
    assert ledger.work.study_folders(first_job.series.id) == ()
    ledger.work.finish(second_job, result("k2", folder="A1/2"))
    assert ledger.work.study_folders(first_job.series.id) == ("A1/1", "A1/2")


def test_studies_of_one_accession_number_share_their_folders(
    record, arrival, close, decide, ledger, result
):
    other = SeriesKey("7.7", "7.7.7")
    record(arrival("1"), arrival("2", key=other))
    decide(close(), "k1")
    decide(close(other), "k2")
    for job in ledger.work.claim(5):
        ledger.work.finish(job, result(job.key, folder=f"A1/{job.key}"))
    assert ledger.work.study_folders(1) == ("A1/k1", "A1/k2")


def test_history_tells_what_happened_in_order_and_names_no_patient(one_job, ledger, path, result):
    ledger.work.finish(one_job, result())
    told = [row.what for row in LedgerReader(path).history(one_job.series.id)]
    assert told == [
        "the first instance arrived",
        "closed as released: released, quiet",
        "decided: All -> qc",
        "qc: Normal",
    ]
    assert "0042" not in "".join(told)
