"""Ledgers of every earlier version, as that version wrote them: `dump_ledger.py` had it do so."""

import inspect
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlite_utils import Migrations

from ledger import upgrading
from ledger.connection import MIGRATIONS, open_for_reading
from ledger.errors import CopyFailed, NotInLedger, OlderSchema, UnreadableLedger
from ledger.reader import LedgerReader
from ledger.schema import migrations
from ledger.upgrading import columns_of
from ledger.verify import verify
from ledger.writer import LedgerWriter

FIXTURES = Path(__file__).with_name("fixtures")
VERSIONS = sorted(MIGRATIONS)
OLDEST = VERSIONS[0]


@pytest.fixture
def add(monkeypatch):
    """Function that adds a migration for the length of a test."""

    def last(name, migration):
        more = Migrations("more")
        more(name=name)(migration)
        every = [*migrations._migrations, *more._migrations]
        monkeypatch.setattr(migrations, "_migrations", every)

    return last


def laid_down(version, path):
    """A ledger as a version left it, and how many rows each of its tables has."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript((FIXTURES / f"{version}.sql").read_text())
        return counted(db)


def counted(db):
    names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for (name,) in names}


def lay_down_files(path, spool):
    """The files of the spool, of the sizes that the ledger has."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, instances.bytes"
            " FROM instances JOIN series ON series.id = series_id"
            " JOIN studies ON studies.id = study_id"
        ).fetchall()
    for study, series, uid, size in rows:
        folder = spool / "instances" / study / series
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{uid}.dcm").write_bytes(bytes(size))


def schema_of(path):
    """Columns with what is said of each, and indexes with their statements."""
    with closing(sqlite3.connect(path)) as db:
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        columns = {
            name: sorted(row[1:] for row in db.execute(f"PRAGMA table_info({name})"))
            for (name,) in tables
        }
        indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'").fetchall()
    ours = {name: sql for name, sql in indexes if not name.startswith("idx__sqlite_migrations")}
    return columns, ours


def test_every_migration_has_a_ledger_of_its_version():
    assert [name for name in VERSIONS if not (FIXTURES / f"{name}.sql").exists()] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ledger_of_every_version_is_upgraded_and_keeps_its_rows(version, path, tmp_path):
    before = laid_down(version, path)
    lay_down_files(path, tmp_path / "spool")
    LedgerWriter(path).close()
    LedgerWriter(tmp_path / "fresh.sqlite").close()
    assert schema_of(path) == schema_of(tmp_path / "fresh.sqlite")
    with closing(sqlite3.connect(path)) as db:
        after = counted(db)
        assert {name: after[name] for name in before} == {
            **before,
            "_sqlite_migrations": len(MIGRATIONS),
        }
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.execute("UPDATE jobs SET state = 'cancelled'")  # which the first version did not allow
    balance = verify(path, tmp_path / "spool")
    assert (balance.losses, balance.acknowledged) == ((), balance.accounted)
    assert (balance.in_series, balance.dropped) == (3, {"Localizers": 1})


@pytest.mark.parametrize("version", VERSIONS)
def test_an_upgraded_ledger_answers_what_the_page_asks(version, path):
    laid_down(version, path)
    LedgerWriter(path).close()
    with closing(LedgerReader(path)) as reader:
        for asked in (reader, reader.studies, reader.rules, reader.retrieves, reader.senders):
            for question in questions(asked):
                with suppress(NotInLedger):
                    question()
        series, localizer = sorted(reader.series(), key=lambda row: row.id)
        assert (series.SeriesDescription, series.instances, series.state) == ("Head", 3, "done")
        assert localizer.state == "dropped"
        assert reader.decision(1).summary == "All -> qc, preview"
        assert "decided: All -> qc, preview" in [row.what for row in reader.history(1)]


def questions(reader):
    """The methods of a reader that need no argument."""
    for name, method in inspect.getmembers(reader, inspect.ismethod):
        parameters = inspect.signature(method).parameters.values()
        needs_none = all(one.default is not one.empty for one in parameters)
        if needs_none and not name.startswith("_") and name != "close":
            yield method


def test_the_ledger_as_it_was_is_kept_beside_it(path):
    before = laid_down(OLDEST, path)
    LedgerWriter(path).close()
    (kept,) = path.parent.glob("ledger-*")
    assert kept.name == "ledger-before-m002_receivers.sqlite"
    assert kept.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(kept)) as db:
        assert counted(db) == before


def test_what_a_killed_upgrade_left_of_its_copy_is_replaced(path):
    laid_down(OLDEST, path)
    (path.parent / "ledger-before-m002_receivers.sqlite.part").write_bytes(b"half a copy")
    LedgerWriter(path).close()
    (kept,) = path.parent.glob("ledger-*")
    assert kept.name == "ledger-before-m002_receivers.sqlite"


def test_a_new_ledger_and_one_of_this_version_are_not_copied(path):
    LedgerWriter(path).close()
    LedgerWriter(path).close()
    assert sorted(path.parent.glob("ledger-*")) == []


def test_nothing_is_upgraded_where_no_copy_can_be_kept(path):
    laid_down(OLDEST, path)
    (path.parent / "ledger-before-m002_receivers.sqlite").mkdir()
    content = path.read_bytes()
    with pytest.raises(CopyFailed, match="no copy of the ledger"):
        LedgerWriter(path)
    with closing(sqlite3.connect(path)) as db:
        assert counted(db)["_sqlite_migrations"] == 1
    assert len(path.read_bytes()) == len(content)


def test_whoever_waits_is_told_that_it_goes_on(path, monkeypatch):
    monkeypatch.setattr("ledger.copying._STEPS", 1)
    monkeypatch.setattr(upgrading, "_STEPS", 1)
    laid_down(OLDEST, path)
    told = []
    LedgerWriter(path, upgrading=lambda: told.append(1)).close()
    assert len(told) > 100


def test_a_reader_finds_no_schema_between_two_versions(path, add):
    laid_down(OLDEST, path)
    seen = []

    def look(_):
        if seen:  # then it is applied to the ledger in memory, with which this one is compared
            return
        with closing(open_for_reading(path, any_schema=True)) as reader:
            seen.append(columns_of(reader))
        with pytest.raises(OlderSchema, match="the daemon upgrades it"):
            LedgerReader(path)

    with closing(sqlite3.connect(path)) as db:
        before = columns_of(db)
    add("m999_looks", look)
    LedgerWriter(path).close()
    assert seen == [before]


DIE = """
import os, signal, sys
from pathlib import Path
from ledger.schema import migrations
from ledger.writer import LedgerWriter

@migrations()
def m999_dies(_):
    os.kill(os.getpid(), signal.SIGKILL)

LedgerWriter(Path(sys.argv[1]))
"""


def test_an_upgrade_that_is_killed_is_made_at_the_next_start(path):
    before = laid_down(OLDEST, path)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", DIE, path], env=environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    with closing(open_for_reading(path, any_schema=True)) as reader:
        assert counted(reader) == before
    LedgerWriter(path).close()
    with closing(LedgerReader(path)) as reader:
        assert reader.overview().instances == 4


def test_one_that_fails_leaves_the_ledger_as_it_was(path, add):
    def fail(connection):
        connection.execute("SELECT no_such_function()")

    before = laid_down(OLDEST, path)
    add("m999_fails", fail)
    with pytest.raises(sqlite3.OperationalError, match="no_such_function"):
        LedgerWriter(path)
    with closing(sqlite3.connect(path)) as db:
        assert counted(db) == before


def test_a_ledger_that_its_migrations_do_not_make_is_told_from_a_good_one(path):
    laid_down("between_m003_and_m004", path)  # its m003 was not yet what it is now
    with pytest.raises(UnreadableLedger, match="it has no deletions"):
        LedgerWriter(path)
