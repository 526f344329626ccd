"""What the commands on jobs say, to mistakes above all, with a ledger and without a daemon."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ledger.records import NewJob
from ledger.writer import LedgerWriter
from listener.header import Header
from listener.identity import Identity
from listener.part10 import Origin
from listener.series import Arrival, Closure
from listener.spool import SeriesKey
from listener.watcher import Findings
from rules.model import Decision, Step
from safelight import job_commands
from safelight.cli import cli
from safelight.data_lock import lock_data
from safelight.errors import NotAnswered
from safelight.requests import Request, Requests


@pytest.fixture
def site(tmp_path):
    """A data folder with two jobs: 1 is dead, 2 is queued."""
    (tmp_path / "safelight.toml").write_text('[storage]\ndata = "data"\n')
    (tmp_path / "data" / "requests").mkdir(parents=True)
    key = SeriesKey("1.2", "1.2.3")
    header = Header(Identity(*key, "1.2.3.1", "1.2"), "1.2", Origin("A", "B", "a"), {})
    arrival = Arrival(key, header, tmp_path / "1.dcm", 1, "ff")
    with LedgerWriter(tmp_path / "data" / "ledger.sqlite") as ledger:
        ledger.intake.record(Findings((), (arrival,), (), 0, {}))
        closed = ledger.work.close_series(Closure(key, "quiet", "quiet"))
        jobs = [NewJob(name, name, (Step("qc", {}),)) for name in ("Poison", "Usual")]
        ledger.work.record_decision(closed, Decision("process", "", (), ()), jobs)
        (poison,) = ledger.jobs.claim(1)
        ledger.jobs.bury(poison, "the worker ended by SIGSEGV")
    return tmp_path


@pytest.fixture
def run(site):
    """Function that runs a command on that site."""

    def command(*arguments):
        return CliRunner().invoke(cli, [*arguments, "--config", str(site / "safelight.toml")])

    return command


def test_jobs_are_listed_with_their_numbers_and_why_they_were_given_up(run):
    listed = run("jobs", "--dead").output
    assert "Poison" in listed
    assert "SIGSEGV" in listed
    assert "Usual" not in listed
    assert {job["rule"] for job in json.loads(run("jobs", "--json").output)} == {"Poison", "Usual"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("jobs", "resend", "2"), "job 2 is queued; it cannot be sent again"),
        (("pause", "convrt"), "no processor is called 'convrt'; there are convert, qc"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_asked_of_the_daemon(run, site, arguments, problem):
    done = run(*arguments)
    assert (done.exit_code, problem in done.output) == (2, True)
    assert list((site / "data" / "requests").iterdir()) == []


def test_a_job_that_is_not_there_is_an_error(run):
    assert str(run("jobs", "cancel", "99").exception) == "no job 99"


def test_what_no_daemon_has_done_yet_is_an_error_and_stays_asked(run, site, monkeypatch):
    monkeypatch.setattr(job_commands, "_NOBODY_SECONDS", 0.0)
    done = run("jobs", "resend", "1")
    assert isinstance(done.exception, NotAnswered)
    assert "once `safelight serve` runs" in str(done.exception)
    asked = Requests(site / "data" / "requests").pending()
    assert [request for _, request in asked] == [Request("resend", job=1)]


def test_a_busy_daemon_is_told_from_none(run, site, monkeypatch):
    monkeypatch.setattr(job_commands, "_NOBODY_SECONDS", 0.0)
    monkeypatch.setattr(job_commands, "_ANSWER_SECONDS", 0.3)
    lock = lock_data(site / "data")
    try:
        done = run("jobs", "resend", "1")
    finally:
        os.close(lock)
    assert isinstance(done.exception, NotAnswered)
    assert "the daemon is busy" in str(done.exception)


def test_without_the_daemons_folder_the_remedy_is_told(run, site):
    (site / "data" / "requests").rmdir()
    done = run("pause")
    assert isinstance(done.exception, NotAnswered)
    assert "has the daemon run with this data folder?" in str(done.exception)


def test_commands_that_read_no_dicom_do_without_its_libraries(tmp_path):
    """They would take most of the time of a command that people wait for."""
    program = (
        "import sys\nfrom safelight.cli import cli\n"
        "for arguments in (['status'], ['jobs'], ['retrieves'], ['retrieve', 'A1']):\n"
        "    try:\n        cli([*arguments, '--config', sys.argv[1]], standalone_mode=False)\n"
        "    except Exception: pass\n"
        "    assert 'pydicom' not in sys.modules, arguments\n"
    )
    config = tmp_path / "safelight.toml"
    config.write_text('[[pacs]]\nname = "p"\nae_title = "P"\nhost = "127.0.0.1"\nport = 1\n')
    done = subprocess.run(
        [sys.executable, "-c", program, str(config)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
