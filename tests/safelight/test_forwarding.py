"""Rules that forward, in the coordinator's loop: to DCMTK's storescp, and to one that misbehaves.

Not covered: sending itself, which is tests/query/test_send.py and test_stow.py.
"""

import json
import signal
import threading
from dataclasses import replace

import psutil
import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage

from listener.part10 import silence_dicom_libraries
from query.settings import PacsSettings
from safelight import scheduling
from safelight.errors import ConfigError
from safelight.forwarding import Forwarding
from safelight.requests import Request, Requests
from safelight.settings import ForwardSettings

silence_dicom_libraries()

RULE = '[[rule]]\nname = "On"\n[rule.run]\nforward = { to = "research" }\n'


@pytest.fixture(autouse=True)
def rule(config, monkeypatch):
    config.rules.file.write_text(RULE)
    monkeypatch.setattr(scheduling, "_RETRY_SECONDS", 0.1)


@pytest.fixture
def to(config):
    """Function that returns the configuration with a receiver on a port."""

    def make(port, tries=8):
        receiver = PacsSettings("research", "RESEARCH", "127.0.0.1", port, connect_seconds=2)
        return replace(config, pacs=(receiver,), forward=ForwardSettings(tries, 0.2))

    return make


@pytest.fixture
def receiver():
    """Function that starts a receiver which answers by a function, told event and count."""
    servers = []

    def start(answer, port=0):
        received = []

        def store(event):
            status = answer(event, len(received))
            if status == 0x0000:
                received.append(str(event.request.AffectedSOPInstanceUID))
            return status

        entity = AE("RESEARCH")
        entity.add_supported_context(CTImageStorage)
        handlers = [(evt.EVT_C_STORE, store)]
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        servers.append(server)
        return server.server_address[1], received

    yield start
    threads = [threading.Thread(target=server.shutdown) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ended(count, state="done"):
    return lambda reader: len(reader.jobs((state,))) == count


def uids(series, *numbers):
    return [f"{series}.{number}" for number in numbers]


def test_a_series_is_forwarded_once_and_what_comes_late_alone(to, land, run, receiver):
    port, received = receiver(lambda *_: 0x0000)
    series = land(3)
    run(ended(1), to(port))
    assert sorted(received) == uids(series, 0, 1, 2)
    land(5, uid=series)
    jobs = run(
        lambda reader: (
            {job.state for job in reader.jobs(("done", "superseded"))} == {"done", "superseded"}
        ),
        to(port),
    )
    assert sorted(received) == uids(series, 0, 1, 2, 3, 4)
    assert sorted(job.state for job in jobs) == ["done", "superseded"]


def test_a_receiver_that_is_down_is_tried_until_it_is_there(
    to, land, run, config, free_port, dcmtk_storescp
):
    port = free_port()
    series = land(2)
    (job,) = run(lambda reader: any(job.tries > 1 for job in reader.jobs(("queued",))), to(port))
    assert "2 of 2 instances not forwarded to research: cannot reach RESEARCH" in job.error
    receiver = dcmtk_storescp("RESEARCH", port)
    run(ended(1), to(port))
    assert receiver.received() == uids(series, 0, 1)
    (manifest,) = config.storage.results.rglob("manifest.json")
    assert "2 instances forwarded to research" in manifest.read_text()


def test_a_worker_that_is_killed_in_the_middle_leaves_receipts(to, land, run, receiver):
    killed = []

    def kill_at_third(_event, count):
        if count == 2 and not killed:
            killed.extend(
                worker for server in psutil.Process().children() for worker in server.children()
            )
            for worker in killed:
                worker.send_signal(signal.SIGKILL)
            return 0xA700
        return 0x0000

    port, received = receiver(kill_at_third)
    series = land(5)
    (job,) = run(ended(1), to(port))
    assert killed
    assert job.tries == 2
    assert sorted(received) == uids(series, 0, 1, 2, 3, 4)


def test_what_is_refused_for_good_is_a_dead_letter_that_can_be_sent_again(
    to, land, run, receiver, config
):
    refusing = [True]

    def refuse_the_second(event, _count):
        uid = str(event.request.AffectedSOPInstanceUID)
        return 0xA900 if refusing and uid.endswith(".1") else 0x0000

    port, received = receiver(refuse_the_second)
    series = land(3)
    (job,) = run(ended(1, "dead"), to(port))
    assert job.tries == 1
    assert job.error.startswith("1 of 3 instances not forwarded to research: 0xA900, data set")
    refusing.clear()
    Requests(config.storage.requests).leave(Request("resend", job=job.id))
    run(ended(1), to(port))
    assert received == uids(series, 0, 2, 1)


def test_a_receiver_that_never_has_room_is_given_up_after_the_tries(to, land, run, receiver):
    port, received = receiver(lambda *_: 0xA700)
    land(1)
    (job,) = run(ended(1, "dead"), to(port, tries=1))
    assert (job.tries, received) == (1, [])
    assert "0xA700, out of resources" in job.error


def test_a_rule_that_forwards_to_nobody_known_is_refused(config, run):
    with pytest.raises(ConfigError, match=r'rule "On": run\.forward: to = "research": no'):
        run(lambda _: True, config)


@pytest.fixture
def forward(to, config):
    """Function that forwards what the spool has of a series, without a loop around it."""

    def call(port, series):
        files = sorted((config.storage.spool / "instances" / "1.2.3" / series).iterdir())
        return Forwarding.of(to(port))(
            "research", series, files, decompress=False, on_sent=lambda _: None
        )

    return call


def test_what_a_receiver_took_before_it_died_is_not_sent_again(forward, land, receiver):
    asked = []

    def dies_once(event, _count):
        asked.append(str(event.request.AffectedSOPInstanceUID))
        if len(asked) == 3:
            event.assoc.abort()
            return 0xA700
        return 0x0000

    port, received = receiver(dies_once)
    series = land(5)
    first = forward(port, series)
    assert (first.sent, set(first.refused)) == (2, set(uids(series, 2, 3, 4)))
    assert first.is_retriable
    second = forward(port, series)
    assert (second.sent, second.already, second.refused) == (3, 2, {})
    assert sorted(received) == uids(series, 0, 1, 2, 3, 4)
    assert forward(port, series).already == 5
    assert len(asked) == 6


def test_the_audit_trail_has_what_is_sent_before_and_after(forward, land, receiver, config):
    port, _ = receiver(lambda event, count: 0x0000 if count < 2 else 0xC000)
    forward(port, land(3))
    lines = (config.storage.data / "audit.log").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [(one["action"], one["instances"], one.get("problem")) for one in told] == [
        ("sending begun", 3, None),
        ("instances sent", 2, None),
        ("instances sent", 1, "not accepted"),
    ]
    assert {(one["study"], one["address"]) for one in told} == {("1.2.3", "127.0.0.1")}
    assert "P1" not in "".join(lines)


def test_a_receipt_that_was_cut_off_counts_for_nothing(forward, land, receiver, config):
    port, received = receiver(lambda *_: 0x0000)
    series = land(2)
    folder = config.storage.forwarded / "to-research"
    folder.mkdir(parents=True)
    (folder / series).write_text(f"{series}.0\n{series}.1")
    forwarded = forward(port, series)
    assert (forwarded.sent, forwarded.already, forwarded.refused) == (1, 1, {})
    assert received == uids(series, 1)
