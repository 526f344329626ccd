"""The queue of jobs, as the ledger keeps it. Real SQLite on a real disk; no test waits.

Not covered: what runs a job, which is tests/safelight/test_scheduling.py.
"""

import sqlite3

import pytest

from ledger import jobs as jobs_module
from ledger.reader import LedgerReader
from ledger.records import NewJob
from ledger.writer import LedgerWriter
from listener.spool import SeriesKey
from rules.model import Decision, Step

KEY = SeriesKey("1.2.3", "1.2.3.4")


def state_of(path):
    (row,) = LedgerReader(path).series()
    return row.state


def test_a_claimed_job_carries_its_series_and_steps_and_is_not_claimed_twice(one_job, ledger):
    assert one_job.steps == (Step("qc", {"a": 1}),)
    assert one_job.series.key == KEY
    assert one_job.tries == 1
    assert ledger.jobs.claim(5) == ()


def test_the_same_key_is_queued_once(record, arrival, close, decide, ledger):
    record(arrival("1"))
    closed = close()
    decide(closed, "k1")
    decide(closed, "k1")
    assert len(ledger.jobs.claim(5)) == 1


def test_a_job_that_was_running_when_an_earlier_run_ended_is_queued_again(one_job, ledger, path):
    ledger.close()
    with LedgerWriter(path) as again:
        assert again.jobs.take_over(3) == 1
        (job,) = again.jobs.claim(5)
    assert (job.key, job.tries) == ("k1", 2)


def test_a_retry_waits_for_its_time(one_job, ledger):
    ledger.jobs.retry(one_job, "disk full", 3600)
    assert ledger.jobs.claim(5) == ()


def test_a_retry_whose_time_has_come_is_the_next_try(one_job, ledger):
    ledger.jobs.retry(one_job, "disk full", -1)
    (job,) = ledger.jobs.claim(5)
    assert job.tries == 2


def test_a_job_given_up_is_a_dead_letter_with_its_reason(one_job, ledger, path):
    ledger.jobs.bury(one_job, "the worker ended by SIGSEGV")
    assert state_of(path) == "attention"
    (job,) = LedgerReader(path).jobs(["dead"])
    assert job.error == "the worker ended by SIGSEGV"
    assert ledger.jobs.claim(5) == ()


def test_what_comes_late_supersedes_the_earlier_jobs_and_keeps_their_outputs(
    one_job, record, arrival, close, decide, ledger, path, result
):
    ledger.jobs.finish(one_job, result())
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
    (job,) = ledger.jobs.claim(1)
    assert job.series == closed
    later = close()
    decide(later, "k2")
    ledger.jobs.retry(job, "disk full", -1)
    for again in ledger.jobs.claim(5):
        assert again.series == {"k1": closed, "k2": later}[again.key]


def test_a_job_that_ends_after_its_series_was_closed_anew_is_superseded(
    one_job, record, arrival, close, decide, ledger, path, result
):
    record(arrival("2"))
    decide(close(), "k2")
    ledger.jobs.finish(one_job, result())
    states = {job.key: job.state for job in LedgerReader(path).jobs_of(one_job.series.id)}
    assert states == {"k1": "superseded", "k2": "queued"}


@pytest.fixture
def queue(record, arrival, close, ledger):
    """Function that closes a series and queues a job each: rule=(processors, priority)."""

    def put(**jobs):
        record(arrival("1"))
        closed = close()
        new = [
            NewJob(rule, rule, tuple(Step(name, {}) for name in names.split()), priority=priority)
            for rule, (names, priority) in jobs.items()
        ]
        ledger.work.record_decision(closed, Decision("process", "", (), ()), new)
        return closed

    return put


def keys(jobs):
    return [job.key for job in jobs]


def history(path, series_id=1):
    return [row.what for row in LedgerReader(path).history(series_id)]


def test_jobs_of_a_higher_priority_are_claimed_first(queue, ledger):
    queue(low=("qc", -1), usual=("qc", 0), urgent=("qc", 5))
    assert keys(ledger.jobs.claim(2)) == ["urgent", "usual"]
    assert keys(ledger.jobs.claim(2)) == ["low"]


def test_jobs_are_claimed_by_what_they_begin_with(queue, ledger):
    queue(first=("qc", 1), there=("forward", 0), also=("deidentify", 2))
    here = ("forward", "deidentify")
    assert keys(ledger.jobs.claim(5, without=here)) == ["first"]
    assert keys(ledger.jobs.claim(1, only=here)) == ["also"]
    assert keys(ledger.jobs.claim(5, only=here)) == ["there"]


def test_claiming_from_a_long_queue_reads_only_what_is_claimed(queue, ledger, monkeypatch):
    queue(**{f"k{number}": ("qc", number % 3) for number in range(300)})
    read = []
    original = type(ledger.jobs._session).query

    def query(session, statement, values=()):
        if statement.startswith("SELECT id, priority"):
            plan = list(original(session, f"EXPLAIN QUERY PLAN {statement}", values))
            read.extend(row["detail"] for row in plan)
        return original(session, statement, values)

    monkeypatch.setattr(type(ledger.jobs._session), "query", query)
    assert len(ledger.jobs.claim(2)) == 2
    assert len(ledger.jobs.claim(2, only=("qc",))) == 2
    queued = [detail for detail in read if "jobs_queued" in detail]
    assert len(queued) == 2
    # What runs is few, and is sorted; what waits is read in the order of its index.
    assert sum("TEMP B-TREE" in detail for detail in read) == 2


def test_a_job_whose_lease_ran_out_is_claimed_again_and_one_that_was_renewed_is_not(
    queue, ledger, monkeypatch
):
    queue(a=("qc", 0), b=("qc", 0))
    monkeypatch.setattr(jobs_module, "LEASE_SECONDS", -1.0)
    claimed = {job.key: job for job in ledger.jobs.claim(2)}
    monkeypatch.undo()
    ledger.jobs.renew([claimed["a"]])
    (again,) = ledger.jobs.claim(2)
    assert (again.key, again.tries) == ("b", 2)


def test_a_job_that_two_runs_had_is_recorded_once(one_job, ledger, path, result):
    ledger.jobs.finish(one_job, result())
    ledger.jobs.finish(one_job, result())
    ledger.jobs.retry(one_job, "too late", 0)
    ledger.jobs.bury(one_job, "too late")
    (job,) = LedgerReader(path).jobs_of(one_job.series.id)
    assert (job.state, len(job.outputs), job.error) == ("done", 1, None)
    assert not any("too late" in what for what in history(path))


def test_a_job_that_ends_the_daemon_each_time_is_given_up(one_job, ledger, path):
    for tries in (1, 2):
        assert ledger.jobs.take_over(3) == 1
        (job,) = ledger.jobs.claim(1)
        assert job.tries == tries + 1
    assert ledger.jobs.take_over(3) == 0
    (job,) = LedgerReader(path).jobs(["dead"])
    assert (job.key, job.error) == ("k1", "the daemon ended each time it ran")


def test_a_processor_that_is_tried_more_often_is_given_up_later(one_job, ledger):
    most_of = {one_job.steps[0].processor: 5}
    for _ in range(4):
        assert ledger.jobs.take_over(3, most_of) == 1
        ledger.jobs.claim(1)
    assert ledger.jobs.take_over(3, most_of) == 0


def test_a_job_that_an_orderly_end_stopped_has_lost_no_try(one_job, ledger):
    ledger.jobs.release([one_job])
    (job,) = ledger.jobs.claim(1)
    assert job.tries == one_job.tries


def test_a_job_that_waits_for_the_output_has_lost_no_try_and_says_why(one_job, ledger, path):
    ledger.jobs.put_back(one_job, "ENOSPC while publishing", -1)
    (row,) = LedgerReader(path).jobs(["queued"])
    assert row.error == "ENOSPC while publishing"
    (job,) = ledger.jobs.claim(1)
    assert job.tries == one_job.tries


def test_a_dead_letter_is_sent_again_with_all_its_tries(one_job, ledger, path):
    ledger.jobs.bury(one_job, "the worker ended by SIGSEGV")
    assert ledger.jobs.resend(one_job.id)
    assert not ledger.jobs.resend(one_job.id)
    (job,) = ledger.jobs.claim(1)
    assert (job.key, job.tries) == ("k1", 1)
    assert history(path)[-1] == f'job {job.id} ("All") queued again by a person'


@pytest.mark.parametrize("end", ["queued", "running", "dead"])
def test_a_cancelled_job_does_not_run_until_it_is_sent_again(one_job, ledger, path, result, end):
    if end == "queued":
        ledger.jobs.release([one_job])
    elif end == "dead":
        ledger.jobs.bury(one_job, "no")
    assert ledger.jobs.cancel(one_job.id)
    ledger.jobs.finish(one_job, result())
    ledger.jobs.take_over(3)
    assert ledger.jobs.claim(5) == ()
    (row,) = LedgerReader(path).jobs_of(one_job.series.id)
    assert row.state == "cancelled"
    assert state_of(path) == "kept"
    assert not ledger.jobs.cancel(one_job.id)
    assert ledger.jobs.resend(one_job.id)
    assert keys(ledger.jobs.claim(5)) == ["k1"]


def test_neither_a_finished_nor_an_unknown_job_is_sent_again_or_cancelled(one_job, ledger, result):
    ledger.jobs.finish(one_job, result())
    for job_id in (one_job.id, 99):
        assert not ledger.jobs.resend(job_id)
        assert not ledger.jobs.cancel(job_id)


def test_of_a_later_revision_only_the_jobs_run_that_have_changed(
    record, arrival, close, decide, ledger, path, result
):
    record(arrival("1"))
    decide(close(), "same", "changed", "gone")
    for job in ledger.jobs.claim(5):
        ledger.jobs.finish(job, result(job.key, folder=f"A1/{job.key}"))
    record(arrival("2"))
    decide(close(), "same", "new")
    assert keys(ledger.jobs.claim(5)) == ["new"]
    states = {job.key: (job.state, job.revision) for job in LedgerReader(path).jobs_of(1)}
    assert states == {
        "same": ("done", 2),
        "changed": ("superseded", 1),
        "gone": ("superseded", 1),
        "new": ("running", 2),
    }


def test_a_superseded_job_that_is_asked_for_again_counts_again_and_runs_only_if_it_never_did(
    record, arrival, close, decide, ledger, path, result
):
    record(arrival("1"))
    decide(close(), "made", "not made")
    made = next(job for job in ledger.jobs.claim(5) if job.key == "made")
    ledger.jobs.finish(made, result("made"))
    ledger.jobs.take_over(3)
    record(arrival("2"))
    decide(close(), "other")
    record(arrival("3"))
    decide(close(), "made", "not made")
    assert keys(ledger.jobs.claim(5)) == ["not made"]
    states = {job.key: job.state for job in LedgerReader(path).jobs_of(1)}
    assert states == {"made": "done", "not made": "running", "other": "superseded"}


@pytest.mark.parametrize("end", ["retry", "bury", "put_back"])
def test_a_job_that_fails_after_its_series_was_closed_anew_is_superseded(
    one_job, record, arrival, close, decide, ledger, path, end
):
    record(arrival("2"))
    decide(close(), "k2")
    if end == "bury":
        ledger.jobs.bury(one_job, "no")
    else:
        getattr(ledger.jobs, end)(one_job, "no", -1)
    states = {job.key: job.state for job in LedgerReader(path).jobs_of(1)}
    assert states == {"k1": "superseded", "k2": "queued"}


def test_a_paused_processor_holds_up_the_jobs_that_run_it_and_no_others(queue, ledger, path):
    queue(volume=("convert qc", 0), check=("qc", 0))
    ledger.pauses.pause("convert")
    ledger.close()
    with LedgerWriter(path) as again:
        assert keys(again.jobs.claim(5)) == ["check"]
        again.pauses.resume("qc")
        assert again.jobs.claim(5) == ()
        again.pauses.resume("convert")
        assert keys(again.jobs.claim(5)) == ["volume"]


def test_when_everything_is_paused_nothing_is_claimed_until_it_is_resumed(queue, ledger, path):
    queue(volume=("convert", 0))
    ledger.pauses.pause()
    ledger.pauses.pause("convert")
    assert ledger.jobs.claim(5) == ()
    assert [row.processor for row in LedgerReader(path).pauses()] == ["", "convert"]
    ledger.pauses.resume()
    assert LedgerReader(path).pauses() == ()
    assert keys(ledger.jobs.claim(5)) == ["volume"]


def test_a_failing_output_holds_up_all_jobs_for_twice_as_long_each_time_until_one_works(
    queue, ledger, path
):
    queue(volume=("convert", 0))
    waits = [ledger.pauses.output_failed("EROFS", 5, 300) for _ in range(8)]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
    assert ledger.jobs.claim(5) == ()
    (row,) = LedgerReader(path).pauses()
    assert (row.cause, row.reason) == ("output", "EROFS")
    assert ledger.pauses.output_works()
    assert not ledger.pauses.output_works()
    assert ledger.pauses.output_failed("EROFS", -1, 300) == -1  # over already, and on record still
    assert len(LedgerReader(path).pauses()) == 1
    assert keys(ledger.jobs.claim(5)) == ["volume"]


def decide_again(ledger, *keys):
    series = ledger.work.closed_series(1)
    jobs = [NewJob(key, "All", (Step("qc", {}),)) for key in keys]
    decision = Decision("process", "All -> qc", (), ())
    ledger.work.record_decision(series, decision, jobs, is_again=True)


def states_of(path):
    return {job.key: job.state for job in LedgerReader(path).jobs_of(1)}


def test_deciding_again_makes_what_is_new_and_leaves_what_was_made(one_job, ledger, path, result):
    ledger.jobs.finish(one_job, result())
    decide_again(ledger, "k1", "k2")
    assert states_of(path) == {"k1": "done", "k2": "queued"}
    decide_again(ledger, "k2")
    assert states_of(path) == {"k1": "superseded", "k2": "queued"}
    assert "a person had it decided again" in LedgerReader(path).history(1)[-1].what


@pytest.mark.parametrize("end", ["bury", "cancel"])
def test_deciding_again_sends_what_was_given_up_or_cancelled_again(one_job, ledger, path, end):
    if end == "bury":
        ledger.jobs.bury(one_job, "no")
    else:
        ledger.jobs.cancel(one_job.id)
    decide_again(ledger, "k1")
    assert states_of(path) == {"k1": "queued"}
    assert ledger.jobs.claim(1)[0].tries == 1


def test_deciding_again_has_deleted_results_made_again(one_job, ledger, path, result):
    ledger.jobs.finish(one_job, result())
    decide_again(ledger, "k1")
    assert states_of(path) == {"k1": "done"}
    with sqlite3.connect(path) as db:
        db.execute(
            "INSERT INTO deletions (id, series_id, what, count, bytes, rule, at)"
            " VALUES (1, 1, 'results', 1, 1, 'All', '')"
        )
        db.execute("UPDATE jobs SET deletion_id = 1")
    decide_again(ledger, "k1")
    (job,) = LedgerReader(path).jobs_of(1)
    assert (job.state, job.folder, job.steps) == ("queued", None, ())


def test_a_job_of_which_a_step_failed_is_made_again_under_another_key(one_job, ledger, result):
    assert ledger.jobs.latest_key("k1", is_again=True) == "k1"  # it runs
    ledger.jobs.finish(one_job, result(state="failed"))
    again = ledger.jobs.latest_key("k1", is_again=True)
    assert again != "k1"
    assert ledger.jobs.latest_key("k1") == "k1"
    decide_again(ledger, again)
    assert ledger.jobs.latest_key("k1") == again  # from now on, also where nobody asks again
    assert ledger.jobs.latest_key("k1", is_again=True) == again
    ledger.jobs.finish(ledger.jobs.claim(1)[0], result(again, folder="A1/again"))
    assert ledger.jobs.latest_key("k1", is_again=True) == again  # it went well


def test_earlier_runs_are_those_of_the_same_rule_and_steps(
    one_job, record, arrival, close, decide, ledger, path, result
):
    ledger.jobs.finish(one_job, result())
    other = SeriesKey("1.2.3", "1.2.3.5")
    record(arrival("2", other), arrival("3", other))
    decide(close(other), "k2")
    (second,) = ledger.jobs.claim(1)
    reader = LedgerReader(path)
    assert [(run.seconds, run.instances) for run in reader.earlier_runs(second.id)] == [(1.5, 1)]
    with sqlite3.connect(path) as db:
        db.execute("UPDATE jobs SET steps = '[]' WHERE key = 'k1'")
    assert reader.earlier_runs(second.id) == ()
    assert reader.earlier_runs(99) == ()
