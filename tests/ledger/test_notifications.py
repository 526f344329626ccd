"""The queue of notifications: what jobs and alarms put there, in which order it goes out.

Not covered: delivery, which is tests/safelight/notifying.
"""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.reader import LedgerReader
from ledger.records import NewJob
from listener.series import StudyClosure
from processor.model import JobResult, StepResult
from rules.model import Decision, Step
from rules.notify import Notify

ALARMS = {"disk": {"what": "The disk is nearly full"}, "silent CT1": {"what": "CT1 is silent"}}
TEAM = Notify(("team",), ("done", "failed", "low_quality"))


@pytest.fixture
def queue(ledger):
    """The queue."""
    return ledger.notifications


@pytest.fixture
def ended(ledger, record, arrival, close):
    """Function that has a job with this `notify` end as its steps say, or given up."""

    def end(notify, *steps, error="", processor="qc"):
        record(arrival("1"))
        job = NewJob("k1", "All", (Step(processor, {}),), notify=notify)
        ledger.work.record_decision(close(), Decision("process", "All", (), ()), [job])
        (claimed,) = ledger.jobs.claim(1)
        if error:
            ledger.jobs.bury(claimed, error)
        else:
            ledger.jobs.finish(claimed, JobResult("k1", Path("A/1"), steps, 1.0))
        return claimed

    return end


@pytest.fixture
def next_one(queue):
    """Function that returns what goes out next, and records that it did."""

    def take(target="team", per_hour=20):
        one = queue.next_for(target, per_hour)
        if one is not None:
            queue.sent(one.id)
        return one

    return take


@pytest.fixture
def rows(ledger, path):
    """Function that returns all notifications, the first first."""

    def read():
        reader = LedgerReader(path)
        try:
            found = reader.notifications.latest(("held", "waiting", "sent", "summed", "dead"))
            return tuple(reversed(found))
        finally:
            reader.close()

    return read


def step(state="done", *, low=False):
    return StepResult("qc", state, "", {"low_quality": low})


@pytest.mark.parametrize(
    ("steps", "error", "event", "reason"),
    [
        ((step(),), "", "done", ""),
        ((step(low=True),), "", "low_quality", ""),
        ((step("refused"),), "", "done", ""),
        ((step("failed", low=True),), "", "failed", "failed: qc"),
        ((), "the worker ended by SIGSEGV", "failed", "the worker ended by SIGSEGV"),
    ],
)
def test_a_job_that_ends_has_the_most_telling_event_told(
    ended, next_one, steps, error, event, reason
):
    ended(TEAM, *steps, error=error)
    one = next_one()
    assert (one.event, one.facts["reason"], one.facts["rule"]) == (event, reason, "All")
    assert one.facts["series_uid"] == "1.2.3.4"
    assert one.facts["accession_number"] == "A1"
    assert "0042" not in str(one.facts)  # the patient
    assert next_one() is None


def test_what_a_rule_has_not_told_is_not(ended, next_one):
    ended(Notify(("team",), ("failed",)), step(low=True))
    assert next_one() is None


def test_low_quality_that_nobody_asked_for_is_told_as_done(ended, next_one):
    ended(Notify(("team",), ("done",)), step(low=True))
    assert next_one().event == "done"


def test_a_rule_without_notify_tells_nobody(ended, rows):
    ended(Notify(), error="gone")
    assert rows() == ()


@pytest.mark.parametrize("error", ["", "instance 1.2.3.4.1 cannot be read"])
def test_a_deidentified_job_tells_no_identity(ended, next_one, error):
    done = StepResult("deidentify", "done", "", {})
    ended(TEAM, done, processor="deidentify", error=error)
    facts = next_one().facts
    hidden = ("study_uid", "series_uid", "accession_number", "reason")
    assert {facts[name] for name in hidden} == {""}
    assert facts["series"] == 1


def test_what_is_told_is_recorded_with_the_end_of_the_job_or_not_at_all(ended, path, rows):
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON notifications"
            " BEGIN SELECT raise(ABORT, 'disk full'); END"
        )
    db.close()
    with pytest.raises(sqlite3.IntegrityError, match="disk full"):
        ended(TEAM, step())
    reader = LedgerReader(path)
    assert [job.state for job in reader.jobs(("running", "done"))] == ["running"]
    reader.close()


def test_a_study_is_told_once_when_it_is_complete_and_nothing_is_left_to_do(
    ended, ledger, queue, next_one, rows
):
    ended(Notify(("team",), ("study_done",)), step())
    queue.release_studies()
    assert next_one() is None
    assert [row.state for row in rows()] == ["held"]
    ledger.work.close_study(StudyClosure("1.2.3", "released", "all closed"))
    queue.release_studies()
    one = next_one()
    assert (one.event, one.facts["jobs_done"], one.facts["jobs_failed"]) == ("study_done", 1, 0)
    queue.release_studies()
    assert next_one() is None


def test_an_alarm_is_told_when_it_begins_and_when_it_is_over_and_not_in_between(queue, next_one):
    for _ in range(3):
        queue.tell_alarms("team", ALARMS, 3600)
    told = [next_one() for _ in range(3)]
    assert [one and one.event for one in told] == ["alarm_began", "alarm_began", None]
    queue.tell_alarms("team", {"disk": ALARMS["disk"]}, 3600)
    over = next_one()
    assert (over.event, over.facts["what"]) == ("alarm_ended", "CT1 is silent")


def test_an_alarm_that_lasts_is_told_again_after_the_time(queue, next_one):
    queue.tell_alarms("team", {"disk": ALARMS["disk"]}, None)
    began = next_one()
    queue.tell_alarms("team", {"disk": ALARMS["disk"]}, None)
    assert next_one() is None
    queue.tell_alarms("team", {"disk": ALARMS["disk"]}, 0)
    lasts = next_one()
    assert (lasts.event, lasts.facts["since"]) == ("alarm_lasts", began.facts["since"])


def test_alarms_go_out_before_the_rest_and_have_room_of_their_own(ended, queue, next_one):
    ended(TEAM, step())
    queue.tell_alarms("team", ALARMS, None)
    told = [next_one(per_hour=2) for _ in range(4)]
    events = [one and one.event for one in told]
    assert events == ["alarm_began", "alarm_began", "done", None]


def test_five_thousand_make_no_more_than_so_many_and_one_summary(queue, next_one, rows):
    alarms = {str(number): {"what": f"alarm {number}"} for number in range(5000)}
    queue.tell_alarms("team", alarms, None)
    told = [next_one(per_hour=20) for _ in range(21)]
    assert [one.event for one in told[:19]] == ["alarm_began"] * 19
    assert (told[19].event, told[19].facts["count"], told[20]) == ("summary", 4981, None)
    assert len(told[19].facts["examples"]) == 10
    queue.tell_alarms("team", {}, None)
    assert next_one(per_hour=20) is None  # until the hour has passed
    assert next_one(per_hour=21).facts["events"] == {"alarm_ended": 5000}


def test_a_summary_that_waits_is_summed_up_with_what_comes_later(queue, next_one):
    queue.tell_alarms("team", {str(n): {"what": "x"} for n in range(5)}, None)
    queue.next_for("team", 3)  # two, and a summary of three
    queue.tell_alarms("team", {}, None)
    told = [next_one(per_hour=3) for _ in range(3)]
    assert told[2].facts["events"] == {"alarm_began": 3, "alarm_ended": 5}
    assert told[2].facts["since"] == told[0].at


def test_what_failed_waits_its_time_and_counts_as_one_of_the_hour(queue, next_one):
    queue.tell_alarms("team", ALARMS, None)
    first = queue.next_for("team", 1)
    assert first.event == "summary"
    queue.retry(first.id, "nobody there", 60)
    queue.tell_alarms("team", {}, None)
    assert queue.next_for("team", 1) is None
    queue.retry(first.id, "nobody there", -1)
    again = queue.next_for("team", 1)
    assert (again.id, again.tries) == (first.id, 2)


def test_what_is_refused_counts_as_one_of_the_hour_until_it_is_sent_again(queue):
    queue.tell_alarms("team", ALARMS, None)
    queue.give_up(queue.next_for("team", 1).id, "refused")
    queue.tell_alarms("team", {}, None)
    assert queue.next_for("team", 1) is None
    queue.resend(None)
    assert queue.next_for("team", 1).facts["events"] == {"alarm_began": 2, "alarm_ended": 2}


def test_what_was_given_up_is_sent_again_or_forgotten_by_a_person(queue, rows, path):
    queue.tell_alarms("team", ALARMS, None)
    for _ in ALARMS:
        queue.give_up(queue.next_for("team", 20).id, "refused")
    reader = LedgerReader(path)
    assert reader.overview().undelivered == 2
    assert (queue.resend(1), queue.resend(1)) == (1, 0)
    assert [(row.state, row.tries, row.error) for row in rows()] == [
        ("waiting", 0, "refused"),
        ("dead", 1, "refused"),
    ]
    assert queue.forget(None) == 1
    assert [row.id for row in rows()] == [1]
    assert reader.overview().undelivered == 0
    reader.close()


def test_what_is_for_nobody_any_more_is_given_up(queue, rows, next_one):
    queue.tell_alarms("team", ALARMS, None)
    queue.tidy(["others"])
    assert {(row.state, row.error) for row in rows()} == {
        ("dead", "no [[notify]] has this name any more")
    }
    queue.tell_alarms("team", ALARMS, None)  # it is there again, and told what there is
    assert next_one().event == "alarm_began"


def test_what_was_delivered_long_ago_is_not_kept(queue, path, rows, next_one):
    queue.tell_alarms("team", ALARMS, None)
    next_one()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE notifications SET ended_at = '2020' WHERE state = 'sent'")
    db.close()
    queue.tidy(["team"])
    assert [row.state for row in rows()] == ["waiting"]


def test_a_later_decision_says_who_is_told(ended, ledger, close, next_one):
    job = ended(Notify(), step())
    again = NewJob("k2", "All", (Step("qc", {}),), notify=replace(TEAM, on=("done",)))
    ledger.work.record_decision(job.series, Decision("process", "2", (), ()), [again])
    (claimed,) = ledger.jobs.claim(1)
    ledger.jobs.finish(claimed, JobResult("k2", Path("A/2"), (step(),), 1.0))
    assert next_one().event == "done"
