"""What differs between two configurations, in the log and the ledger, and never a secret.

Not covered: where the page shows it, which is tests/web_status/test_system.py.
"""

import logging
from dataclasses import replace

import pytest

from ledger.reader import LedgerReader
from ledger.writer import LedgerWriter
from listener.settings import AcceptRule, GroupingSettings
from query.settings import PacsSettings
from safelight.config import Config
from safelight.config_changes import note_configuration
from safelight.rules_file import rule_changes, rules_of
from safelight.settings import StorageSettings

SECRETS = ("first-password", "second-password")
PACS = PacsSettings("main", "PACS1", "10.1.2.3", 104, username="u", password=SECRETS[0])
ACCEPT = AcceptRule("CT1", ("10.1.2.0/24",))
RULE = '[[rule]]\nname = "{}"\n[rule.run]\nqc = {{}}\n{}\n'


@pytest.fixture
def config(tmp_path):
    config = Config(pacs=(PACS,), storage=StorageSettings(tmp_path))
    return replace(config, dicom=replace(config.dicom, accept=(ACCEPT,)))


@pytest.fixture
def noted(config):
    """Function that has a configuration in force; returns what it changed."""

    def note(configuration):
        with LedgerWriter(config.storage.ledger) as ledger:
            return note_configuration(configuration, ledger.configurations)

    return note


@pytest.fixture
def recorded(config):
    """Function that returns the changes that the ledger has, the latest first."""

    def read():
        reader = LedgerReader(config.storage.ledger)
        try:
            return [row.changes for row in reader.configurations.latest()]
        finally:
            reader.close()

    return read


def test_each_key_that_differs_is_logged_and_recorded(config, noted, recorded, caplog):
    caplog.set_level(logging.INFO)
    assert noted(config) == ()
    series = GroupingSettings(quiet_seconds=30, quiet_seconds_by_modality={"MR": 60})
    pacs = replace(PACS, port=11112)
    changes = noted(replace(config, series=series, pacs=(pacs,)))
    assert set(changes) == {
        "[pacs.main] port: 104 -> 11112",
        "[series] quiet_seconds: 10.0 -> 30",
        "[series] quiet_seconds_by_modality: not set -> {'MR': 60}",
    }
    assert recorded() == [changes]
    assert "configuration: [pacs.main] port: 104 -> 11112" in caplog.messages


def test_the_same_configuration_is_recorded_once(config, noted, recorded):
    noted(config)
    before = config.storage.ledger.stat().st_size
    assert (noted(config), recorded()) == ((), [])
    assert config.storage.ledger.stat().st_size == before


def test_a_secret_that_changes_is_named_and_stays_hidden(config, noted, caplog):
    caplog.set_level(logging.INFO)
    noted(config)
    other = replace(config, pacs=(replace(PACS, password=SECRETS[1]),))
    none = replace(config, pacs=(replace(PACS, username="", password=""),))
    assert noted(other) == ("[pacs.main] password: (hidden), changed",)
    assert noted(other) == ()
    assert noted(none) == (
        "[pacs.main] password: (hidden) -> empty",
        "[pacs.main] username: u -> empty",
    )
    kept = b"".join(path.read_bytes() for path in config.storage.data.glob("ledger.sqlite*"))
    for secret in SECRETS:
        assert secret.encode() not in kept
        assert secret not in caplog.text


def test_tables_are_told_by_their_names_wherever_they_stand(config, noted):
    noted(config)
    first = AcceptRule("CT0", ("10.1.3.0/24",))
    second = PacsSettings("other", "PACS2", "10.1.2.4", 104)
    accept = replace(config.dicom, accept=(first, ACCEPT))
    assert noted(replace(config, pacs=(second, PACS), dicom=accept)) == (
        "[dicom.accept.CT0]: new",
        "[pacs.other]: new",
    )
    assert noted(config) == ("[dicom.accept.CT0]: gone", "[pacs.other]: gone")


def test_the_first_and_the_last_table_of_a_kind_are_told_like_any_other(config, noted):
    none = replace(config, pacs=(), dicom=replace(config.dicom, accept=()))
    noted(none)
    assert noted(config) == ("[dicom.accept.CT1]: new", "[pacs.main]: new")
    assert noted(none) == ("[dicom.accept.CT1]: gone", "[pacs.main]: gone")
    web = replace(none.web, hosts=("a.example",))
    assert noted(replace(none, web=web)) == ("[web] hosts: not set -> ['a.example']",)


def test_rules_that_are_new_gone_or_changed_are_named():
    def rules(*texts):
        return rules_of([("rules.toml", "".join(texts))])

    before = rules(RULE.format("A", ""), RULE.format("B", ""), RULE.format("C", ""))
    after = rules(RULE.format("C", ""), RULE.format("B", "preview = {}"), RULE.format("D", ""))
    assert rule_changes(before, after) == "new: 'D'; gone: 'A'; changed: 'B'"
    assert rule_changes(before, before) == ""
