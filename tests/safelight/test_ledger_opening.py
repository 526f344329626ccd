"""What the daemon does with a ledger that it cannot use as it is. Real files, real locks.

That reception goes on meanwhile is the supervisor's: receivers never open the ledger.
"""

import sqlite3
import threading

import pytest

from ledger.errors import NewerSchema
from ledger.reader import LedgerReader
from ledger.writer import LedgerWriter
from listener.spool import Spool, SpoolSettings
from safelight.ledger_opening import open_ledger
from safelight.settings import StorageSettings


@pytest.fixture
def storage(tmp_path):
    """A data folder whose spool holds one file, which only the watcher can judge."""
    spool = Spool(SpoolSettings(tmp_path / "spool", free_bytes_min=0))
    folder = spool.instances / "1.2" / "1.2.3"
    folder.mkdir(parents=True)
    (folder / "1.2.3.4.dcm").write_bytes(b"junk")
    return StorageSettings(data=tmp_path)


@pytest.fixture
def told():
    return []


def beside(storage):
    return sorted(path.name for path in storage.data.glob("ledger*"))


def test_an_absent_ledger_is_made_from_the_spool(storage, told, caplog):
    open_ledger(storage, told.append, threading.Event()).close()
    assert "there is no ledger; making it again from the spool" in caplog.text
    assert beside(storage) == ["ledger.sqlite"]


def test_the_first_start_of_all_makes_an_empty_ledger_without_a_word(tmp_path, told, caplog):
    open_ledger(StorageSettings(data=tmp_path), told.append, threading.Event()).close()
    assert caplog.text == ""


def test_a_damaged_ledger_is_set_aside_and_made_again(storage, told, caplog):
    storage.ledger.write_bytes(b"damaged " * 1000)
    open_ledger(storage, told.append, threading.Event()).close()
    assert LedgerReader(storage.ledger).overview().series == 0
    (aside,) = (path for path in storage.data.glob("ledger-*.sqlite"))
    assert aside.read_bytes() == b"damaged " * 1000
    assert f"the earlier one is {aside.name}" in caplog.text


def test_a_ledger_of_a_newer_version_stops_the_start_and_is_left_alone(storage, told):
    LedgerWriter(storage.ledger).close()
    db = sqlite3.connect(storage.ledger)
    db.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
        " VALUES ('safelight', 'm999_from_the_future', '2030')"
    )
    db.commit()
    db.close()
    content = storage.ledger.read_bytes()
    with pytest.raises(NewerSchema, match="newer Safelight"):
        open_ledger(storage, told.append, threading.Event())
    assert storage.ledger.read_bytes() == content
    assert beside(storage) == ["ledger.sqlite"]


def test_a_locked_ledger_is_waited_for(storage, monkeypatch):
    monkeypatch.setattr("safelight.ledger_opening._BUSY_SECONDS", 0.01)
    LedgerWriter(storage.ledger).close()
    other = sqlite3.connect(storage.ledger, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    told = []

    def alive(status):
        told.append(status)
        if len(told) == 2:
            other.close()

    open_ledger(storage, alive, threading.Event()).close()
    assert told == ["waiting: the ledger is locked by another program"] * 2
    assert beside(storage) == ["ledger.sqlite"]


def test_the_wait_for_a_locked_ledger_ends_when_the_daemon_stops(storage, monkeypatch):
    monkeypatch.setattr("safelight.ledger_opening._BUSY_SECONDS", 0.01)
    LedgerWriter(storage.ledger).close()
    other = sqlite3.connect(storage.ledger, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    stop = threading.Event()
    assert open_ledger(storage, lambda _: stop.set(), stop) is None
    other.close()
