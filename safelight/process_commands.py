"""The command ``process``. What it does is in `safelight.client`."""

import sys
from pathlib import Path
from typing import Any

import click

from safelight.options import config_option


@click.command()
@config_option
@click.argument("target", metavar="ACCESSION|FOLDER|ZIP")
@click.option(
    "--out",
    "output_dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where results go.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["nifti", "npz"]),
    default="nifti",
    show_default=True,
    help="What conversion writes.",
)
@click.option(
    "--run",
    "steps",
    default="convert,qc,preview,metadata",
    show_default=True,
    help="What runs on each series, in this order.",
)
@click.option("--modality", "modalities", multiple=True, help="Only this; may be given twice.")
@click.option(
    "--minimum-instances",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Leave out series of fewer.",
)
@click.option("--no-derived", is_flag=True, help="Leave derived series out.")
@click.option("--package", is_flag=True, help="Write a ZIP of each study's results too.")
@click.option("--pacs", help="Which [[pacs]], by name; the first without it.")
@click.option(
    "--by",
    type=click.Choice(["move", "get", "dicomweb"]),
    help="How to fetch; else retrieve of [[pacs]].",
)
@click.option("--tries", type=click.IntRange(1), default=2, show_default=True, help="To fetch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def process(file: Path | None, target: str, *, steps: str, no_derived: bool, **wanted: Any) -> None:
    """Fetch a study and process it, or process a FOLDER, a file or a ZIP of DICOM.

    A study is fetched by the daemon; where none runs, one runs for as long as it takes. Exit code
    0 only where all of it is there and nothing failed.
    """
    from safelight.process_printing import run

    names = [name.strip() for name in steps.split(",") if name.strip()]
    sys.exit(run(file, target, run=names, derived=not no_derived, **wanted))
