"""``safelight send`` as a person calls it, to Orthanc and to DCMTK's storescp.

Not covered: what a receiver may answer; tests/query/test_send.py, test_stow.py and
test_committing.py have that.
"""

import json
import zipfile

import click
import pytest

from listener.part10 import silence_dicom_libraries
from safelight.cli import cli
from safelight.errors import ConfigError

silence_dicom_libraries()


@pytest.fixture
def send(capsys):
    """Function that runs ``safelight send`` and returns its exit code, output and errors."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli(["send", *map(str, arguments)], standalone_mode=False)
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


@pytest.fixture
def received(config, land):
    """The folder of a series of three in the spool; its study is 1.2.3."""
    return config.storage.spool / "instances" / "1.2.3" / land(3)


def test_a_zip_is_sent_to_orthanc_and_committed(send, orthanc, received, tmp_path, free_port):
    port = free_port()
    pacs = orthanc(modalities={"SENDER": ("127.0.0.1", port)})
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("notes.txt", "no DICOM")
        for file in received.iterdir():
            zipped.write(file, file.name)
    to = ("--to", f"127.0.0.1:{pacs.dicom_port}", "--aet", "ORTHANC", "--calling", "SENDER")
    code, out, _ = send(archive, *to, "--commit", "--report-port", port, "--json")
    told = json.loads(out)
    assert (code, told["accepted"], told["skipped"], told["is_well"]) == (0, 3, 1, True)
    uids = {file.stem for file in received.iterdir()}
    assert {one["SOPInstanceUID"] for one in told["instances"] if one["committed"]} == uids


def test_a_study_of_the_spool_goes_to_a_pacs_by_its_name(send, received, tmp_path, dcmtk_storescp):
    receiver = dcmtk_storescp("RESEARCH")
    file = tmp_path / "safelight.toml"
    file.write_text(
        file.read_text() + '[[pacs]]\nname = "research"\nae_title = "RESEARCH"\n'
        f'host = "127.0.0.1"\nport = {receiver.port}\n'
    )
    code, out, _ = send("1.2.3", "--to", "research", "--config", file)
    assert (code, out) == (0, "3 instances accepted by RESEARCH\n")
    assert receiver.received() == sorted(one.stem for one in received.iterdir())
    code, _, errors = send("1.2.3", "--to", "research", "--config", file, "--commit")
    assert code == 1
    assert "not committed: RESEARCH accepts associations but offers none" in errors


def test_what_cannot_be_sent_is_said_with_exit_code_one(send, received, free_port):
    to = ("--to", f"127.0.0.1:{free_port()}", "--aet", "NOBODY", "--tries", 2)
    code, out, errors = send(received, *to, "--retry-seconds", 0)
    assert code == 1
    assert "0 instances accepted by NOBODY" in out
    assert "3 not accepted: cannot reach NOBODY" in errors


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (("nowhere", "--to", "h:104", "--aet", "A"), ConfigError, "no file, no folder, and no"),
        (("1.2.9", "--to", "h:104", "--aet", "A"), ConfigError, "no study of the spool"),
        ((".", "--to", "h:104"), click.UsageError, "--aet: needed"),
        ((".", "--to", "nobody"), ConfigError, "is named 'nobody'"),
    ],
)
def test_a_wrong_call_names_what_was_expected(config, tmp_path, arguments, error, told):
    where = ["--config", str(tmp_path / "safelight.toml")]
    with pytest.raises(error, match=told):
        cli(["send", *arguments, *where], standalone_mode=False)
