"""What pages make of numbers: alarms with remedies, time left, why quality is low, revisions."""

import dataclasses
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.reader import LedgerReader
from ledger.rows import Overview, RunRow
from processor.model import StepResult
from web_status.alarms import alarms_of
from web_status.network import Silence
from web_status.node import Condition
from web_status.now import seconds_left
from web_status.quality import reasons_of

WELL = Overview(*[0] * 12)


def test_where_all_is_well_there_is_no_alarm():
    assert alarms_of(WELL, Condition("full in 4 days"), (), is_full=False) == ()


@pytest.mark.parametrize(
    ("overview", "condition", "silent", "is_full", "what", "remedy"),
    [
        ({"attention": 2}, Condition(), (), False, "2 things need", "send its job again"),
        ({"quarantined": 1}, Condition(), (), False, "1 file in quarantine", "Compare both"),
        ({"refusals": 3}, Condition(), (), False, "3 refusals", "names the key"),
        ({"undelivered": 1}, Condition(), (), False, "1 notification was not", "notify resend"),
        ({}, Condition(held=("qc is paused",)), (), False, "qc is paused", "safelight resume"),
        ({}, Condition(), (Silence("CT1", "", 12.0),), False, "CT1 has brought", "Ask the sender"),
        ({}, Condition(has_backup_failed=True), (), False, "The last backup", "safelight doctor"),
        ({}, Condition(), (), True, "The disk is nearly full", "shorter retention"),
        ({}, Condition(is_audit_late=True), (), False, "The audit trail", "doctor --only audit"),
    ],
)
def test_each_alarm_says_what_to_do(overview, condition, silent, is_full, what, remedy):
    seen = dataclasses.replace(WELL, **overview)
    (alarm,) = alarms_of(seen, condition, silent, is_full=is_full)
    assert alarm.what.startswith(what)
    assert remedy in alarm.remedy


def test_what_stands_still_comes_before_the_rest():
    seen = dataclasses.replace(WELL, refusals=1, attention=1)
    tones = [alarm.tone for alarm in alarms_of(seen, Condition(), (), is_full=True)]
    assert tones == ["bad", "bad", "warn"]


def test_alarms_are_on_the_first_page_and_that_of_alarms(page, chronicle):
    assert "hidden" in re.search(r'<section id="alarms"[^>]*>', page.get("/").text)[0]
    chronicle.event("refused", reason="StudyInstanceUID is missing")
    for path in ("/", "/alarms"):
        text = page.section("alarms", path)
        assert "1 refusal in 24 hours" in text
        assert "The sender still has what was refused" in text


@pytest.fixture
def running(chronicle, context):
    """A job that began 11 s ago, of a series of 20 instances."""
    chronicle.arrive(count=20)
    chronicle.decide(chronicle.close())
    chronicle.claim()
    (job,) = LedgerReader(context.ledger).jobs(["running"])
    began = datetime.now(UTC) - timedelta(seconds=11)
    return dataclasses.replace(job, started_at=began.isoformat())


def test_time_left_is_that_of_earlier_jobs_less_what_has_passed(running):
    earlier = [RunRow(50.0, 10), RunRow(100.0, 20), RunRow(999.0, 20)]  # 5 s an instance
    assert seconds_left(running, 20, earlier) == 90


def test_without_ground_or_beyond_it_no_time_left_is_told(running):
    assert seconds_left(running, 20, [RunRow(50.0, 10)] * 2) is None
    assert seconds_left(running, 20, [RunRow(1.0, 10)] * 3) is None
    assert seconds_left(dataclasses.replace(running, started_at=None), 20, []) is None


def test_a_running_job_says_how_long_it_takes_yet(page, chronicle):
    for number in range(3):
        chronicle.whole_series(1, series=f"1.2.{number}")  # 3.21 s each
    chronicle.arrive(series="1.2.9", count=40)
    chronicle.decide(chronicle.close(series="1.2.9"))
    job = chronicle.claim()
    page.progress[job.key] = ("convert", 0.4)
    assert "Conversion 40 %, about 2 min left" in page.section("moving", "/")


def test_reasons_have_the_numbers_that_they_were_found_by():
    low = {"std": 1.25, "structure": 0.05, "dynamic_range": 3.0}
    images = [
        {"reason": "Low contrast; Low dynamic range", "measured": low},
        {"reason": "Low contrast", "measured": {**low, "std": 4.0}},
        {"reason": "Normal", "measured": {"std": 200.0}},
        {"reason": "Blank image", "measured": {}},
    ]
    found = [
        (one.reason, one.images, one.judged, one.measures) for one in reasons_of({"images": images})
    ]
    assert found == [
        (
            "Low contrast",
            2,
            4,
            (("standard deviation", "1.25", "4"), ("structure", "0.05", "0.05")),
        ),
        ("Low dynamic range", 1, 4, (("dynamic range", "3", "3"),)),
        ("Blank image", 1, 4, ()),
    ]
    assert reasons_of({}) == ()


def test_a_series_shows_why_its_quality_is_low(page, chronicle):
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    image = {"uid": "1", "low": 1, "reason": "Low contrast", "measured": {"std": 2.5}}
    step = StepResult("qc", "done", "Low contrast", {"images": [image]})
    chronicle.record(chronicle.claim(), Path("study/a"), (step,))
    assert "Low contrast 1 of 1 standard deviation 2.5" in page.section("jobs", "/series/1")
    chinese = page.section("jobs", "/series/1", Accept_Language="zh")
    assert "对比度低 1 / 1 标准差 2.5" in chinese


def test_revisions_are_listed_with_their_instances_once_there_are_two(page, chronicle):
    chronicle.whole_series(24)
    assert "hidden" in re.search(r'<section id="revisions"[^>]*>', page.get("/series/1").text)[0]
    chronicle.whole_series(2)
    text = page.section("revisions", "/series/1")
    assert re.search(r"2 in force 26 .* Everything .* 1 24 .* Everything", text)
