"""What Prometheus reads; its own parser must understand it, and its own tool approve of it.

What the daemon adds of itself is in tests/safelight/test_page_metrics.py and test_counting.py.
"""

import dataclasses
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ledger.connection import MIGRATIONS
from ledger.tallies import Waiting
from web_status.alarm_kinds import ALARM_KINDS
from web_status.node import Condition, DiskFill


def samples(page):
    answer = page.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(found, name):
    """The values of a metric by its label."""
    return {key[1]: value for key, value in found.items() if key[0] == name}


def test_without_a_ledger_the_node_is_told(page):
    found = samples(page)
    (info,) = (key for key in found if key[0] == "safelight_info")
    assert {*info[1:]} == {"0.1.0", max(MIGRATIONS)}
    assert found["safelight_ledger_readable",] == 0
    free, size = of(found, "safelight_disk_free_bytes"), of(found, "safelight_disk_size_bytes")
    assert 0 < free["data"] < size["data"]
    assert 0 < free["results"] < size["results"]
    assert ("safelight_instances",) not in found


def test_what_the_ledger_has_is_counted(page, chronicle):
    chronicle.event("accepted")
    chronicle.whole_series(3)
    chronicle.arrive(series="1.2.4", count=2)
    chronicle.arrive(series="1.2.5")
    chronicle.decide(chronicle.close(series="1.2.5", grade="quiet"))
    found = samples(page)
    assert found["safelight_ledger_readable",] == 1
    assert found["safelight_instances",] == 6
    assert found["safelight_instances_bytes",] == 6 * 526_336
    assert found["safelight_open_associations",] == 1
    assert of(found, "safelight_series") == {"open": 1, "quiet": 1, "released": 1}
    states = of(found, "safelight_series_states")
    assert {state: n for state, n in states.items() if n} == {"arriving": 1, "process": 2}
    assert (found["safelight_jobs", "done"], found["safelight_jobs", "queued"]) == (1, 1)


def test_queues_have_lengths_and_ages_each_by_itself(serve_node, context, tell_everything):
    tell_everything()
    beside = dataclasses.replace(context, queues=lambda: {"commitments": Waiting(2, 7.5)})
    found = samples(serve_node(beside))
    assert of(found, "safelight_queue_length") == {
        "commitments": 2,
        "forwards": 0,
        "jobs": 0,
        "notifications": 0,
        "retrieves": 2,
    }
    ages = of(found, "safelight_queue_oldest_seconds")
    assert (ages["commitments"], ages["jobs"]) == (7.5, 0)
    assert 0 <= ages["retrieves"] < 60


def test_the_disk_is_told_by_what_it_holds_up(serve_node, context, chronicle):
    fill = DiskFill("warn", ("ample", "warn", "refuse"), 12.0, 1000)
    condition = Condition(held=("RETRIEVES WAIT",), disk=fill)
    found = samples(serve_node(dataclasses.replace(context, condition=lambda _: condition)))
    assert of(found, "safelight_disk_stage") == {"ample": 0, "warn": 1, "refuse": 0}
    assert found["safelight_disk_lasts_seconds",] == 12 * 3600
    assert found["safelight_spool_bytes",] == 1000
    assert found["safelight_alarms", "held"] == 1


def test_alarms_are_counted_by_their_kind(page, tell_everything):
    tell_everything()
    alarms = of(samples(page), "safelight_alarms")
    assert set(alarms) == set(ALARM_KINDS)
    assert alarms["attention"] == 1
    assert alarms["quarantine"] == 0


def test_where_somebody_may_log_in_prometheus_needs_a_token(page, users, chronicle):
    refused = page.get("/metrics")
    assert (refused.status, refused.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
    secret = users.add_token("victor", "scrape")
    told = page.get("/metrics", Authorization=f"Bearer {secret}")
    assert (told.status, "safelight_info" in told.text) == (200, True)
    assert page.get("/metrics", Authorization=f"Bearer {secret[:-1]}").status == 401
    assert page.get("/alarms", Authorization=f"Bearer {secret}").status == 401


def test_an_open_page_is_counted(page, chronicle):
    assert samples(page)["safelight_open_pages",] == 0
    assert page.stream("/events?kind=now&number=1").status == 200
    assert samples(page)["safelight_open_pages",] == 1


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (apt: prometheus)")
def test_prometheus_own_tool_finds_nothing_to_improve(page, tell_everything):
    tell_everything()
    text = page.get("/metrics").text
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_nothing_of_a_patient_is_in_it(page, chronicle):
    chronicle.whole_series(1)
    text = page.get("/metrics").text
    for known in ("DOE", "P0042", "00012345", "Spine", "1.2.3"):
        assert known not in text
