"""A backup while the loop runs, and what a restore brings back. Real spool, workers and ledgers."""

import io
import json
import os
import sqlite3
import tarfile
from contextlib import closing

import pytest
from click.testing import CliRunner

from ledger.errors import LedgerError
from ledger.reader import LedgerReader
from ledger.session import Session
from ledger.verify import verify
from safelight.backup import make_backup
from safelight.cli import cli
from safelight.data_lock import lock_data
from safelight.errors import BackupFailed, BadBackup
from safelight.restoring import restore


@pytest.fixture
def ask(config, tmp_path):
    """Function that runs a command of the site."""
    file = tmp_path / "safelight.toml"
    return lambda *words: CliRunner().invoke(cli, [*map(str, words), "--config", str(file)])


@pytest.fixture
def ledger(config):
    """A ledger with one study, which no daemon has open."""
    session = Session(config.storage.ledger)
    session.insert(
        "studies",
        StudyInstanceUID="1.2.3",
        PatientID="P1",
        PatientName="Doe^Jane",
        AccessionNumber="A1",
        StudyDate="20260131",
        StudyDescription="",
        first_seen_at="2026-01-31T10:00:00.000+00:00",
    )
    yield session
    session.close()


def done(count):
    return lambda reader: len(reader.jobs(("done",))) == count


def settled(reader):
    """Whether the second series and both revisions of the first are done."""
    return len(reader.jobs(("done", "superseded"))) == 3 and not reader.jobs(("queued", "running"))


def content(backup):
    with tarfile.open(backup) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def studies(ledger):
    with closing(LedgerReader(ledger)) as reader:
        return reader.overview().studies


def packed(files, target):
    """A tar of these files: name to bytes."""
    with tarfile.open(target, "w") as tar:
        for name, value in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(value)
            tar.addfile(member, io.BytesIO(value))
    return target


def test_a_backup_has_what_cannot_be_made_again_and_says_what_it_has(config, ledger, tmp_path):
    data = config.storage.data
    (data / "deidentify.key").write_text("key")
    (data / "users.json").write_text("{}")
    (data / "audit.log").write_text("line\n")
    (data / "audit-000000000007.log").write_text("seven lines\n")
    (data / "rules").mkdir()
    (data / "rules" / "rules.toml").write_text("# made on the page")
    backup = make_backup(config, tmp_path / "backup.tar")
    files = content(backup)
    manifest = json.loads(files.pop("manifest.json"))
    assert sorted(files) == [
        *("audit-000000000007.log", "audit.log"),
        *("configuration/rules/rules.toml", "configuration/safelight.toml"),
        *("deidentify.key", "ledger.sqlite", "rules/rules.toml", "users.json"),
    ]
    assert {one["name"]: one["bytes"] for one in manifest["files"]} == {
        name: len(value) for name, value in files.items()
    }
    assert files["deidentify.key"] == b"key"
    assert backup.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_a_writer_goes_on_while_a_backup_is_made_and_it_has_one_moment(
    config, ledger, tmp_path, monkeypatch
):
    monkeypatch.setattr("ledger.copying._STEPS", 50)
    ledger.execute("INSERT INTO quarantine VALUES ('0', 'Doe^Jane', '', '')")
    written = []

    def write_meanwhile():
        written.append(f"Later^{len(written)}")
        with ledger.atomic():
            ledger.execute("UPDATE studies SET PatientName = ?", written[-1:])
            ledger.execute("UPDATE quarantine SET reason = ?", written[-1:])
        return False

    backup = make_backup(config, tmp_path / "backup.tar", write_meanwhile)
    (tmp_path / "copy.sqlite").write_bytes(content(backup)["ledger.sqlite"])
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as db:
        ((one, other),) = db.execute("SELECT PatientName, reason FROM studies, quarantine")
    assert one == other
    assert one != written[-1]


def test_what_came_since_the_backup_is_there_again_and_nothing_is_made_twice(
    config, land, run, tmp_path
):
    first = land(2)
    run(done(1))
    backup = make_backup(config, tmp_path / "backup.tar")
    land(3)
    land(3, uid=first)  # one more, which makes its second revision
    run(settled)
    results = config.storage.results
    published = {path: path.stat().st_mtime_ns for path in results.rglob("manifest.json")}
    restore(config, backup)
    with closing(LedgerReader(config.storage.ledger)) as reader:
        assert (reader.overview().series, reader.overview().instances) == (1, 2)
    run(settled)
    with closing(LedgerReader(config.storage.ledger)) as reader:
        assert (reader.overview().series, reader.overview().instances) == (2, 6)
    assert {path: path.stat().st_mtime_ns for path in results.rglob("manifest.json")} == published
    assert verify(config.storage.ledger, config.storage.spool).losses == ()


def test_the_ledger_that_is_replaced_is_kept_and_said(config, ledger, tmp_path, ask):
    ask("ledger", "backup", tmp_path / "backup.tar")
    ledger.execute("UPDATE studies SET PatientName = 'Later'")
    ledger.close()
    told = ask("ledger", "restore", tmp_path / "backup.tar")
    (kept,) = config.storage.data.glob("ledger-*.sqlite")
    assert told.exit_code == 0, told.output
    assert f"the ledger before is kept as {kept.name}" in told.output
    assert "then run: safelight verify" in told.output
    with closing(sqlite3.connect(kept)) as db:
        assert db.execute("SELECT PatientName FROM studies").fetchall() == [("Later",)]
    assert studies(config.storage.ledger) == 1


def test_what_a_site_has_no_longer_is_put_back_and_what_it_has_stays(config, ledger, tmp_path, ask):
    data = config.storage.data
    for name, text in (("deidentify.key", "key"), ("users.json", "before"), ("audit.log", "a\n")):
        (data / name).write_text(text)
    (data / "rules").mkdir()
    (data / "rules" / "rules.toml").write_text("# made on the page")
    backup = make_backup(config, tmp_path / "backup.tar")
    ledger.close()
    (data / "deidentify.key").unlink()
    (data / "rules" / "rules.toml").unlink()
    (data / "rules").rmdir()
    (data / "users.json").write_text("since")
    told = ask("ledger", "restore", backup).output
    assert "put back: deidentify.key\nput back: rules/rules.toml\n" in told
    assert "NOT put back, another one is here: users.json" in told
    assert (data / "deidentify.key").read_text() == "key"
    assert (data / "deidentify.key").stat().st_mode & 0o777 == 0o600
    assert (data / "rules" / "rules.toml").read_text() == "# made on the page"
    assert (data / "users.json").read_text() == "since"


def test_a_lost_data_folder_is_begun_again_from_a_backup(config, ledger, tmp_path):
    backup = make_backup(config, tmp_path / "backup.tar")
    ledger.close()
    config.storage.data.rename(tmp_path / "lost")
    config.storage.data.mkdir()
    restored = restore(config, backup)
    assert restored.set_aside is None
    assert studies(config.storage.ledger) == 1


def test_nothing_is_restored_while_the_daemon_runs(config, ledger, tmp_path, ask):
    backup = make_backup(config, tmp_path / "backup.tar")
    lock = lock_data(config.storage.data)
    told = ask("ledger", "restore", backup)
    os.close(lock)
    assert told.exit_code == 1
    assert sorted(config.storage.data.glob("ledger-*")) == []


@pytest.mark.parametrize("place", [0, 600, 5000])
def test_a_damaged_backup_is_refused_and_changes_nothing(config, ledger, tmp_path, place):
    backup = make_backup(config, tmp_path / "backup.tar")
    bad = bytearray(backup.read_bytes())
    bad[place] ^= 0xFF
    backup.write_bytes(bad)
    before = sorted(path.name for path in config.storage.data.iterdir())
    with pytest.raises(BadBackup, match=r"backup\.tar is"):
        restore(config, backup)
    assert sorted(path.name for path in config.storage.data.iterdir()) == before


def test_a_backup_that_was_cut_off_is_refused(config, ledger, tmp_path):
    backup = make_backup(config, tmp_path / "backup.tar")
    backup.write_bytes(backup.read_bytes()[:20_000])
    with pytest.raises(BadBackup, match="cut off"):
        restore(config, backup)


def test_what_is_no_backup_is_told(config, tmp_path):
    (tmp_path / "other.tar").write_bytes(b"something else" * 100)
    with pytest.raises(BadBackup, match="is no backup"):
        restore(config, tmp_path / "other.tar")


def test_a_backup_of_a_newer_version_is_refused(config, ledger, tmp_path):
    ledger.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
        " VALUES ('safelight', 'm999_from_the_future', '2030')"
    )
    with pytest.raises(LedgerError, match="newer Safelight"):
        make_backup(config, tmp_path / "backup.tar")


def test_a_file_that_does_not_belong_into_a_backup_is_refused(config, ledger, tmp_path):
    backup = make_backup(config, tmp_path / "backup.tar")
    manifest = json.loads(content(backup)["manifest.json"])
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    manifest["files"].append({"name": "rules/../../passwd", "bytes": 0, "sha256": empty})
    files = {"rules/../../passwd": b"", "manifest.json": json.dumps(manifest).encode()}
    made = packed(content(backup) | files, tmp_path / "made.tar")
    with pytest.raises(BadBackup, match="does not belong there"):
        restore(config, made)
    assert sorted(config.storage.data.glob("ledger-*")) == []


def test_a_backup_is_never_written_over(config, ledger, tmp_path):
    backup = make_backup(config, tmp_path / "backup.tar")
    with pytest.raises(BackupFailed, match="is there already"):
        make_backup(config, backup)


def test_a_backup_that_cannot_be_written_leaves_nothing(config, ledger, tmp_path):
    with pytest.raises(LedgerError, match="No such file or directory"):
        make_backup(config, tmp_path / "nowhere" / "backup.tar")


def test_a_backup_that_is_given_up_leaves_nothing(config, ledger, tmp_path, monkeypatch):
    monkeypatch.setattr("ledger.copying._STEPS", 1)
    with pytest.raises(LedgerError, match="interrupted"):
        make_backup(config, tmp_path / "backup.tar", lambda: True)
    assert sorted(path.name for path in tmp_path.glob("*backup*")) == []
