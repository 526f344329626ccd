"""Backups that the daemon makes by itself: when, how many are kept, what is said of failures."""

import dataclasses
import os
import time
from contextlib import closing

import pytest
from click.testing import CliRunner

from ledger.reader import LedgerReader
from ledger.writer import LedgerWriter
from safelight.backup_state import BackupState, backup_state, note_backup
from safelight.backups import Backups
from safelight.cli import cli
from safelight.page_node import NodeCondition
from safelight.settings import LedgerSettings

HOUR = 3600


@pytest.fixture
def site(config, tmp_path):
    """A site that makes a backup each day and keeps two; it has a ledger."""
    LedgerWriter(config.storage.ledger).close()
    settings = LedgerSettings(tmp_path / "backups", backup_hours=24, backup_keep=2)
    return dataclasses.replace(config, ledger=settings)


@pytest.fixture
def backups(site, wait_until):
    """Function that has the daemon look, some hours later, and returns the files there are."""
    hours = 0.0
    making = Backups(site, lambda: hours * HOUR)

    def look(later=0.0):
        nonlocal hours
        hours += later
        making.step()
        wait_until(lambda: making._running is None or making._running.done(), "the backup")
        making.step()
        folder = site.ledger.backup_folder
        return sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []

    yield look
    making.stop()


def aged(folder, stamp, hours):
    """A backup that was made some hours ago."""
    folder.mkdir(exist_ok=True)
    path = folder / f"safelight-{stamp}.tar"
    path.touch()
    os.utime(path, (time.time(), time.time() - hours * HOUR))
    return path.name


def test_the_first_backup_is_made_at_once_and_the_next_when_its_time_has_come(site, backups):
    (first,) = backups()
    assert backups(later=1) == [first]
    folder = site.ledger.backup_folder
    os.utime(folder / first, (time.time(), time.time() - 25 * HOUR))
    (folder / first).rename(folder / "safelight-20200101T000000Z.tar")
    assert len(backups(later=24)) == 2


def test_a_restart_makes_none_where_the_last_is_young(site, backups):
    young = aged(site.ledger.backup_folder, "20260101T000000Z", hours=23)
    assert backups() == [young]


def test_the_earliest_go_and_other_files_stay(site, backups):
    folder = site.ledger.backup_folder
    oldest = aged(folder, "20250101T000000Z", hours=100)
    older = aged(folder, "20250102T000000Z", hours=50)
    (folder / "by-hand.tar").touch()
    made = backups()
    assert len(made) == 3
    assert {older, "by-hand.tar"} <= set(made)
    assert oldest not in made


def test_what_a_killed_backup_left_is_removed_after_a_day(site, backups):
    folder = site.ledger.backup_folder
    folder.mkdir()
    left = {".safelight-20250101T000000Z.tar.part": 25, ".safelight-20250102T000000Z.tar.part": 23}
    for name, hours in left.items():
        (folder / name).touch()
        os.utime(folder / name, (time.time(), time.time() - hours * HOUR))
    younger, _made = backups()
    assert younger == ".safelight-20250102T000000Z.tar.part"


def test_a_failure_is_told_and_tried_again_in_an_hour(site, backups, caplog):
    folder = site.ledger.backup_folder
    folder.write_text("a file in its place")
    backups()
    state = backup_state(site)
    assert (state.name, state.problem) == ("", "File exists")
    assert "backup: File exists; tried again in an hour" in caplog.text
    folder.unlink()
    assert backups(later=0.5) == []
    (made,) = backups(later=0.6)
    assert backup_state(site).name == made


def test_a_failure_deletes_no_earlier_backup(site, backups):
    folder = site.ledger.backup_folder
    there = [aged(folder, f"2025010{day}T000000Z", hours=200 - day) for day in (1, 2, 3)]
    site.storage.ledger.unlink()
    assert backups() == there
    assert "there is no ledger" in backup_state(site).problem


def test_a_site_that_names_no_folder_has_none_made(config, wait_until):
    making = Backups(config)
    making.step()
    making.stop()
    assert backup_state(config) is None


def test_the_daemon_stops_at_once_while_one_is_made(site, monkeypatch, wait_until):
    monkeypatch.setattr("ledger.copying._STEPS", 1)
    begun = []
    making = Backups(site)
    waits = making._stopped.wait

    def is_set():
        begun.append(1)
        return waits(10)

    monkeypatch.setattr(making._stopped, "is_set", is_set)
    making.step()
    wait_until(lambda: begun, "a backup that is being made")
    making.stop()
    assert sorted(site.ledger.backup_folder.iterdir()) == []
    assert backup_state(site) is None


def test_status_says_that_the_last_one_was_not_made(site, config, tmp_path):
    file = tmp_path / "safelight.toml"
    file.write_text(f'{file.read_text()}[ledger]\nbackup_folder = "backups"\n')
    note_backup(site, BackupState("2026-01-01", problem="No space left on device"))
    told = CliRunner().invoke(cli, ["status", "--config", str(file)])
    assert "backup: NOT made: No space left on device" in told.output
    with closing(LedgerReader(site.storage.ledger)) as reader:
        assert NodeCondition(site)(reader).has_backup_failed
        assert not NodeCondition(config)(reader).has_backup_failed  # where none is asked for
