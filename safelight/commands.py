"""What the commands do and print. Options are parsed in `safelight.cli`."""

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ledger.errors import NoLedger
from ledger.reader import LedgerReader, Overview, SeriesRow
from safelight.config import Config
from safelight.daemon import Supervisor
from safelight.rules_file import load_site_rules


def serve(config: Config) -> None:
    """Run the daemon until it is told to stop."""
    rules = load_site_rules(config)

    def announce() -> None:
        dicom = config.dicom
        click.echo(
            f"DICOM   {dicom.ae_title} @ {dicom.host}:{dicom.port}"
            f"     page http://{config.web.listen}     data {config.storage.data}"
            f"     rules {len(rules)}"
        )

    Supervisor(config, announce).run()


def check(config: Config, file: Path | None) -> None:
    """Say where the configuration comes from and that it and the rules are good."""
    rules = load_site_rules(config)
    click.echo(f"configuration: {file or 'embedded defaults'}")
    click.echo(f"DICOM          {config.dicom.ae_title} @ {config.dicom.host}:{config.dicom.port}")
    for accept in config.dicom.accept:
        click.echo(f"  accepts      {accept.calling_ae} from {', '.join(accept.addresses)}")
    for pacs in config.pacs:
        click.echo(f"PACS           {pacs.name}: {pacs.ae_title} @ {pacs.host}:{pacs.port}")
    click.echo(f"data           {config.storage.data}")
    click.echo(f"page           http://{config.web.listen}")
    click.echo(f"rules          {', '.join(rule.name for rule in rules) or 'none'}")
    click.echo("no errors found")


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
            row.grade or "",
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
