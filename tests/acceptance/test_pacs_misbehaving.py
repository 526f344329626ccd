"""Retrieve lists against an archive that misbehaves, with a daemon as a site runs it.

What is lost, late and lied about is drawn at random in tests/sweeps/test_retrieve_sweep.py; here is
what becomes of it over tries, restarts and deadlines. Not covered: windows and the disk's marks,
which tests/safelight/test_retrieving.py has.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from ledger.retrieve_reader import RetrieveReader

sys.path.insert(0, str(Path(__file__).parents[1]))

import archive as scripted

WIDE = {**os.environ, "COLUMNS": "500"}


@pytest.fixture
def site(daemon, free_port, monkeypatch):
    """A daemon, started by a function, and an archive that sends to it."""
    scripted.answer_moves(monkeypatch)
    port = free_port()

    def deliver(datasets):
        entity = AE("ARCHIVE")
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", port, ae_title="SAFELIGHT")
        for one in datasets:
            assert association.send_c_store(one).Status == 0
        association.release()

    archive = scripted.Archive(deliver)

    def start(more="", retrieve="retry_seconds = 0.2"):
        return daemon(
            toml=f'[[pacs]]\nname = "main"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\n'
            f"port = {archive.port}\narrival_seconds = 1\n{more}\n[retrieve]\n{retrieve}\n",
            port=port,
        )

    yield start, archive
    archive.close()


def study(number, instances=3, **behaviour):
    uids = [f"1.2.{number}.1.{i}" for i in range(instances)]
    return scripted.Study(f"A{number}", f"1.2.{number}", {f"1.2.{number}.1": uids}, **behaviour)


def items_of(node, number=1):
    """What came of a list, by accession number, each with its series."""
    reader = RetrieveReader.at(node.data / "ledger.sqlite")
    try:
        return {
            item.accession_number: {**asdict(item), "of_series": reader.series(item.id)}
            for item in reader.items(number)
        }
    finally:
        reader.close()


def test_each_accession_number_of_a_list_comes_to_its_own_end(site):
    start, archive = site
    short = study(1, loses=lambda uid, _times: uid.endswith(".2"), owns_up=False)
    for one in (
        short,
        study(2, loses=lambda uid, times: uid.endswith(".2") and times <= 2),
        study(3, status=0xA702),
        study(4, count_off_by=2),
        study(5, lists=False),
        study(6, lists=False, count_off_by=None),
        study(7, freezes=True),
        study(8),
    ):
        archive.add(one)
    node = start(more="deadline_seconds = 8\nparallel = 2")

    numbers = [f"A{number}" for number in range(1, 10)]
    result = node.run("retrieve", *numbers, "--tries", "2", "--wait", env=WIDE)

    assert result.returncode == 1
    items = items_of(node)
    assert {number: item["state"] for number, item in items.items()} == {
        "A1": "incomplete",
        "A2": "whole",
        "A3": "incomplete",
        "A4": "unproven",
        "A5": "whole",
        "A6": "unproven",
        "A7": "failed",
        "A8": "whole",
        "A9": "absent",
    }
    assert [list(row.missing) for row in items["A1"]["of_series"]] == [["1.2.1.1.2"]]
    assert short.asked["1.2.1.1.0"] == 1  # what is here is not asked for again
    assert items["A2"]["tries"] == 2
    assert len(items["A3"]["of_series"][0].missing) == 3
    doubts = [row.doubt for row in items["A4"]["of_series"]]
    assert doubts == ["ARCHIVE counts 5 instances and lists 3"]
    assert (items["A6"]["received"], items["A6"]["tries"]) == (3, 1)
    reasons = {number: item["reason"] for number, item in items.items() if item["reason"]}
    assert reasons.keys() == {"A1", "A3", "A7"}
    assert "says that it sent everything: check that what it knows as our AE is" in reasons["A1"]
    assert "0xA702, out of resources" in reasons["A3"]
    assert "connect to AE title SAFELIGHT" in reasons["A3"]
    assert "killed after 8 s, the time limit" in reasons["A7"]


def test_a_pacs_that_does_not_know_us_is_let_alone_and_costs_no_try(site):
    start, archive = site
    first, second = archive.add(study(1, status=0xA801)), archive.add(study(2))
    node = start(retrieve="retry_seconds = 8")

    result = node.run("retrieve", "A1", "A2")

    assert result.returncode == 1
    assert (
        "C-MOVE refused by ARCHIVE (0xA801, destination unknown): its administrator must add"
        in (result.stderr)
    )
    assert f"AE title SAFELIGHT, host {os.uname().nodename}, port {node.port}" in result.stderr
    items = items_of(node)
    assert {number: item["state"] for number, item in items.items()} == {
        "A1": "waiting",
        "A2": "waiting",
    }
    assert {item["tries"] for item in items.values()} == {0}
    assert second.asked == {}

    first.status = 0
    assert node.run("retrieves", "follow", "1", "--wait").returncode == 0


def test_a_list_outlives_kill_and_fetches_nothing_twice(site, wait_until):
    start, archive = site
    done = archive.add(study(1))
    stuck, last = archive.add(study(2, freezes=True)), archive.add(study(3))
    node = start()
    assert node.run("retrieve", "A1", "A2", "A3", "--detach").returncode == 0
    wait_until(
        lambda: (
            [item["state"] for item in items_of(node).values()] == ["whole", "running", "waiting"]
        ),
        "the first to end and the second to begin",
    )
    children = node.children()
    node.kill()
    psutil.wait_procs(children, timeout=30)
    stuck.freezes = False

    node = start()

    assert node.run("retrieves", "follow", "1", "--wait").returncode == 0
    items = items_of(node)
    assert {item["state"] for item in items.values()} == {"whole"}
    assert {item["tries"] for item in items.values()} == {1}
    for one in (done, stuck, last):
        assert set(one.asked.values()) == {1}


def test_a_list_is_cancelled_while_it_runs_and_tried_again_later(site, wait_until, tmp_path):
    start, archive = site
    stuck = archive.add(study(1, freezes=True))
    node = start()
    rules = tmp_path / "filter.toml"
    rules.write_text('[[rule]]\nname = "x"\nmatch = { EchoTime = 3 }\nthen = { drop = "no" }\n')
    refused = node.run("retrieve", "A1", "--rules", str(rules))
    assert refused.returncode == 2
    assert 'filter.toml: rule "x": match.EchoTime: no PACS tells it' in refused.stderr

    assert node.run("retrieve", "A1", "--detach").returncode == 0
    wait_until(lambda: items_of(node)["A1"]["state"] == "running", "it to run")
    assert node.run("retrieves", "cancel", "1").returncode == 0
    assert items_of(node)["A1"]["state"] == "cancelled"
    stuck.freezes = False
    assert node.run("retrieves", "again", "1").returncode == 0

    assert node.run("retrieves", "follow", "1", "--wait").returncode == 0
