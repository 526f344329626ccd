"""The commands ``retrieve`` and ``retrieves``. What they do is in `safelight.retrieve_orders`."""

import sys
from pathlib import Path
from typing import Any

import click

from safelight.options import config_option, configuration


@click.command()
@config_option
@click.argument("accessions", metavar="[ACCESSION]...", nargs=-1)
@click.option(
    "--list",
    "listed",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A .txt, .csv or .xlsx file of accession numbers.",
)
@click.option("--pacs", help="Which [[pacs]], by name; the first without it.")
@click.option(
    "--by", type=click.Choice(["move", "get", "dicomweb"]), help="How; else retrieve of [[pacs]]."
)
@click.option(
    "--rules",
    type=click.Path(path_type=Path, exists=True),
    help="Rules that leave series out: a TOML file or a folder; else [retrieve] rules.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["nifti", "npz"]),
    show_default="as the rules say",
    help="What conversion writes.",
)
@click.option(
    "--run",
    default="",
    show_default="as the rules say",
    help="What runs on each series: some of convert,qc,preview,metadata.",
)
@click.option("--priority", default=0, show_default=True, help="A list of a higher one goes first.")
@click.option("--tries", type=click.IntRange(1), help="How often each is tried.")
@click.option("--dry-run", is_flag=True, help="Only ask the PACS, and say what would be fetched.")
@click.option("--detach", is_flag=True, help="Leave it to the daemon; do not stay.")
@click.option("--wait", is_flag=True, help="Stay to the end, over pauses and nights.")
def retrieve(
    file: Path | None,
    accessions: tuple[str, ...],
    *,
    listed: Path | None,
    pacs: str | None,
    by: Any,
    rules: Path | None,
    output_format: str | None,
    run: str,
    priority: int,
    tries: int | None,
    dry_run: bool,
    detach: bool,
    wait: bool,
) -> None:
    """Fetch the studies of accession numbers from a PACS, and prove that all of it is here.

    The daemon fetches, and goes on by itself when this command is ended. Exit code 0 only where
    every instance that the PACS lists is in the spool.
    """
    from safelight.retrieve_orders import Wish, order

    steps = tuple(filter(None, (name.strip() for name in run.split(","))))
    wish = Wish(
        *(accessions, listed, pacs, by, rules, priority, tries),
        output_format=output_format or "",
        run=steps,
    )
    config = configuration(file)
    if dry_run:
        from safelight.retrieve_dry_run import dry_run_of

        sys.exit(dry_run_of(config, wish))
    sys.exit(order(config, wish, stay="no" if detach else "to the end" if wait else "while busy"))


@click.group(invoke_without_command=True)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--limit", default=20, show_default=True, help="How many lists.")
@click.pass_context
def retrieves(context: click.Context, file: Path | None, *, as_json: bool, limit: int) -> None:
    """List what is or was to be retrieved; show, report, cancel or try again one list."""
    from safelight.retrieve_orders import print_lists

    if context.invoked_subcommand is None:
        print_lists(configuration(file), limit=limit, as_json=as_json)


@retrieves.command("show")
@config_option
@click.argument("number", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with each missing instance.")
def show(file: Path | None, number: int, *, as_json: bool) -> None:
    """Print what came of the list of this NUMBER so far."""
    from safelight.retrieve_orders import print_list

    print_list(configuration(file), number, as_json=as_json)


@retrieves.command("follow")
@config_option
@click.argument("number", type=int)
@click.option("--wait", is_flag=True, help="Stay to the end, over pauses and nights.")
def follow(file: Path | None, number: int, *, wait: bool) -> None:
    """Show how far the list of this NUMBER is, while something happens."""
    from safelight.retrieve_orders import follow as run

    sys.exit(run(configuration(file), number, to_the_end=wait))


@retrieves.command("report")
@config_option
@click.argument("number", type=int)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The .csv or .xlsx file to write.",
)
def report(file: Path | None, number: int, out: Path) -> None:
    """Write what came of the list of this NUMBER, with each missing instance (xlsx)."""
    from safelight.retrieve_orders import write_report_of

    write_report_of(configuration(file), number, out)


@retrieves.command("cancel")
@config_option
@click.argument("number", type=int)
def cancel(file: Path | None, number: int) -> None:
    """Take out what of the list of this NUMBER has not ended; stop what runs."""
    from safelight.retrieve_orders import cancel as run

    run(configuration(file), number)


@retrieves.command("again")
@config_option
@click.argument("number", type=int)
def again(file: Path | None, number: int) -> None:
    """Try again, and at once, what of the list of this NUMBER is not whole."""
    from safelight.retrieve_orders import again as run

    run(configuration(file), number)
