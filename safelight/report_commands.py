"""The command ``report``: pages about results, of one study or of many."""

from collections.abc import Sequence
from pathlib import Path

import click

from processor.report import studies_below, write_batch_report, write_report
from processor.words import count


def report(results: Sequence[Path], out: Path) -> int:
    """Write the report of the study, or of the studies, below folders.

    Returns
    -------
    int
        0, or 1 when nothing is published there.
    """
    studies = studies_below([folder.resolve() for folder in results])
    if not studies:
        click.echo(f"nothing is published below {', '.join(map(str, results))}", err=True)
        return 1
    if len(studies) == 1:
        write_report(out.absolute(), studies[0])
    else:
        write_batch_report(out.resolve(), studies)
    click.echo(f"{count(len(studies), 'study', 'studies')} in {out}")
    return 0
