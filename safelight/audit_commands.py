"""The command ``audit verify``."""

import sys
from pathlib import Path

import click

from safelight.options import config_option, configuration


@click.group("audit")
def audit_group() -> None:
    """Look after the audit trail."""


@audit_group.command("verify")
@config_option
def verify_command(file: Path | None) -> None:
    """Check that no line of the audit trail was altered, taken out or put in.

    It only reads. Exit code 1 where something does not fit. Note down the digest that it prints:
    the same one later, on the line of the same number, proves all that was before it.
    """
    from safelight.audit_check import checked

    found = checked(configuration(file).storage.data)
    click.echo(f"{found.lines} lines; the last has the number {found.number}")
    if found.unreadable:
        click.echo(f"{found.unreadable} of them were cut short, as by a full disk")
    for fault in found.faults:
        click.echo(f"ALTERED  {fault}")
    if not found.faults:
        click.echo(f"each fits the one before it; SHA-256 of the last: {found.seal or 'none'}")
    sys.exit(1 if found.faults else 0)
