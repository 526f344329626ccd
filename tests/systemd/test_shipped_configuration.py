"""The configuration that is installed into /etc: deny by default, and its comments are true.

A line that begins with "#" and a key or a table shows a default. Not covered: that the prose
between them is right.
"""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from listener.settings import AcceptRule, TlsSettings
from query.settings import PacsSettings
from safelight.cli import cli
from safelight.config import Config, load_config
from safelight.notify_settings import NotifySettings
from web_status.node_settings import NodeSettings

SHIPPED = Path(__file__).parents[2] / "systemd" / "safelight.toml"
UNCOMMENTED = re.sub(r"^#(?=[a-z_]+ = |\[)", "", SHIPPED.read_text(), flags=re.MULTILINE)


@pytest.fixture
def load(tmp_path):
    """Function that loads a configuration given as text."""

    def load(text: str) -> Config:
        file = tmp_path / "safelight.toml"
        file.write_text(text)
        return load_config(file, {})

    return load


def test_as_shipped_nobody_may_send():
    assert load_config(SHIPPED, {}).dicom.accept == ()


def test_as_shipped_only_senders_and_data_differ_from_the_defaults():
    shipped, default = load_config(SHIPPED, {}), Config()
    dicom = dataclasses.replace(shipped.dicom, accept=default.dicom.accept)
    storage = dataclasses.replace(shipped.storage, data=default.storage.data)
    assert shipped.storage.data == Path("/var/lib/safelight")
    assert shipped.deidentify.key_file == shipped.storage.data / "deidentify.key"
    changed = dataclasses.replace(shipped, dicom=dicom, storage=storage)
    assert dataclasses.replace(changed, deidentify=default.deidentify) == default


def test_command_line_finds_no_error_in_it(capsys):
    cli(["config", "check", "--config", str(SHIPPED)], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "no errors found" in shown
    assert "accepts      nobody" in shown


LISTS = {"pacs": PacsSettings, "notify": NotifySettings, "nodes": NodeSettings}
# Of these an example is shown: their default is none.
LEFT_OUT = {"accept", "tls", "data", "templates", "mr_clean", "rules"}
LEFT_OUT |= {"hosts", "certificate", "private_key", "scheduler"}


def test_every_default_it_shows_is_the_default(load):
    shown, default = load(UNCOMMENTED), Config()
    for table in ("dicom", "series", "storage", "retrieve", "processing", "output", "web"):
        for key in set(tomllib.loads(UNCOMMENTED)[table]) - LEFT_OUT:
            found = getattr(getattr(shown, table), key)
            assert found == getattr(getattr(default, table), key), f"[{table}] {key}"
    tls = TlsSettings(shown.dicom.tls.certificate, shown.dicom.tls.private_key)
    assert shown.dicom.tls.port == tls.port
    assert shown.qc == {modality: default.qc[modality] for modality in shown.qc}
    (told,) = shown.notify
    own = {"email": told.email, "authorities": told.authorities, "alarms": ("all",)}
    assert told == NotifySettings(told.name, **own)
    assert shown.smtp.security == default.smtp.security
    (pacs,) = shown.pacs
    assert pacs == PacsSettings(pacs.name, pacs.ae_title, pacs.host, pacs.port)


@pytest.mark.parametrize("table", [field.name for field in dataclasses.fields(Config)])
def test_every_key_of_a_table_is_shown(table):
    shown: Any = tomllib.loads(UNCOMMENTED)[table]
    kind: Any = LISTS.get(table, type(getattr(Config(), table)))
    if table in LISTS:
        shown = {key for one in shown for key in one}
    elif table == "qc":
        shown, kind = shown["DEFAULT"], type(Config().qc["DEFAULT"])
    assert set(shown) == {field.name for field in dataclasses.fields(kind)}


def test_examples_of_senders_are_ready_to_be_used(load):
    config = load(re.sub(r"^#   (?=\{)", "", SHIPPED.read_text(), flags=re.MULTILINE))
    assert AcceptRule("PACS1", ("10.1.2.0/24",)) in config.dicom.accept
    assert len(config.dicom.accept) == SHIPPED.read_text().count("#   { calling_ae")
