"""The command ``send``. What it does is in `safelight.sending`."""

import sys
from pathlib import Path
from typing import Any

import click

from safelight.options import config_option


@click.command()
@config_option
@click.argument("targets", metavar="FILE|FOLDER|ZIP|STUDY...", nargs=-1, required=True)
@click.option("--to", required=True, metavar="PACS|HOST:PORT", help="A [[pacs]], or where it is.")
@click.option("--aet", help="The receiver's AE title; needed with HOST:PORT.")
@click.option("--calling", help="Our AE title; else that of [dicom], or SAFELIGHT_SEND.")
@click.option("--tries", type=click.IntRange(1), default=3, show_default=True, help="At most.")
@click.option(
    "--retry-seconds",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    help="Wait before the second try; each further one waits twice as long.",
)
@click.option("--decompress", is_flag=True, help="Where the receiver takes it no other way.")
@click.option("--commit", is_flag=True, help="Ask for storage commitment, and wait for it.")
@click.option(
    "--commit-seconds",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Wait for storage commitment.",
)
@click.option(
    "--report-port",
    type=click.IntRange(1, 65535),
    help="Take the report of storage commitment there too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def send(file: Path | None, targets: tuple[str, ...], **wanted: Any) -> None:
    """Send files, folders, ZIPs, or studies of the spool by their UID, to a PACS.

    By C-STORE, or STOW-RS where its [[pacs]] says so. Exit code 0 only where everything was
    accepted and, with --commit, committed.
    """
    from safelight.sending import Asked, send_targets

    sys.exit(send_targets(file, targets, Asked(**wanted)))
