"""The command ``status``, and what other commands ask the ledger. It imports no processing."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import click
from rich.console import Console
from rich.table import Table

from ledger.reader import LedgerReader
from ledger.rows import Overview, PauseRow, RuleLoadRow, SeriesRow
from processor.words import count, size
from safelight.audit_delivery import delivery_of, is_audit_late
from safelight.backup_state import backup_problem
from safelight.config import Config
from safelight.disk import DiskState, Stage, disk_state
from web_status.settings import AuditSettings

_YEAR_HOURS = 365 * 24
_STAGE_WORDS: Mapping[Stage, str] = MappingProxyType(
    {
        "warn": "the disk is FILLING UP",
        "pause_retrieves": "RETRIEVES WAIT until there is room",
        "pause_processing": "RETRIEVES AND JOBS WAIT until there is room",
        "refuse": "INSTANCES ARE REFUSED (0xA700) until there is room",
    }
)


def status(config: Config, *, limit: int, as_json: bool) -> None:
    """Print the state line and the latest series."""
    reader = LedgerReader(config.storage.ledger)
    try:
        overview, series = reader.overview(), reader.series(limit=limit)
        rules, failed = reader.rules_in_force()
        pauses = reader.pauses()
        disk = disk_state(config.storage, reader.disk_stage(), reader.growth())
    finally:
        reader.close()
    if as_json:
        document = {
            "overview": dataclasses.asdict(overview),
            "rules": {
                "in_force": rules and dataclasses.asdict(rules),
                "failed": failed and dataclasses.asdict(failed),
            },
            "disk": dataclasses.asdict(disk),
            "backup": {"problem": backup_problem(config)},
            "pauses": [dataclasses.asdict(row) for row in pauses],
            "series": [dataclasses.asdict(row) for row in series],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        console = Console()
        console.print(_state_line(overview), highlight=False)
        console.print(_rules_line(rules, failed), highlight=False, markup=False, soft_wrap=True)
        audit = audit_lines(config.storage.data, config.audit)
        for line in (disk_line(disk), *backup_lines(config), *pause_lines(pauses), *audit):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
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
        "notifications not delivered": overview.undelivered,
    }
    parts += [f"{count} {what}" for what, count in alarms.items() if count]
    return "; ".join(parts)


def _rules_line(rules: RuleLoadRow | None, failed: RuleLoadRow | None) -> str:
    """Since when which rules are in force, and why others are not."""
    if rules is None:
        return "rules: none were read yet"
    line = f"rules: {rules.rules} in force since {_local(rules.at)}"
    if failed is None:
        return line
    return f"{line}; NOT taken at {_local(failed.at)}: {failed.problem}"


def disk_line(disk: DiskState) -> str:
    """How full the disk is, what that holds up, and how long it lasts."""
    line = f"disk: {size(disk.free_bytes)} of {size(disk.total_bytes)} free"
    lasts = disk_lasts(disk)
    return "; ".join((f"{line}, {lasts}" if lasts else line, *disk_held(disk)))


def disk_lasts(disk: DiskState) -> str:
    """How long the disk lasts; empty while nothing grows, or it lasts for more than a year."""
    if disk.hours_left is None or disk.hours_left > _YEAR_HOURS:
        return ""
    return f"full in {_duration(disk.hours_left)} at today's rate"


def disk_held(disk: DiskState) -> tuple[str, ...]:
    """What the disk holds up."""
    return () if disk.stage == "ample" else (_STAGE_WORDS[disk.stage],)


def _duration(hours: float) -> str:
    """Hours as people say them.

    >>> _duration(0.4), _duration(30.2), _duration(100)
    ('less than an hour', '30 hours', '4 days')
    """
    if hours < 1:
        return "less than an hour"
    return count(round(hours), "hour") if hours < 48 else count(round(hours / 24), "day")


def backup_lines(config: Config) -> list[str]:
    """Why the last backup was not made; nothing where it was."""
    problem = backup_problem(config)
    return [f"backup: NOT made: {problem}"] if problem else []


def pause_lines(pauses: Iterable[PauseRow]) -> list[str]:
    """What keeps jobs waiting, a line each."""
    return [_pause_line(row) for row in pauses]


def _pause_line(row: PauseRow) -> str:
    if row.cause == "output":
        until = f"; tried again at {_local(row.until)}" if row.until else ""
        return f"JOBS WAIT since {_local(row.at)}: {row.reason}{until}"
    what = row.processor or "processing"
    end = f"`safelight resume {row.processor}".rstrip()
    return f"{what} is PAUSED since {_local(row.at)}; {end}` ends it"


def audit_lines(data: Path, settings: AuditSettings) -> list[str]:
    """That the syslog server does not take the audit trail, while it does not."""
    if not is_audit_late(data, settings):
        return []
    told = delivery_of(data)
    return [f"audit trail: NOT SENT since {_local(told.since)}: {told.problem}"]


def _local(at: str) -> str:
    """A time of the ledger as people here say it."""
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}"


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
