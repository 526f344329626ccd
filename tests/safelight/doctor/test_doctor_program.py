"""Packages of others, codecs that are lost, certificates that end, a ledger that broke."""

import json
import os
import sqlite3
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from pydicom.pixels.decoders import JPEGLSLosslessDecoder

from ledger.writer import LedgerWriter
from safelight import doctor_program
from safelight.backup_state import BackupState, note_backup
from safelight.doctor_program import certificates, codecs, configuration, ledger, packages


@pytest.fixture
def collision(tmp_path):
    """A folder into which pip installed a distribution that has a package `rules`."""
    wheel = tmp_path / "rules-3.5-py3-none-any.whl"
    files = {
        "rules/__init__.py": "",
        "rules-3.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: rules\nVersion: 3.5\n",
        "rules-3.5.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        "rules-3.5.dist-info/RECORD": "rules/__init__.py,,\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True)
    return target


@pytest.fixture
def issued(tmp_path):
    """Function that makes a certificate with its key which ends in so many days; its file."""

    def make(days, name="server.pem"):
        end = datetime.now(UTC) + timedelta(days=days)
        made = trustme.CA().issue_cert("127.0.0.1", not_after=end)
        made.private_key_and_cert_chain_pem.write_to_path(tmp_path / name)
        return tmp_path / name

    return make


def test_a_distribution_with_a_package_of_our_name_is_a_problem(collision, tmp_path):
    run = "import sys; sys.path.append(sys.argv.pop(1)); from safelight.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", run, str(collision), "doctor", "--only", "packages", "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    first, *_ = json.loads(done.stdout)["findings"]
    assert (first["group"], first["level"]) == ("packages", "problem")
    assert first["what"].startswith("rules: the distribution rules has a package of this name")
    assert "-m pip uninstall rules; then install Safelight again" in first["remedy"]


def test_packages_as_they_are_installed_are_well(site):
    assert [one.level for one in packages(site())] == ["ok"]


def test_codecs_and_dcm2niix_are_there(site):
    found = list(codecs(site()))
    assert [one.level for one in found] == ["ok", "ok"]
    assert found[1].what.startswith("dcm2niix v1.")


def test_a_decoder_and_a_program_that_are_lost_are_problems(site, monkeypatch):
    monkeypatch.setattr(doctor_program.dcm2niix, "bin", "/nowhere/dcm2niix")
    for plugin in tuple(JPEGLSLosslessDecoder.available_plugins):
        monkeypatch.delitem(JPEGLSLosslessDecoder._available, plugin)
    decoder, program = codecs(site())
    assert decoder.level == "problem"
    assert decoder.what == "no decoder for JPEG-LS Lossless Image Compression"
    assert (program.level, program.what) == (
        "problem",
        "dcm2niix does not run (FileNotFoundError)",
    )


@pytest.mark.parametrize(
    ("days", "level", "told"),
    [
        (-1, "problem", "page: the certificate has ended"),
        (10.1, "warning", r"in 10 days"),
        (100.1, "ok", r"in 100 days"),
    ],
)
def test_the_end_of_the_pages_certificate_is_told(site, issued, days, level, told):
    pem = issued(days)
    (found,) = certificates(site(f'[web]\ncertificate = "{pem}"\nprivate_key = "{pem}"\n'))
    assert found.level == level
    assert told in found.what


def test_certificates_of_the_dicom_port_and_of_its_authorities_are_told(site, issued, tmp_path):
    pem, other = issued(-1), trustme.CA()
    other.cert_pem.write_to_path(tmp_path / "authorities.pem")
    tls = f'[dicom.tls]\ncertificate = "{pem}"\nprivate_key = "{pem}"\n'
    ours, authority = certificates(site(f'{tls}authorities = "authorities.pem"\n'))
    assert (ours.level, ours.what) == ("problem", "DICOM over TLS: the certificate has ended")
    assert ours.remedy == "put a new one in its place and restart the service"
    assert authority.level == "ok"
    assert "authority 1 of authorities.pem ends on 3000-01-01" in authority.what


def test_a_certificate_that_cannot_be_read_is_a_problem_of_its_own(site, tmp_path):
    toml = '[web]\ncertificate = "none.pem"\nprivate_key = "none.pem"\n'
    (found,) = certificates(site(toml))
    assert found.level == "problem"
    assert f"{tmp_path}/none.pem: no such file or directory" in found.what


def test_rules_that_cannot_be_read_are_a_problem(site, tmp_path):
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "x"\n[rule.run]\nfry = {}\n')
    (found,) = configuration(site('[rules]\nfile = "rules.toml"\n'))
    assert found.level == "problem"
    assert "fry" in found.what
    (found,) = configuration(site())
    assert found.what.endswith("safelight.toml; 1 rule")


def test_a_ledger_that_is_absent_is_well_and_one_that_broke_is_a_problem(site):
    examined = site()
    found, _ = ledger(examined)
    assert found.level == "ok"
    examined.config.storage.ledger.write_bytes(b"not a database, whatever it is called" * 100)
    found, _ = ledger(examined)
    assert found.level == "problem"
    assert "ledger.sqlite is no readable ledger" in found.what
    assert "ledger rebuild" in f"{found.what} {found.remedy}"


@pytest.fixture
def backed_up(site, tmp_path):
    """Function that makes a site whose daemon made its last backup some hours ago."""

    def make(hours):
        made = site('[ledger]\nbackup_folder = "backups"\n')
        LedgerWriter(made.config.storage.ledger).close()
        (tmp_path / "backups").mkdir()
        backup = tmp_path / "backups" / "safelight-20260101T000000Z.tar"
        backup.touch()
        os.utime(backup, (time.time() - hours * 3600, time.time() - hours * 3600))
        return made

    return make


@pytest.mark.parametrize(("hours", "level"), [(47, "ok"), (49, "warning")])
def test_a_backup_that_is_overdue_is_a_warning(backed_up, hours, level):
    _, backups = ledger(backed_up(hours))
    assert (backups.level, backups.what[:15]) == (level, "the last backup")


def test_a_backup_that_failed_is_a_problem_with_its_reason(backed_up):
    made = backed_up(1)
    note_backup(made.config, BackupState("2026-01-01", problem="No space left on device"))
    _, backups = ledger(made)
    assert (backups.level, "No space left" in backups.what) == ("problem", True)


def test_a_folder_without_a_backup_is_a_warning(site):
    made = site('[ledger]\nbackup_folder = "backups"\n')
    LedgerWriter(made.config.storage.ledger).close()
    _, backups = ledger(made)
    assert (backups.level, "there is no backup" in backups.what) == ("warning", True)


def test_a_ledger_that_waits_for_its_upgrade_is_a_warning(site):
    examined = site()
    LedgerWriter(examined.config.storage.ledger).close()
    with closing(sqlite3.connect(examined.config.storage.ledger)) as db, db:
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm011_list_rules'")
    found, _ = ledger(examined)
    assert (found.level, found.remedy) == ("warning", "start the daemon")
