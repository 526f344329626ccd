"""What the daemon tells Prometheus of its processes, by the table that the supervisor writes."""

import time

import pytest
from prometheus_client import CollectorRegistry

from listener.commitment import CommitmentRequest, CommitmentStore
from safelight.children import SILENCE_SECONDS, Child
from safelight.lag import Lag
from safelight.page_metrics import NodeMetrics
from safelight.pulse import Pulse


@pytest.fixture
def pulse():
    """The table of two processes."""
    return Pulse(["coordinator", "receiver-0"])


@pytest.fixture
def value(pulse, tmp_path):
    """Function that returns what a metric says now."""
    registry = CollectorRegistry()
    registry.register(NodeMetrics(pulse, Lag(tmp_path)))
    return lambda name, **labels: registry.get_sample_value(f"safelight_{name}", labels)


def child(name, heard, process="runs", starts=1):
    one = Child(name, print, 1.0)
    one.process, one.heard, one.ready, one.starts = process, heard, True, starts
    return one


def test_a_process_that_answers_is_up_and_one_that_hangs_is_not(pulse, value):
    now = time.monotonic()
    pulse.note([child("coordinator", now), child("receiver-0", now - SILENCE_SECONDS)], now)
    assert value("process_up", process="coordinator") == 1
    assert value("process_up", process="receiver-0") == 0
    assert SILENCE_SECONDS <= value("process_heartbeat_age_seconds", process="receiver-0") < 60


def test_a_process_that_ended_is_not_up_and_its_starts_are_counted(pulse, value):
    now = time.monotonic()
    pulse.note([child("coordinator", now), child("receiver-0", now, None, 4)], now)
    assert value("process_up", process="receiver-0") == 0
    assert value("process_heartbeat_age_seconds", process="receiver-0") is None
    assert value("process_starts_total", process="receiver-0") == 4


def test_the_watchdog_ages_while_not_everybody_answers(pulse, value):
    assert value("watchdog_age_seconds") == 0  # nobody was ready yet
    pulse.note([], time.monotonic() - 50)
    assert 50 <= value("watchdog_age_seconds") < 80
    assert 0 <= time.time() - value("start_time_seconds") < 60


def test_commitment_requests_wait_until_they_are_reported(tmp_path):
    store = CommitmentStore(tmp_path)
    assert store.backlog() == (0, 0.0)
    request = CommitmentRequest("1.2", "PACS1", "SAFELIGHT", "", "1.2", ())
    store.add(request)
    count, seconds = store.backlog()
    assert count == 1
    assert 0 <= seconds < 60
    store.remove(request)
    assert store.backlog() == (0, 0.0)
