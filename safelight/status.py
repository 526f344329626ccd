"""The command ``status``, and what other commands ask the ledger. It imports no processing."""

import dataclasses
import json

import click
from rich.console import Console
from rich.table import Table

from ledger.errors import NoLedger
from ledger.reader import LedgerReader
from ledger.rows import Overview, SeriesRow
from safelight.config import Config


def status(config: Config, *, limit: int, as_json: bool) -> None:
    """Print the state line and the latest series."""
    reader = LedgerReader(config.storage.ledger)
    try:
        overview, series = reader.overview(), reader.series(limit=limit)
    finally:
        reader.close()
    if as_json:
        document = {
            "overview": dataclasses.asdict(overview),
            "series": [dataclasses.asdict(row) for row in series],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        console = Console()
        console.print(_state_line(overview), highlight=False)
        console.print(_series_table(series))


def _state_line(overview: Overview) -> str:
    parts = [
        f"{overview.open_associations} associations open",
        f"{overview.arriving} series arriving",
        f"{overview.queued} jobs waiting, {overview.running} running",
        f"{overview.studies} studies, {overview.series} series, {overview.instances} instances",
    ]
    alarms = {
        "series need a person": overview.attention,
        "instances in quarantine": overview.quarantined,
        "refusals today": overview.refusals,
    }
    parts += [f"{count} {what}" for what, count in alarms.items() if count]
    return "; ".join(parts)


def _series_table(series: tuple[SeriesRow, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("#", "", "series", "instances", "state", "grade", "results"):
        table.add_column(heading, justify="right" if heading in ("#", "instances") else "left")
    for row in series:
        results = "; ".join(f"{name}: {said}" for name, said in row.results.items())
        table.add_row(
            str(row.id),
            row.Modality,
            series_name(row),
            str(row.instances),
            row.state,
            f"{row.grade}, {row.missing} missing" if row.missing else row.grade or "",
            results,
        )
    return table


def series_name(row: SeriesRow) -> str:
    """A series as people call it: its number and description."""
    number = "" if row.SeriesNumber is None else str(row.SeriesNumber)
    description = f'"{row.SeriesDescription}"' if row.SeriesDescription else ""
    return f"{number} {description}".strip() or "(unnamed)"


def arrived_instances(config: Config, study_uid: str) -> int:
    """How many instances of a study the ledger has."""
    try:
        reader = LedgerReader(config.storage.ledger)
    except NoLedger:
        return 0
    try:
        return reader.study_instances(study_uid)
    finally:
        reader.close()
