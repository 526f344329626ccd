"""What is counted as it happens: every event once, under labels that no sender can choose."""

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from listener.header import Header
from listener.identity import Identity
from listener.journal import AssociationEvent, now
from listener.part10 import Origin
from listener.series import Arrival
from listener.spool import SeriesKey
from listener.watcher import Findings
from safelight.config import load_config
from safelight.counting import Counts


@pytest.fixture
def counts(tmp_path):
    """The counters of a node that PACS1 and, from anywhere, everybody may send to."""
    file = tmp_path / "safelight.toml"
    file.write_text(
        '[[dicom.accept]]\ncalling_ae = "PACS1"\naddresses = ["127.0.0.1/32"]\n'
        '[[dicom.accept]]\ncalling_ae = "*"\naddresses = ["127.0.0.1/32"]\n'
        '[[pacs]]\nname = "main"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = 104\n'
    )
    return Counts(load_config(file, {}))


def value(counts, name, **labels):
    families = text_string_to_metric_families(generate_latest(counts.registry).decode())
    (found,) = (
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"safelight_{name}" and sample.labels == labels
    )
    return found


def findings(*events, arrivals=()):
    return Findings(tuple(events), tuple(arrivals), (), 0, {})


def arrival(tmp_path, calling_ae):
    header = Header(Identity("1", "1.2", "1.2.3", "1.1"), "1.2", Origin(calling_ae, "US", "a"), {})
    return Arrival(SeriesKey("1", "1.2"), header, tmp_path / "1.2.3.dcm", 500, "")


def event(name, **values):
    return AssociationEvent(name, now(), "a1", **values)


def test_instances_are_counted_by_configured_senders_and_all_others_together(counts, tmp_path):
    titles = ("PACS1", "PACS1", "ARCHIVE", "CANARY^JANE", "X")
    counts.recorded(findings(arrivals=[arrival(tmp_path, title) for title in titles]), 0)
    assert value(counts, "received_instances_total", calling_ae="PACS1") == 2
    assert value(counts, "received_bytes_total", calling_ae="PACS1") == 1000
    assert value(counts, "received_instances_total", calling_ae="ARCHIVE") == 1
    assert value(counts, "received_instances_total", calling_ae="other") == 2
    assert b"CANARY" not in generate_latest(counts.registry)


def test_associations_are_counted_by_their_outcome(counts):
    ends = (event("released", duplicates=3), event("aborted"), event("lost"), event("accepted"))
    counts.recorded(findings(*ends, event("started")), 2)
    assert value(counts, "associations_total", outcome="released") == 1
    assert value(counts, "associations_total", outcome="aborted") == 1
    assert value(counts, "associations_total", outcome="lost") == 3  # two with their receiver
    assert value(counts, "received_duplicates_total") == 3


def test_rejections_have_their_cause_and_an_unknown_one_makes_no_label(counts):
    rejected = [event("rejected", cause=cause) for cause in ("limit", "limit", "", "CANARY")]
    counts.recorded(findings(*rejected, event("refused")), 0)
    assert value(counts, "associations_total", outcome="rejected") == 4
    assert value(counts, "rejections_total", cause="limit") == 2
    assert value(counts, "rejections_total", cause="other") == 2
    assert value(counts, "refusals_total") == 1


def test_jobs_are_timed_by_rules_in_force_and_all_others_together(counts):
    counts.took("Brain", 3.0, {"Brain"})
    counts.took("Retrieve list 7", 40.0, {"Brain"})
    assert value(counts, "job_seconds_count", rule="Brain") == 1
    assert value(counts, "job_seconds_bucket", rule="Brain", le="5.0") == 1
    assert value(counts, "job_seconds_bucket", rule="Brain", le="2.0") == 0
    assert value(counts, "job_seconds_sum", rule="other") == 40.0


def test_every_counter_begins_at_zero_before_anything_happened(counts):
    assert value(counts, "job_runs_total", outcome="given_up") == 0
    assert value(counts, "series_closed_total", grade="listed") == 0
    assert value(counts, "received_instances_total", calling_ae="PACS1") == 0
