"""How far the ledger is behind the spool, by files that wait and by events that nobody read."""

from datetime import UTC, datetime, timedelta

import pytest

from listener.journal import AssociationEvent, JournalReader, JournalWriter
from listener.watcher import Findings
from safelight.lag import Lag


@pytest.fixture
def hand(tmp_path):
    """A clock that a test sets, the lag by it, and a reader of the journal in the same folder."""
    time = [100.0]
    return time, Lag(tmp_path, lambda: time[0]), JournalReader(tmp_path, {})


def look(waiting, offsets):
    return Findings((), (), (), 0, offsets, waiting)


def test_files_count_from_when_the_ledger_had_all_that_was_seen(hand):
    time, lag, _ = hand
    lag.looked(look(0, {}))
    assert lag.seconds() == 0
    lag.looked(look(500, {}))
    time[0] += 8
    lag.looked(look(300, {}))
    assert (lag.waiting_files, lag.seconds()) == (300, 8)
    lag.looked(look(0, {}))
    assert lag.seconds() == 0


def test_an_event_counts_until_the_loop_has_read_it(hand, tmp_path):
    _, lag, reader = hand
    at = (datetime.now(UTC) - timedelta(seconds=90)).isoformat(timespec="milliseconds")
    JournalWriter(tmp_path).write(AssociationEvent("released", at, "a1"))
    assert lag.seconds() == 0  # no look was taken yet: the daemon starts
    lag.looked(look(0, {}))
    assert 90 <= lag.seconds() < 120
    assert [event.event for event in reader.read()] == ["released"]
    lag.looked(look(0, reader.offsets))
    assert lag.seconds() == 0


def test_a_line_that_is_being_written_or_damaged_is_no_lag(hand, tmp_path):
    _, lag, _ = hand
    (tmp_path / "2026-01-01.jsonl").write_bytes(b'\n{"event": "rele')
    lag.looked(look(0, {}))
    assert lag.seconds() == 0
