"""The command ``nodes`` over ledgers on this machine. Daemons: tests/acceptance."""

import json

import pytest
from click.testing import CliRunner

from ledger.writer import LedgerWriter
from listener.header import Header
from listener.identity import Identity
from listener.part10 import Origin
from listener.series import Arrival
from listener.spool import SeriesKey
from listener.watcher import Findings
from safelight.cli import cli

KEY = SeriesKey("1.2", "1.2.3")


@pytest.fixture
def site(tmp_path):
    """A site of two data folders, `a` and `b`, of which `a` is that of the configuration."""
    (tmp_path / "safelight.toml").write_text(
        '[storage]\ndata = "a"\n[[nodes]]\nname = "b"\ndata = "b"\n'
    )
    return tmp_path


@pytest.fixture
def arrive(site):
    """Function that has instances of one series arrive at a node, by their numbers."""

    def arrive(node, *numbers):
        (site / node).mkdir(exist_ok=True)
        elements = {"PatientName": ("DOE^JANE",), "Modality": ("CT",)}
        arrivals = []
        for number in numbers:
            identity = Identity(*KEY, f"1.2.3.{number}", "1.2")
            header = Header(identity, "1.2", Origin("A", "B", "a"), elements)
            arrivals.append(Arrival(KEY, header, site / f"{number}.dcm", 1, "ff"))
        with LedgerWriter(site / node / "ledger.sqlite") as ledger:
            ledger.intake.record(Findings((), tuple(arrivals), (), 0, {}))

    return arrive


@pytest.fixture
def run(site):
    """Function that runs the command; it returns the exit code and what was printed."""

    def command(*arguments):
        done = CliRunner().invoke(
            cli, ["nodes", *arguments, "--config", str(site / "safelight.toml")]
        )
        return done.exit_code, done.output

    return command


def test_a_divided_study_is_named_by_its_uid_and_ends_with_1(run, arrive):
    arrive("a", 1, 2, 3)
    arrive("b", 3, 4)
    code, told = run("--json")
    document = json.loads(told)
    assert code == 1
    assert document["divided"] == [
        {
            "StudyInstanceUID": "1.2",
            "parts": {
                "here": {"series": 1, "instances": 3},
                "b": {"series": 1, "instances": 2},
            },
            "series": {"1.2.3": {"here": 3, "b": 2, "together": 4}},
        }
    ]
    assert [node["name"] for node in document["nodes"]] == ["here", "b"]
    assert document["nodes"][1]["state"]["overview"]["instances"] == 2
    code, told = run()
    assert code == 1
    assert "study 1.2 is DIVIDED: " in told
    assert "1 series of it in parts" in told
    assert "safelight send 1.2 --to" in told


def test_what_one_node_has_whole_is_no_fault(run, arrive):
    arrive("a", 1, 2, 3)
    arrive("b", 3)
    code, told = run()
    assert (code, "DIVIDED" in told) == (0, False)
    assert "no alarms" in told


def test_a_node_that_cannot_be_read_is_told_with_the_remedy_and_ends_with_1(run, arrive):
    arrive("a", 1)
    code, told = run()
    assert code == 1
    assert "b: there is no ledger in its data folder. Correct [[nodes]] data" in told
