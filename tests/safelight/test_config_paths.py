"""Relative paths of the configuration: each is below the folder of its file, and only once."""

import dataclasses
from pathlib import Path

import pytest

from safelight.config import load_config

EVERY_PATH = """
[dicom.tls]
certificate = "x"
private_key = "x"
authorities = "x"
[storage]
data = "x"
[ledger]
backup_folder = "x"
[rules]
file = "x"
[retrieve]
rules = "x"
[processing]
scheduler = "tls://h:8786"
[processing.tls]
authorities = "x"
certificate = "x"
private_key = "x"
[output]
templates = "x"
mr_clean = "x"
[deidentify]
key_file = "x"
[[notify]]
name = "a"
url = "file:x"
secret = "file:x"
authorities = "x"
[smtp]
username = "u"
password = "file:x"
authorities = "x"
[web]
certificate = "x"
private_key = "x"
[[nodes]]
name = "a"
url = "https://a:8080"
token = "file:x"
authorities = "x"
[[nodes]]
name = "b"
data = "x"
[audit.syslog]
host = "h"
authorities = "x"
certificate = "x"
private_key = "x"
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Function that loads a configuration whose file lies in a folder below this one."""
    monkeypatch.chdir(tmp_path)
    Path("site").mkdir()

    def read(toml):
        file = Path("site", "safelight.toml")
        file.write_text(toml)
        return load_config(file, {})

    return read


def paths_of(record):
    """What a record of settings says of files: paths, and where secrets are."""
    if isinstance(record, tuple):
        return [path for one in record for path in paths_of(one)]
    if dataclasses.is_dataclass(record):
        values = [getattr(record, field.name) for field in dataclasses.fields(record)]
        return [path for value in values for path in paths_of(value)]
    if isinstance(record, str) and record.startswith("file:"):
        return [Path(record.removeprefix("file:"))]
    return [record] if isinstance(record, Path) else []


def test_every_path_is_below_the_folder_of_the_file_once(load, tmp_path):
    found = paths_of(load(EVERY_PATH))
    assert set(found) == {tmp_path / "site" / "x"}
    assert len(found) == EVERY_PATH.count('"x"') + EVERY_PATH.count('"file:x"')


def test_an_absolute_path_and_a_value_that_is_no_path_stay(load):
    config = load(
        '[storage]\ndata = "/srv/safelight"\n[[dicom.accept]]\ncalling_ae = "A"\n'
        'addresses = ["10.1.2.0/24"]\nusername = "u"\npasscode = "file:x"\n'
        '[[notify]]\nname = "a"\nurl = "env:HOOK"\nsecret = "file:/etc/key"\n'
    )
    assert config.storage.data == Path("/srv/safelight")
    assert config.dicom.accept[0].passcode == "file:x"
    assert (config.notify[0].url, config.notify[0].secret) == ("env:HOOK", "file:/etc/key")


def test_a_folder_above_that_of_the_file_can_be_named(load, tmp_path):
    (node,) = load('[[nodes]]\nname = "c"\ndata = "../c"').nodes
    assert node.data == tmp_path / "site" / ".." / "c"


def test_without_a_file_paths_are_below_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}).storage.data == tmp_path / "safelight-data"


def test_the_site_key_is_in_the_data_folder_unless_it_is_said_where(load, tmp_path):
    folder = tmp_path / "site"
    assert load('[storage]\ndata = "d"').deidentify.key_file == folder / "d" / "deidentify.key"
    config = load('[deidentify]\nkey_file = "keys/site"')
    assert config.processor.deidentify.key_file == folder / "keys" / "site"
