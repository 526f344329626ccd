"""The commands about rules, on a spool and a ledger of a daemon that is not running."""

import pytest
from click import UsageError

from rules.errors import RuleError
from safelight.cli import cli
from safelight.rule_trials import InstanceUnreadable, NoSuchSeries

RULES = """
[[rule]]
name = "No CT"
match = { Modality = "CT" }
then = { drop = "not wanted" }

[[rule]]
name = "Short echo"
match = { EchoTime = { max = 30, if_absent = false }, instances = { min = 1 } }
run = { convert = {} }

[[rule]]
name = "Check"
run = { qc = {}, preview = { when = { Low_quality = 0 } } }
deliver = { to = "x/{PatientID}_{SeriesNumber:03d}" }
priority = 3
window = "00:00-23:59"

[[rule]]
name = "Off"
enabled = false
then = { drop = "never" }
"""


@pytest.fixture
def safelight(site, capsys):
    """Function that runs a command on the site and returns what it printed."""

    def run(*arguments):
        cli([*arguments, "--config", str(site.folder / "safelight.toml")], standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.fixture
def decided(site):
    """The site with three series that were decided: an MR twice, and a CT."""
    site.write_rules(RULES)
    site.start()
    site.take(series="1.1", SeriesDescription="t1")
    site.take(series="1.2", EchoTime=10)
    site.take(series="1.3", Modality="CT")
    return site


def test_check_says_what_each_rule_does(site, safelight):
    site.write_rules(RULES)
    assert safelight("rules", "check").splitlines() == [
        "No CT: drop: not wanted",
        "Short echo: convert",
        "Check: qc, preview; to x/{PatientID}_{SeriesNumber:03d}; priority 3; between 00:00-23:59",
        "Off: drop: never  (not enabled)",
        f"{site.rules}: no errors found",
    ]


def test_check_of_wrong_rules_names_file_rule_and_key(site, safelight):
    site.write_rules(RULES.replace("EchoTime", "EchoTimes"))
    with pytest.raises(RuleError, match=r'^rules.toml: rule "Short echo": match.EchoTimes: '):
        safelight("rules", "check")


def test_show_prints_rules_that_are_good_rules(site, safelight):
    shown = safelight("rules", "show")
    assert shown == site.rules.read_text()


@pytest.mark.parametrize("target", ["1", "1.1"])
def test_explain_says_of_a_series_each_condition_its_value_and_verdict(decided, safelight, target):
    assert safelight("rules", "explain", target).splitlines() == [
        'series 1: 5 "t1"',
        "no      No CT",
        '    no      Modality = MR: is "CT"',
        "no      Short echo",
        "    no      EchoTime is absent",
        "    yes     instances = 1: at least 1",
        "YES     Check",
        "YES     Off (not enabled)",
        "-> process: Check -> qc, preview",
        "   Check -> x/0042_005",
    ]


def test_explain_shows_rules_that_were_not_asked_too(decided, safelight):
    lines = safelight("rules", "explain", "1.3").splitlines()
    assert lines[-1] == "-> drop: No CT: not wanted"
    assert "YES     Check (not asked)" in lines


def test_explain_takes_a_file_and_says_what_a_file_cannot_tell(decided, safelight):
    decided.rules.write_text(
        '[[rule]]\nname = "Sure"\nmatch = { grade = "released" }\nrun = { qc = {} }'
    )
    (path,) = decided.spool.instances.glob("*/1.2/*.dcm")
    told = safelight("rules", "explain", str(path))
    assert "as if it were all of its series and study" in told
    assert "    unknown grade is absent" in told


def test_explain_of_what_is_not_there_says_so(decided, safelight):
    with pytest.raises(NoSuchSeries, match=r"no file and no series in the ledger: 9\.9"):
        safelight("rules", "explain", "9.9")


def test_explain_names_the_file_or_series_that_it_cannot_read(decided, safelight):
    (decided.folder / "noise.dcm").write_bytes(b"noise")
    with pytest.raises(InstanceUnreadable, match=r"noise\.dcm: InvalidDicomError while reading"):
        safelight("rules", "explain", str(decided.folder / "noise.dcm"))
    for path in decided.spool.instances.glob("*/1.2/*.dcm"):
        path.unlink()
    with pytest.raises(InstanceUnreadable, match="series 2: its first instance: No such file"):
        safelight("rules", "explain", "2")


def test_explain_of_a_series_that_is_arriving_says_so(decided, safelight):
    decided.receive(series="1.4")
    with pytest.raises(NoSuchSeries, match="series 4 has not been closed yet"):
        safelight("rules", "explain", "4")


def replay(safelight, site, draft, *more):
    path = site.folder / "draft.toml"
    path.write_text(draft)
    return safelight("rules", "replay", "--rules", str(path), *more).splitlines()


def test_replay_of_the_rules_in_force_changes_nothing(decided, safelight):
    lines = replay(safelight, decided, RULES)
    assert lines[0].startswith("3 series were closed since ")
    assert lines[-1] == "     3  unchanged"
    assert all(line.startswith("     0  ") for line in lines[1:-1])


def test_replay_counts_first_what_a_draft_would_have_dropped(decided, safelight):
    draft = RULES.replace('Modality = "CT"', 'Modality = "MR", EchoTime = { present = true }')
    lines = replay(safelight, decided, draft)
    assert lines[1:3] == [
        "     1  would have been dropped",
        "         1  No CT: not wanted: series 2",
    ]
    processed = lines.index("     1  would have been processed and were not")
    assert lines[processed + 1] == "         1  Check -> qc, preview: series 3"
    assert lines[-1] == "     1  unchanged"


def test_replay_tells_series_that_would_be_held_and_others_done_differently(decided, safelight):
    held = replay(safelight, decided, RULES.replace(", if_absent = false", ""))
    assert "     1  would have been held" in held
    changed = replay(safelight, decided, RULES.replace("qc = {}, preview", "qc = {}, convert"))
    assert any(line.startswith("     2  would have come to the same") for line in changed)


def test_replay_says_what_cannot_be_told_any_more(decided, safelight):
    for path in decided.spool.instances.glob("*/1.2/*.dcm"):
        path.unlink()
    lines = replay(safelight, decided, RULES)
    assert "     1  cannot be told: their first instance is gone or unreadable" in lines


def test_replay_goes_back_as_far_as_it_is_told(decided, safelight):
    assert replay(safelight, decided, RULES, "--since", "0h")[0].startswith("0 series")
    with pytest.raises(UsageError, match="--since soon: expected hours, days or weeks"):
        replay(safelight, decided, RULES, "--since", "soon")


def test_status_says_which_rules_are_in_force_and_why_others_are_not(decided, safelight):
    assert "rules: 3 in force since" in safelight("status")
    decided.write_rules("broken")
    decided.deciding.reload()
    told = safelight("status")
    assert "rules: 3 in force since" in told
    assert "; NOT taken at" in told
    assert 'rules.toml: rule "(file)": TOML:' in told
