"""Shows in the terminal what `safelight.Client.process` does, and what came of it."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from safelight.client import Client, ProcessResult, Progress
from safelight.fetching import Fetched
from safelight.processing import ProcessedSeries

_STAGES = {"retrieve": "retrieving", "read": "reading", "process": "processing", "write": "writing"}


def run(file: Path | None, target: str, *, as_json: bool, **wanted: Any) -> int:
    """Process a folder, file or ZIP where `target` is one, else an accession number.

    Returns
    -------
    int
        0 where all was there and nothing failed.
    """
    client = Client(file)
    key = "source" if _is_path(target) else "accession_number"
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("beginning", total=None, note="")

        def show(how_far: Progress) -> None:
            bars.update(
                task,
                description=_STAGES[how_far.stage],
                completed=how_far.done,
                total=how_far.total or None,
                note=how_far.note,
            )

        result = client.process(**{**wanted, key: target}, on_progress=show)
    if as_json:
        click.echo(json.dumps(_document(result), indent=2, ensure_ascii=False))
    else:
        _print(result)
    return 0 if result.is_complete else 1


def _is_path(target: str) -> bool:
    """Whether a file is meant: one that is there, or what no accession number looks like."""
    return Path(target).exists() or "/" in target or target.lower().endswith(".zip")


def _document(result: ProcessResult) -> dict[str, object]:
    document = json.loads(json.dumps(dataclasses.asdict(result), default=str))
    return {"is_complete": result.is_complete, **document}


def _print(result: ProcessResult) -> None:
    for one in result.series:
        click.echo(_told(one, result))
    if result.retrieved is not None:
        _print_retrieve(result.retrieved)
    if result.skipped:
        click.echo(f"{result.skipped} files are none of a series")
    for problem in result.problems:
        click.echo(problem, err=True)
    for path in (*result.workbooks, *result.reports, *result.packages):
        click.echo(path)


def _print_retrieve(fetched: Fetched) -> None:
    if fetched.state == "absent":
        click.echo("the PACS has no study of this accession number", err=True)
        return
    missing = f", {fetched.missing} missing" if fetched.missing else ""
    because = f": {fetched.reason}" if fetched.reason else ""
    said = f"retrieved {fetched.received} of {fetched.found} instances{missing}{because}"
    click.echo(said, err=fetched.state != "whole")
    for reason, count in Counter(fetched.left_out.values()).items():
        click.echo(f"{count} series left out before the transfer: {reason}")


def _told(one: ProcessedSeries, result: ProcessResult) -> str:
    """One series: where its results are, and what each step says."""
    if one.folder is None:
        said = f"{one.state}: {one.reason}"
        return f"series {one.SeriesInstanceUID}: {one.instances} instances {said}"
    name = one.folder.relative_to(result.output_dir).as_posix()
    steps = (f"  {step.processor:<9} {step.summary}" for step in one.steps)
    return "\n".join((f"{name}: {one.instances} instances", *steps))
