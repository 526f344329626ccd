"""What the daemon tells the page of itself: configuration without secrets, log, what is held up."""

import logging
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.reader import LedgerReader
from ledger.writer import LedgerWriter
from listener.settings import AcceptRule
from processor.cluster.engine import Cluster
from processor.cluster.settings import ProcessingSettings
from query.settings import PacsSettings
from safelight.config import Config
from safelight.log_files import keep_log, latest_lines
from safelight.page_node import NodeCondition, about, network_of
from safelight.settings import StorageSettings

SECRETS = ("passcode-of-ct", "password-of-pacs")
ACCEPT = AcceptRule("CT1", ("10.1.2.0/24",), username="ct", passcode=SECRETS[0], silent_hours=12.0)
PACS = PacsSettings("main", "PACS1", "10.1.2.3", 104, url="https://x/", password=SECRETS[1])


@pytest.fixture
def config(tmp_path):
    config = Config(pacs=(PACS,), storage=StorageSettings(tmp_path))
    return replace(config, dicom=replace(config.dicom, accept=(ACCEPT,)))


def test_the_configuration_is_shown_as_toml_without_secrets(config, tmp_path):
    text = about(config).configuration
    shown = tomllib.loads(text)
    assert shown["dicom"]["accept"][0]["passcode"] == "(hidden)"
    assert shown["pacs"][0]["password"] == "(hidden)"
    assert shown["pacs"][0]["ae_title"] == "PACS1"
    assert shown["storage"]["data"] == str(tmp_path)
    assert not any(secret in text for secret in SECRETS)


def test_versions_name_what_an_error_report_needs(config):
    names = dict(about(config).versions)
    assert {"Safelight", "Python", "SQLite", "pydicom", "dcm2niix"} <= set(names)


def test_the_network_is_that_of_the_configuration(config):
    network = network_of(config)
    assert network.pacs[0].address == "10.1.2.3:104"
    assert network.pacs[0].services == "C-MOVE from it, C-STORE to it"
    assert (network.allowed[0].calling_ae, network.allowed[0].silent_hours) == ("CT1", 12.0)


def test_who_may_be_anybody_cannot_be_missed():
    with pytest.raises(ValueError, match="silent_hours: expected a calling_ae other than"):
        AcceptRule("*", ("10.0.0.0/8",), silent_hours=1.0)


def test_a_full_disk_and_pauses_are_told(config):
    with LedgerWriter(config.storage.ledger) as ledger:
        ledger.pauses.pause("convert")
    storage = replace(config.storage, free_bytes_process=1 << 60)
    reader = LedgerReader(config.storage.ledger)
    condition = NodeCondition(replace(config, storage=storage))(reader)
    reader.close()
    assert condition.held[0] == "RETRIEVES AND JOBS WAIT until there is room"
    assert condition.held[1] == "convert is paused"


def test_a_cluster_that_is_away_is_told(config, wait_until):
    LedgerWriter(config.storage.ledger).close()
    reader = LedgerReader(config.storage.ledger)
    settings = ProcessingSettings(engine="dask", scheduler="tcp://127.0.0.1:1")
    cluster = Cluster(settings, config.storage.data, ())
    condition = NodeCondition(config, cluster)
    assert condition(reader).held == ()
    cluster.start()
    try:
        wait_until(lambda: cluster.trouble, "trouble")
        (held,) = condition(reader).held
        assert held.startswith("the Dask scheduler tcp://127.0.0.1:1 does not answer")
    finally:
        cluster.stop()
        reader.close()


@pytest.fixture
def logs(tmp_path):
    """The folder of logs; handlers are taken away at the end."""
    before = list(logging.getLogger().handlers)
    yield tmp_path / "log"
    for handler in set(logging.getLogger().handlers) - set(before):
        logging.getLogger().removeHandler(handler)
        handler.close()


def test_the_latest_lines_of_all_processes_are_merged_by_time(logs: Path):
    logs.mkdir()
    (logs / "receiver.log").write_text("2026-11-23 10:00:00.001 a\n2026-11-23 10:00:00.003 c\n")
    keep_log(logs, "coordinator")
    logging.getLogger("x").warning("said %d", 7)
    lines = latest_lines(logs, 2)
    assert lines[0] == "2026-11-23 10:00:00.003 c"
    assert lines[1].endswith("WARNING x: said 7")


def test_a_long_log_is_read_from_its_end(logs: Path):
    logs.mkdir()
    (logs / "a.log").write_text("".join(f"2026-11-23 10:00:00 line {n:06}\n" for n in range(9000)))
    lines = latest_lines(logs, 5000)
    assert lines[-1].endswith("008999")
    assert lines[0].startswith("2026-11-23 10:00:00 line ")
    assert latest_lines(logs / "absent", 5) == ()
