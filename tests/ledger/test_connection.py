"""Opening the ledger: good, absent, damaged, newer."""

import sqlite3

import pytest

from ledger.connection import MIGRATIONS
from ledger.errors import LedgerLocked, NewerSchema, NoLedger, NotInLedger, UnreadableLedger
from ledger.reader import LedgerReader
from ledger.session import open_for_writing
from ledger.writer import LedgerWriter


def test_commits_are_durable(path):
    db = open_for_writing(path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    db.close()


def test_opening_again_applies_no_migration_twice(path):
    LedgerWriter(path).close()
    LedgerWriter(path).close()
    rows = sqlite3.connect(path).execute("SELECT name FROM _sqlite_migrations").fetchall()
    assert sorted(rows) == sorted((name,) for name in MIGRATIONS)


def test_a_ledger_of_a_newer_version_is_refused_and_left_as_it_is(path):
    LedgerWriter(path).close()
    with sqlite3.connect(path) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('safelight', 'm999_from_the_future', '2030')"
        )
    with pytest.raises(NewerSchema, match="m999_from_the_future"):
        LedgerWriter(path)


@pytest.mark.parametrize(
    "content", [b"this is not SQLite " * 100, b"SQLite format 3\0" + b"x" * 5000]
)
def test_a_damaged_ledger_is_an_error_that_names_the_file(path, content):
    path.write_bytes(content)
    with pytest.raises(UnreadableLedger, match=r"ledger\.sqlite"):
        LedgerWriter(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("open_", [LedgerWriter, LedgerReader])
def test_a_newer_ledger_is_refused_by_readers_as_by_the_writer(path, open_):
    LedgerWriter(path).close()
    with sqlite3.connect(path) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('safelight', 'm999_from_the_future', '2030')"
        )
    db.close()
    before = path.read_bytes()
    with pytest.raises(NewerSchema, match="install that version again"):
        open_(path)
    assert path.read_bytes() == before


def test_a_damaged_ledger_is_an_error_for_readers_that_says_what_helps(path):
    path.write_bytes(b"this is not SQLite " * 100)
    with pytest.raises(UnreadableLedger, match="safelight ledger rebuild"):
        LedgerReader(path)


def test_damage_inside_the_file_is_found_when_it_is_opened(path, ledger, record, arrival):
    record(*(arrival(str(number)) for number in range(2000)))
    ledger.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(UnreadableLedger, match=r"ledger\.sqlite"):
        LedgerWriter(path)


def test_a_locked_ledger_is_told_from_a_damaged_one(path):
    LedgerWriter(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerLocked, match="locked by another program"):
        open_for_writing(path, busy_seconds=0.01)
    other.close()
    open_for_writing(path).close()


def test_reading_where_no_daemon_has_run_says_so(path):
    with pytest.raises(NoLedger, match="has the daemon run"):
        LedgerReader(path)
    assert not path.exists()


def test_a_reader_cannot_write(ledger, path):
    reader = LedgerReader(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM series")


def test_a_reader_sees_that_something_was_written_and_never_blocks_the_writer(
    ledger, record, arrival, path
):
    reader = LedgerReader(path)
    before = reader.version()
    assert reader.version() == before
    cursor = reader._connection.execute("SELECT * FROM studies")
    record(arrival("1"))
    assert reader.version() != before
    cursor.close()


def test_an_empty_ledger_can_be_read(ledger, path):
    reader = LedgerReader(path)
    assert reader.series() == ()
    assert reader.overview().series == 0
    assert reader.decision(1) is None
    for ask in (reader.one_series, reader.study_series, reader.output):
        with pytest.raises(NotInLedger):
            ask(1)


def test_a_decision_is_read_with_its_reasons(record, arrival, close, decide, path):
    record(arrival("1"))
    decide(close(), "k1")
    decision = LedgerReader(path).decision(1)
    assert (decision.outcome, decision.revision) == ("process", 1)
    assert decision.reasons == [
        {
            "rule": "All",
            "verdict": "yes",
            "conditions": [{"text": "Modality = CT", "verdict": "yes"}],
        }
    ]
