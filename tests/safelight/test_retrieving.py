"""When a retrieve may begin, and what becomes of a process that ends badly.

Not covered: what a process does (tests/sweeps/test_retrieve_sweep.py), and all of it together
(tests/acceptance/test_pacs.py, test_pacs_misbehaving.py).
"""

import threading
from datetime import datetime, timedelta

import pytest

from ledger.retrieve_reader import RetrieveReader
from ledger.retrieve_records import RetrieveOrder
from ledger.writer import LedgerWriter
from query.settings import PacsSettings
from safelight.config import Config, RetrieveSettings, StorageSettings
from safelight.requests import Request
from safelight.retrieve_follow import Follower
from safelight.retrieving import Retrieving


@pytest.fixture
def closed_window():
    """A time of day that is over for hours."""
    now = datetime.now().astimezone()
    begin, end = now + timedelta(hours=3), now + timedelta(hours=4)
    return f"{begin:%H:%M}-{end:%H:%M}"


@pytest.fixture
def site(tmp_path, free_port):
    """Function that makes the retrieves of a PACS that nothing listens for."""
    opened = []

    def make(**pacs):
        settings = PacsSettings("main", "PACS1", "127.0.0.1", free_port(), **pacs)
        storage = StorageSettings(tmp_path / "data")
        for folder in (storage.spool / "journal", storage.progress):
            folder.mkdir(parents=True)
        config = Config(
            pacs=(settings,), storage=storage, retrieve=RetrieveSettings(retry_seconds=30)
        )
        ledger = LedgerWriter(storage.ledger)
        woken = threading.Event()
        retrieving = Retrieving(config, ledger.retrieves, woken.set, lambda uids: None)
        reader = RetrieveReader.at(storage.ledger)
        opened.extend((retrieving.stop, reader.close, ledger.close))
        order = RetrieveOrder("k", "main", ("A1", "A2", "A3"))
        retrieving.obey(Request("retrieve", order=order))
        return config, retrieving, reader, woken

    yield make
    for close in opened:
        close()


def states(reader):
    return [item.state for item in reader.items(1)]


def test_as_many_begin_as_the_pacs_allows(site):
    config, retrieving, reader, _ = site(parallel=2)
    retrieving.start(may_begin=True)
    assert states(reader) == ["running", "running", "waiting"]
    audit = (config.storage.data / "audit.log").read_text()
    for item in (1, 2):
        assert f'"PACS asked", "user": "", "target": "list 1, item {item}"' in audit
    assert '"peer": "PACS1"' in audit
    assert "A1" not in audit


def test_none_begins_while_the_disk_has_no_room(site):
    _, retrieving, reader, _ = site()
    retrieving.start(may_begin=False)
    assert states(reader) == ["waiting"] * 3


def test_none_begins_out_of_the_window_and_whoever_follows_is_told(site, closed_window):
    config, retrieving, reader, _ = site(window=closed_window)
    retrieving.start(may_begin=True)
    assert states(reader) == ["waiting"] * 3
    why = Follower(config, reader, 1).follow(to_the_end=False)
    assert why == f"retrieves from main begin between {closed_window} only"


def test_a_pacs_that_cannot_be_reached_is_let_alone_with_all_that_waits_for_it(site):
    config, retrieving, reader, woken = site()
    retrieving.start(may_begin=True)
    assert woken.wait(60)
    retrieving.collect()
    retrieving.start(may_begin=True)
    assert states(reader) == ["waiting"] * 3
    assert [item.tries for item in reader.items(1)] == [0, 0, 0]
    why = Follower(config, reader, 1).follow(to_the_end=False)
    assert why.startswith("cannot reach PACS1 at 127.0.0.1:")
    assert "connection refused; check host and port of [[pacs]]" in why


def test_the_next_begins_only_after_the_pause(site):
    _, retrieving, reader, woken = site(pause_seconds=3600)
    retrieving.start(may_begin=True)
    assert woken.wait(60)
    retrieving.collect()
    retrieving.obey(Request("retrieve_again", job=1))
    retrieving.start(may_begin=True)
    assert states(reader) == ["waiting"] * 3


def test_what_is_stopped_with_the_daemon_waits_again_and_it_was_no_try(site):
    _, retrieving, reader, _ = site(parallel=3)
    retrieving.start(may_begin=True)
    retrieving.stop()
    assert states(reader) == ["waiting"] * 3
    assert [item.tries for item in reader.items(1)] == [0, 0, 0]


def test_a_process_that_is_killed_is_told_in_the_journal_and_leaves_nothing(site):
    config, retrieving, reader, woken = site()
    retrieving.start(may_begin=True)
    (running,) = retrieving._running.values()
    retrieving.obey(Request("retrieve_cancel", job=1))
    assert woken.wait(60)
    retrieving.collect()
    assert states(reader) == ["cancelled"] * 3
    (journal,) = (config.storage.spool / "journal").glob("*.jsonl")
    assert '"started"' in journal.read_text()
    assert running.lane.writer(running.slot) in journal.read_text()
    assert list(config.storage.progress.iterdir()) == []
