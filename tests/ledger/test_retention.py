"""What is due for deletion, and that the ledger accounts for what is deleted."""

import pytest

from ledger.reader import LedgerReader
from listener.spool import SeriesKey

LATER, EARLIER = "9999", "1999"


@pytest.fixture
def finished(one_job, ledger, result):
    """A series whose one job, of the rule "All", has ended well."""
    ledger.jobs.finish(one_job, result())
    return one_job.series


def instances_due(ledger, **ended_before):
    return [due.series_id for due in ledger.retention.instances_due(ended_before)]


def results_due(ledger, **ended_before):
    return [due.published[0].key for due in ledger.retention.results_due(ended_before)]


def test_things_are_due_when_their_rule_says_so_and_their_time_is_over(finished, ledger):
    assert instances_due(ledger, All=LATER) == [finished.id]
    assert results_due(ledger, All=LATER) == ["k1"]
    for rules in ({}, {"All": EARLIER}, {"Other": LATER}):
        assert instances_due(ledger, **rules) == []
        assert results_due(ledger, **rules) == []


@pytest.mark.parametrize("state", ["failed", "refused"])
def test_instances_of_which_a_step_made_nothing_are_kept(one_job, ledger, result, state):
    ledger.jobs.finish(one_job, result(state=state))
    assert instances_due(ledger, All=LATER) == []


@pytest.mark.parametrize("end", ["bury", "retry", "cancel"])
def test_instances_of_a_job_that_has_not_ended_well_are_kept(one_job, ledger, end):
    if end == "cancel":
        ledger.jobs.cancel(one_job.id)
    else:
        getattr(ledger.jobs, end)(one_job, "no", *([-1] if end == "retry" else []))
    assert instances_due(ledger, All=LATER) == []


def test_instances_that_another_rule_made_something_of_are_kept(
    record, arrival, close, decide, ledger, result
):
    record(arrival("1"))
    decide(close(), "k1", "k2")
    first, second = ledger.jobs.claim(5)
    ledger.jobs.finish(first, result("k1"))
    assert instances_due(ledger, All=LATER) == []
    ledger.jobs.finish(second, result("k2"))
    assert instances_due(ledger, All=LATER) == [1]
    (due,) = ledger.retention.instances_due({"All": LATER})
    assert [one.key for one in due.published] == ["k1", "k2"]


def test_a_series_that_arrives_again_is_kept_also_when_it_was_due_a_moment_ago(
    finished, record, arrival, ledger
):
    (due,) = ledger.retention.instances_due({"All": LATER})
    record(arrival("2"))
    assert ledger.retention.begin(due) is None
    assert instances_due(ledger, All=LATER) == []


def test_what_is_deleted_is_accounted_for_and_due_no_more(finished, ledger, path):
    (due,) = ledger.retention.instances_due({"All": LATER})
    deletion = ledger.retention.begin(due)
    assert deletion.sop_instance_uids == ("1",)
    assert ledger.retention.unfinished() == (deletion,)
    assert ledger.retention.begin(due) is None
    ledger.retention.end(deletion)
    assert ledger.retention.unfinished() == ()
    assert instances_due(ledger, All=LATER) == []
    (row,) = LedgerReader(path).deletions()
    assert (row.what, row.count, row.bytes, row.rule) == ("instances", 1, 1000, "All")
    assert LedgerReader(path).overview().instances == 1
    assert LedgerReader(path).growth().received == 0


def test_what_is_kept_counts_neither_what_was_deleted_nor_twice_what_came_again(
    finished, ledger, record, arrival, path
):
    reader = LedgerReader(path)
    assert reader.kept_bytes() == 1000
    (due,) = ledger.retention.instances_due({"All": LATER})
    ledger.retention.end(ledger.retention.begin(due))
    assert reader.kept_bytes() == 0
    record(arrival("2"))
    assert reader.kept_bytes() == 1000
    record(arrival("1"))
    assert reader.kept_bytes() == 2000
    reader.close()


def test_an_instance_that_was_deleted_and_is_sent_again_arrives_like_a_new_one(
    finished, ledger, record, arrival, close, path
):
    key = SeriesKey("1.2.3", "1.2.3.4")
    (due,) = ledger.retention.instances_due({"All": LATER})
    ledger.retention.begin(due)
    assert ledger.intake.sop_instance_uids(key) == frozenset()
    assert ledger.intake.counts()[key][0] == 0
    record(arrival("1"))
    assert ledger.intake.sop_instance_uids(key) == {"1"}
    assert ledger.intake.counts()[key][0] == 1
    assert close().sop_instance_uids == ("1",)
    assert LedgerReader(path).overview().instances == 1


def test_results_of_an_earlier_revision_are_due_too(
    finished, record, arrival, close, decide, ledger
):
    record(arrival("2"))
    decide(close(), "k2")
    assert results_due(ledger, All=LATER) == ["k1"]
    assert instances_due(ledger, All=LATER) == []
