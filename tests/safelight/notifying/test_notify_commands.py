"""The commands about notifications, where no daemon is needed.

Not covered: what a daemon does when it is asked, which is tests/acceptance/test_notify.py.
"""

import click
import pytest

from ledger.writer import LedgerWriter
from safelight.cli import cli
from safelight.errors import ConfigError, NotDelivered


@pytest.fixture
def command(tmp_path, capsys):
    """Function that runs ``safelight notify`` for a target at `url`; returns what it prints."""

    def run(*arguments, url="https://hooks.example/"):
        file = tmp_path / "safelight.toml"
        file.write_text(
            f'[storage]\ndata = "."\n[[notify]]\nname = "team"\nurl = "{url}"\nsecret = "env:KEY"\n'
        )
        cli(["notify", *arguments, "--config", str(file)], standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.fixture
def told(tmp_path):
    """A ledger with an alarm that was given up and one that waits."""
    with LedgerWriter(tmp_path / "ledger.sqlite") as ledger:
        alarms = {"disk": {"what": "x"}, "held": {"what": "y"}}
        ledger.notifications.tell_alarms("team", alarms, None)
        ledger.notifications.give_up(1, "hooks.example answered 404 Not Found")


def test_a_test_is_sent_at_once_and_says_what_came_of_it(command, webhook, monkeypatch):
    monkeypatch.setenv("KEY", "key-of-hook")
    hook = webhook([200, 404])
    assert command("test", "team", url=hook.url).endswith("answered 200\n")
    assert (hook.got[0]["event"], hook.is_signed_with("key-of-hook")) == ("test", True)
    with pytest.raises(NotDelivered, match="answered 404 Not Found; its log says why"):
        command("test", "team", url=hook.url)


def test_a_test_of_nobody_says_who_there_is(command):
    with pytest.raises(ConfigError, match=r"no \[\[notify\]\] is named 'it'; known: team"):
        command("test", "it")


def test_what_was_given_up_is_listed_with_the_reason(command, told):
    listed = command("list")
    assert "alarm_began" in listed
    assert "404" in listed
    assert listed.index("waiting") < listed.index("dead")


def test_only_what_was_given_up_can_be_sent_again(command, told):
    with pytest.raises(click.UsageError, match="notification 2 is waiting; only those given up"):
        command("resend", "2")
    for arguments in (("resend",), ("forget", "1", "--all")):
        with pytest.raises(click.UsageError, match="by its number, or give --all"):
            command(*arguments)


def test_a_secret_that_is_not_there_is_named_when_the_configuration_is_checked(
    tmp_path, command, told, monkeypatch
):
    monkeypatch.delenv("KEY", raising=False)
    command("list")  # which needs no secret
    with pytest.raises(ConfigError, match=r'\[notify\] "team": env:KEY: there is nothing in it'):
        cli(
            ["config", "check", "--config", str(tmp_path / "safelight.toml")], standalone_mode=False
        )
