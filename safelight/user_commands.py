"""The commands ``user``: who may log in to the page. What they change holds at once."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safelight.options import config_option, configuration

if TYPE_CHECKING:
    from safelight.config import Config
    from web_status.users import UsersFile

_ROLES = click.Choice(["viewer", "operator", "admin"])
_role_option = click.option(
    "--role",
    type=_ROLES,
    required=True,
    help="viewer reads, without names of patients; operator also starts work; admin does all.",
)


@click.group()
def user() -> None:
    """Say who may log in to the page, and what they may do there."""


@user.command("add")
@config_option
@click.argument("name")
@_role_option
def add(file: Path | None, name: str, role: str) -> None:
    """Add the user NAME; the password is asked for, or read from stdin."""
    from web_status.roles import Role

    config = configuration(file)
    users = _users(config)
    users.check_free(name)
    users.add(name, Role.named(role), _new_password())
    _record(config, "user added", name)
    click.echo(f"{name} may log in as {role}")


@user.command("role")
@config_option
@click.argument("name")
@_role_option
def change_role(file: Path | None, name: str, role: str) -> None:
    """Give the user NAME another role."""
    from web_status.roles import Role

    config = configuration(file)
    _users(config).set_role(name, Role.named(role))
    _record(config, f"user made {role}", name)
    click.echo(f"{name} is {role}")


@user.command("password")
@config_option
@click.argument("name")
def password(file: Path | None, name: str) -> None:
    """Give the user NAME another password; what is open under the old one ends."""
    config = configuration(file)
    users = _users(config)
    users.known(name)
    users.set_password(name, _new_password())
    _record(config, "password set", name)
    click.echo(f"{name} has a new password")


@user.command("remove")
@config_option
@click.argument("name")
def remove(file: Path | None, name: str) -> None:
    """Remove the user NAME; what is open under it ends."""
    config = configuration(file)
    users = _users(config)
    users.remove(name)
    _record(config, "user removed", name)
    click.echo(f"{name} is removed")
    if not users.all():
        click.echo(
            "no user is left: nobody can log in to the page"
            if config.web.is_public
            else "no user is left: everybody on this machine reads the page without a login"
        )


@user.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_users(file: Path | None, *, as_json: bool) -> None:
    """List the users with their roles."""
    users = _users(configuration(file)).all().values()
    rows = [{"name": each.name, "role": str(each.role), "since": each.since} for each in users]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']:<24}{row['role']:<10}since {row['since']}")
    if not rows:
        click.echo("there are no users; safelight user add NAME --role admin makes the first")


@user.command("token")
@config_option
@click.argument("name")
@click.argument("called")
@click.option("--role", type=_ROLES, help="What it may do at most; the user's role by default.")
def token(file: Path | None, name: str, called: str, role: str | None) -> None:
    """Make a token CALLED so, with which a program acts for the user NAME; it is shown once."""
    from web_status.roles import Role

    config = configuration(file)
    secret = _users(config).add_token(name, called, Role.named(role) if role else None)
    _record(config, f"token {called} made", name)
    click.echo(secret)
    click.echo("keep it now: it is not shown again", err=True)


@user.command("tokens")
@config_option
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_tokens(file: Path | None, name: str, *, as_json: bool) -> None:
    """List the tokens of the user NAME, with the day each was last used."""
    tokens = _users(configuration(file)).known(name).tokens
    rows = [
        {"name": each.name, "role": str(each.role), "since": each.since, "used": each.used}
        for each in tokens
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        used = row["used"] or "never"
        click.echo(f"{row['name']:<24}{row['role']:<10}since {row['since']}, last used {used}")
    if not rows:
        click.echo(f"{name} has no tokens; safelight user token {name} CALLED makes one")


@user.command("revoke")
@config_option
@click.argument("name")
@click.argument("called")
def revoke(file: Path | None, name: str, called: str) -> None:
    """Take the token CALLED so from the user NAME; it is worth nothing at once."""
    config = configuration(file)
    _users(config).revoke_token(name, called)
    _record(config, f"token {called} revoked", name)
    click.echo(f"{name} has no token {called} any more")


def _users(config: "Config") -> "UsersFile":
    from web_status.users import UsersFile

    return UsersFile(config.storage.data)


def _record(config: "Config", action: str, name: str) -> None:
    from safelight.audit_deeds import record_call, who_calls
    from web_status.audit_events import Deed

    record_call(config, Deed(action, who_calls(), name))


def _new_password() -> str:
    """The password typed twice, or the first line of stdin; never an argument, which others see."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="Once more"))
    return sys.stdin.readline().rstrip("\r\n")
