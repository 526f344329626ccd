"""The commands ``notify``: what was told, whether telling works, and what was given up."""

import dataclasses
import json
from datetime import datetime
from pathlib import Path

import click

from safelight.options import config_option, configuration

_UNSENT = ("held", "waiting", "dead")
_ALL = (*_UNSENT, "sent", "summed")


@click.group()
def notify() -> None:
    """Show notifications, try whether they arrive, and send again what was given up."""


@notify.command("list")
@config_option
@click.option("--all", "every", is_flag=True, help="Also those that were delivered.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--limit", default=50, show_default=True, help="How many.")
def notify_list(file: Path | None, *, every: bool, as_json: bool, limit: int) -> None:
    """List what was not delivered yet or was given up, the latest first."""
    from rich.console import Console
    from rich.table import Table

    from ledger.reader import LedgerReader

    reader = LedgerReader(configuration(file).storage.ledger)
    try:
        rows = reader.notifications.latest(_ALL if every else _UNSENT, limit=limit)
    finally:
        reader.close()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("#", "to", "event", "state", "tries", "at", "because"):
        numeric = heading in ("#", "tries")
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        at = f"{datetime.fromisoformat(row.at).astimezone():%Y-%m-%d %H:%M}"
        words = (row.target, row.event, row.state, str(row.tries), at, row.error or "")
        table.add_row(str(row.id), *words)
    Console().print(table if rows else "no notifications", highlight=False)


@notify.command("test")
@config_option
@click.argument("name")
def notify_test(file: Path | None, name: str) -> None:
    """Send one to the [[notify]] of this NAME now, and say what came of it."""
    from ledger.notification_records import Notification
    from listener.journal import now
    from safelight.delivering import deliver
    from safelight.errors import ConfigError
    from safelight.messages import message_of

    config = configuration(file)
    target = next((one for one in config.notify if one.name == name), None)
    if target is None:
        known = ", ".join(one.name for one in config.notify) or "none"
        raise ConfigError(f"configuration: no [[notify]] is named {name!r}; known: {known}")
    one = Notification(0, name, "test", now(), {"what": "This is a test: notifications arrive."})
    click.echo(deliver(message_of(one, target, config), target, config.smtp))


@notify.command("resend")
@config_option
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--all", "every", is_flag=True, help="All that were given up.")
def notify_resend(file: Path | None, number: int | None, *, every: bool) -> None:
    """Queue what was given up again: one, by its NUMBER, or all."""
    _ask(file, "notify_resend", number, every=every)
    click.echo("queued again")


@notify.command("forget")
@config_option
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--all", "every", is_flag=True, help="All that were given up.")
def notify_forget(file: Path | None, number: int | None, *, every: bool) -> None:
    """Take out what was given up: one, by its NUMBER, or all."""
    _ask(file, "notify_forget", number, every=every)
    click.echo("taken out")


def _ask(file: Path | None, what: str, number: int | None, *, every: bool) -> None:
    from safelight.job_commands import ask
    from safelight.requests import Request

    if (number is None) != every:
        raise click.UsageError("name one by its number, or give --all")
    config = configuration(file)
    if number is not None:
        _require_dead(config.storage.ledger, number)
    ask(config, Request(what, notification=number or 0))  # type: ignore[arg-type]  # one of two


def _require_dead(ledger: Path, number: int) -> None:
    from ledger.reader import LedgerReader

    reader = LedgerReader(ledger)
    try:
        state = reader.notifications.state_of(number)
    finally:
        reader.close()
    if state != "dead":
        raise click.UsageError(f"notification {number} is {state}; only those given up can be")
