"""The commands ``user``: passwords on stdin or a terminal, and what is said.

What the file holds: tests/web_status/test_users.py.
"""

import json
import os
import pty
import sys
from dataclasses import dataclass

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner

from safelight.cli import cli
from safelight.errors import in_one_line
from web_status import passwords

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Said:
    """What a command said, and whether it was content."""

    text: str
    failed: bool


@pytest.fixture
def safelight(tmp_path, monkeypatch):
    """Function that runs a command beside a configuration file; hashing takes no time."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", quick)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "safelight.toml").write_text('[storage]\ndata = "data"\n')

    def run(*arguments, given=PASSWORD + "\n"):
        result = CliRunner().invoke(cli, arguments, input=given)
        error = result.exception
        told = "" if error is None or isinstance(error, SystemExit) else in_one_line(error)
        return Said(result.output + told, failed=result.exit_code != 0)

    return run


def test_a_user_goes_through_life(safelight, tmp_path):
    added = safelight("user", "add", "ada", "--role", "viewer")
    assert added.text == "ada may log in as viewer\n"
    assert safelight("user", "role", "ada", "--role", "admin").text == "ada is admin\n"
    assert safelight("user", "password", "ada").text == "ada has a new password\n"
    (listed,) = json.loads(safelight("user", "list", "--json").text)
    assert (listed["name"], listed["role"]) == ("ada", "admin")
    assert "hash" not in safelight("user", "list").text
    removed = safelight("user", "remove", "ada").text
    assert removed.startswith("ada is removed\nno user is left: everybody on this machine")
    audit = [json.loads(line) for line in (tmp_path / "data/audit.log").read_text().splitlines()]
    assert [(line["action"], line["target"]) for line in audit] == [
        ("user added", "ada"),
        ("user made admin", "ada"),
        ("password set", "ada"),
        ("user removed", "ada"),
    ]
    assert all("at the command line" in line["user"] for line in audit)


def test_a_token_is_shown_once_listed_and_revoked(safelight, tmp_path):
    safelight("user", "add", "ada", "--role", "admin")
    assert "ada has no tokens" in safelight("user", "tokens", "ada").text
    made = safelight("user", "token", "ada", "export", "--role", "viewer").text
    secret = made.splitlines()[0]
    assert secret.startswith("safelight_")
    assert "it is not shown again" in made
    listed = safelight("user", "tokens", "ada").text
    assert listed.startswith("export")
    assert "last used never" in listed
    (row,) = json.loads(safelight("user", "tokens", "ada", "--json").text)
    assert (row["name"], row["role"], row["used"]) == ("export", "viewer", "")
    assert safelight("user", "revoke", "ada", "export").text == "ada has no token export any more\n"
    audit = (tmp_path / "data/audit.log").read_text()
    assert "token export made" in audit
    assert "token export revoked" in audit
    assert secret not in listed + audit


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["add", "ada", "--role", "viewer"], "short\n", "a password has 12 to 1024 characters"),
        (["add", "ada", "--role", "viewer"], "", "a password has 12 to 1024 characters"),
        (["add", "a b", "--role", "viewer"], PASSWORD, "expected a name of 1 to 64"),
        (["add", "ada", "--role", "king"], PASSWORD, "'king' is not one of"),
        (["add", "ada"], PASSWORD, "Missing option '--role'"),
        (["password", "eve"], PASSWORD, "there is no user eve"),
        (["remove", "eve"], "", "there is no user eve"),
        (["token", "eve", "export"], "", "there is no user eve"),
        (["tokens", "eve"], "", "there is no user eve"),
        (["revoke", "eve", "export"], "", "there is no user eve"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(safelight, tmp_path, arguments, given, said):
    done = safelight("user", *arguments, given=given)
    assert done.failed
    assert said in done.text
    assert "unexpected" not in done.text
    assert not (tmp_path / "data" / "users.json").exists()


def test_a_folder_that_cannot_be_written_is_said_with_the_remedy(safelight, tmp_path):
    (tmp_path / "data").write_text("no folder")
    for arguments in (["add", "ada", "--role", "viewer"], ["list"]):
        done = safelight("user", *arguments)
        assert done.failed
        assert "users.json cannot be" in done.text
    added = safelight("user", "add", "ada", "--role", "viewer").text
    assert "Not a directory" in added
    (tmp_path / "data").unlink()
    assert "there are no users" in safelight("user", "list").text
    assert not (tmp_path / "data").exists()


def test_no_command_takes_a_password_as_an_argument(safelight):
    done = safelight("user", "add", "ada", PASSWORD, "--role", "viewer")
    assert done.failed
    assert "unexpected extra argument" in done.text


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(tmp_path):
    (tmp_path / "safelight.toml").write_text('[storage]\ndata = "data"\n')
    command = [sys.executable, "-m", "safelight", "user", "add", "ada", "--role", "viewer"]
    pid, terminal = pty.fork()
    if pid == 0:  # the child: its terminal is the other end
        os.chdir(tmp_path)
        os.execv(command[0], command)
    shown = b""
    for prompt in (b"Password: ", b"Once more: "):
        while prompt not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, PASSWORD.encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    shown += os.read(terminal, 1000)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"ada may log in" in shown
    assert PASSWORD.encode() not in shown


def test_a_page_that_others_reach_is_not_served_without_users(safelight, tmp_path):
    for listen in ("listen = '10.1.2.3:8080'", "hosts = ['safelight.example']"):
        (tmp_path / "safelight.toml").write_text(f'[storage]\ndata = "data"\n[web]\n{listen}\n')
        for command in (["serve"], ["config", "check"]):
            done = safelight(*command)
            assert done.failed
            assert "nobody may log in yet; add a user: safelight user add NAME" in done.text
    safelight("user", "add", "ada", "--role", "admin")
    done = safelight("config", "check")
    assert not done.failed
    assert "1 may log in" in done.text
    assert "reached without HTTPS" in done.text
    assert "nobody can log in to the page" in safelight("user", "remove", "ada").text


def test_a_certificate_that_cannot_be_used_is_an_error_and_never_plain_http(safelight, tmp_path):
    files = "certificate = 'none.pem'\nprivate_key = 'none.pem'\n"
    (tmp_path / "safelight.toml").write_text(f'[storage]\ndata = "data"\n[web]\n{files}')
    for command in (["serve"], ["config", "check"]):
        done = safelight(*command)
        assert done.failed
        where = tmp_path / "none.pem"
        assert f"configuration: [web] certificate: {where}: no such file" in done.text
