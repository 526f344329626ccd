"""What the ledger knows of rules: those in force, those before, and what they matched."""

import pytest

from ledger.errors import NotInLedger
from ledger.reader import LedgerReader
from ledger.rule_reader import RuleLoad
from ledger.writer import LedgerWriter
from rules.texts import RuleText

A, B = RuleText("a.toml", "# A"), RuleText("b.toml", "# B\n")


@pytest.fixture
def loads(tmp_path):
    """The log of rules that were loaded, and a reader."""
    with LedgerWriter(tmp_path / "ledger.sqlite") as ledger:
        reader = LedgerReader(tmp_path / "ledger.sqlite")
        yield ledger.rule_loads, reader.rules
        reader.close()


def test_rules_that_are_read_again_are_no_other_version(loads):
    log, rules = loads
    for texts in ((A,), (A,), (A, B), (A,)):
        log.record(len(texts), texts)
    assert [(one.id, one.rules) for one in rules.versions()] == [(4, 1), (3, 2), (1, 1)]
    assert [one.id for one in rules.versions(limit=1)] == [4]
    assert rules.version(3).text == "# A\n# B\n"
    assert rules.before(3).id == 1
    assert rules.before(1) is None
    for number in (2, 5):
        with pytest.raises(NotInLedger):
            rules.version(number)


def test_refused_rules_leave_those_before_in_force(loads):
    log, rules = loads
    assert rules.in_force() is None
    with pytest.raises(NotInLedger):
        rules.latest_load()
    log.record(1, (A,))
    log.record_failure("wrong")
    assert rules.in_force().texts == (A,)
    assert rules.latest_load() == RuleLoad(2, "wrong")
    assert [one.id for one in rules.versions()] == [1]
