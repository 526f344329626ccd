"""The command ``doctor`` and its options; `safelight.doctor` does the work."""

import sys
from pathlib import Path

import click

from safelight.doctor_findings import GROUPS, Group
from safelight.options import config_option, configuration


@click.command()
@config_option
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(GROUPS),
    metavar="GROUP",
    help=f"Look at nothing else; may be given again. One of {', '.join(GROUPS)}.",
)
@click.option("--no-pacs", is_flag=True, help="Ask no PACS.")
@click.option(
    "--move",
    is_flag=True,
    help="Have each PACS send one instance here; what is not here yet is kept and processed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(
    file: Path | None, *, only: tuple[Group, ...], no_pacs: bool, move: bool, as_json: bool
) -> None:
    """Look at everything that Safelight needs, and say what is wrong and what to do about it.

    It changes nothing: it times one small file in the spool and removes it. Exit code 1 where
    something is a problem; warnings alone are 0.
    """
    from safelight.config import find_file
    from safelight.doctor import doctor as run
    from safelight.doctor_site import Site

    if move and (no_pacs or (only and "pacs" not in only)):
        raise click.UsageError("--move asks every PACS: leave --no-pacs and --only out")
    groups = {*(only or GROUPS)} - ({"pacs"} if no_pacs else set())
    site = Site(configuration(file), find_file(file))
    sys.exit(run(site, groups, move=move, as_json=as_json))
