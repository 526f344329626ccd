"""Looking for studies: what each filter finds, and how pages follow each other.

Not covered: how fast it is (test_query_plans.py, and `make bench-pages`).
"""

from pathlib import Path
from typing import get_args

import pytest

from ledger.errors import NotInLedger
from ledger.reader import LedgerReader
from ledger.rows import SeriesState
from ledger.study_reader import StudyFilter
from listener.series import Closure, StudyClosure
from listener.spool import SeriesKey
from processor.model import JobResult, StepResult


@pytest.fixture
def study(record, arrival, ledger):
    """Function that has a study arrive with one series, and closes it in a grade."""

    def make(number, grade="released", **elements):
        key = SeriesKey(f"1.{number}", f"1.{number}.1")
        record(arrival(f"1.{number}.1.1", key, **elements))
        return ledger.work.close_series(Closure(key, grade, "why")) if grade else None

    return make


@pytest.fixture
def find(path):
    """Function that returns the UIDs of the studies that a filter finds, the latest first."""

    def found(**wanted):
        reader = LedgerReader(path)
        page = reader.studies.page(StudyFilter(**wanted))
        reader.close()
        return [row.StudyInstanceUID for row in page.rows]

    return found


def test_a_study_comes_with_its_series_and_how_whole_it_is(study, ledger, path):
    study(1, PatientName="Doe^Jane", StudyDescription="Knee")
    reader = LedgerReader(path)
    assert reader.studies.one(1).is_arriving
    ledger.work.close_study(StudyClosure("1.1", "released", "all series closed"))
    found = reader.studies.one(1)
    assert (found.PatientName, found.StudyDescription) == ("Doe^Jane", "Knee")
    assert (found.is_arriving, found.complete_grade) == (False, "released")
    assert found.complete_evidence == "all series closed"
    assert [row.SeriesInstanceUID for row in found.series] == ["1.1.1"]
    with pytest.raises(NotInLedger):
        reader.studies.one(2)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"patient": "jane"}, ["1.1"]),
        ({"patient": "DOE jane"}, ["1.1"]),
        ({"patient": "Jane^Doe"}, ["1.1"]),
        ({"patient": "jane roe"}, []),
        ({"patient": "伟"}, ["1.2"]),
        ({"patient": "P00"}, ["1.2", "1.1"]),
        ({"patient": "%"}, []),
        ({"patient": "_"}, ["1.3"]),
        ({"study_uids": ("1.1", "1.2", "1.77")}, ["1.2", "1.1"]),
        ({"study_uids": ("1.1", "1.2"), "modality": "MR"}, ["1.2"]),
        ({"accession": "42"}, ["1.2", "1.1"]),
        ({"accession": "0042"}, ["1.1"]),
        ({"first_day": "20260102"}, ["1.2"]),
        ({"last_day": "20260101"}, ["1.1"]),
        ({"first_day": "20260101", "last_day": "20260101"}, ["1.1"]),
        ({"modality": "MR"}, ["1.2"]),
        ({"grade": "quiet"}, ["1.3"]),
        ({"modality": "CT", "grade": "quiet"}, ["1.3"]),
        ({"modality": "MR", "grade": "quiet"}, []),
        ({}, ["1.3", "1.2", "1.1"]),
    ],
)
def test_each_filter_finds_what_it_says(study, find, wanted, found):
    known = {"PatientName": "Doe^Jane", "PatientID": "P001", "AccessionNumber": "0042"}
    study(1, StudyDate="20260101", **known)
    known = {"PatientName": "张^伟", "PatientID": "P002", "AccessionNumber": "42"}
    study(2, StudyDate="20260102", Modality="MR", **known)
    study(3, "quiet", PatientName="A_B", PatientID="X", AccessionNumber="")
    assert find(**wanted) == found


def end(ledger, state, **details):
    """Run the one job in the queue, to a step in this state."""
    (job,) = ledger.jobs.claim(1)
    step = StepResult("qc", state, "said", details)
    ledger.jobs.finish(job, JobResult(job.key, Path(f"A1/{job.key}"), (step,), 1.0))


def test_a_state_finds_what_the_page_shows_in_that_state(study, decide, ledger, find, path):
    study(1, None)
    study(2)
    decide(study(3), "k3")
    end(ledger, "done")
    decide(study(4), "k4")
    end(ledger, "failed")
    decide(study(5), "k5")
    ledger.jobs.bury(ledger.jobs.claim(1)[0], "no")
    decide(study(6), "k6")
    ledger.jobs.cancel(ledger.jobs.claim(1)[0].id)
    decide(study(7), outcome="keep")
    decide(study(8), outcome="drop")
    decide(study(9), outcome="hold")
    decide(study(10), "k10")
    ledger.jobs.claim(1)
    decide(study(11), "k11")
    reader = LedgerReader(path)
    shown = {row.StudyInstanceUID: row.state for row in reader.series()}
    expected = {
        "arriving": ["1.1"],
        "waiting": ["1.11", "1.2"],
        "processing": ["1.10"],
        "done": ["1.3"],
        "kept": ["1.7", "1.6"],
        "dropped": ["1.8"],
        "attention": ["1.9", "1.5", "1.4"],
    }
    for state, uids in expected.items():
        assert find(state=state) == uids
        assert {shown[uid] for uid in uids} == {state}
    assert set(expected) == set(get_args(SeriesState))


def test_low_quality_is_what_is_found_in_the_latest_revision(
    study, decide, ledger, record, arrival, close, find
):
    decide(study(1), "k1")
    end(ledger, "done", low_quality=1)
    decide(study(2), "k2")
    end(ledger, "done", low_quality=0)
    assert find(low_quality=True) == ["1.1"]
    key = SeriesKey("1.1", "1.1.1")
    record(arrival("1.1.1.2", key))
    decide(close(key), "k1 again")
    end(ledger, "done", low_quality=0)
    assert find(low_quality=True) == []


def test_pages_follow_each_other_both_ways_and_nothing_moves_what_is_older(study, path):
    for number in range(1, 8):
        study(number)
    reader = LedgerReader(path)

    def page(**at):
        found = reader.studies.page(StudyFilter(), limit=3, **at)
        return [row.id for row in found.rows], found.has_newer, found.has_older

    assert page() == ([7, 6, 5], False, True)
    assert page(before=5) == ([4, 3, 2], True, True)
    study(8)
    assert page(before=2) == ([1], True, False)
    assert page(after=1) == ([4, 3, 2], True, True)
    assert page(after=5) == ([8, 7, 6], False, True)
    assert page(before=1) == ([], True, False)


def test_what_is_looked_for_is_not_in_the_words_of_a_filter():
    personal = {"patient": "Doe", "accession": "42"}
    told = repr(StudyFilter(**personal))
    assert not any(value in told for value in personal.values())
