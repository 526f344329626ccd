"""The command ``export``: the ledger's tables for spreadsheets and programs."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.export_tables import EXPORTS
from safelight.options import config_option, configuration

if TYPE_CHECKING:
    from processor.cells import Row

ALL = "all"
_FORMATS = ("csv", "xlsx", "parquet", "json")


@click.command()
@click.argument("table", type=click.Choice([*EXPORTS, ALL]))
@config_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(_FORMATS),
    help="By default as the name after --out ends, else csv.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file; for all, the folder, or the workbook. By default named by the table.",
)
@click.option("--since", help="Only rows from then on: 12h, 30d, 2w or a day, 2026-01-31.")
@click.option(
    "--without-patients",
    is_flag=True,
    help="Leave out names, identifiers, dates of studies and what people typed.",
)
def export(
    table: str,
    file: Path | None,
    *,
    format_: str | None,
    out: Path | None,
    since: str | None,
    without_patients: bool,
) -> None:
    """Write a TABLE of the ledger to a file, or all of them as of one moment.

    The daemon may run. The file is replaced whole or not at all.
    """
    from ledger.exporting import exported

    format_ = format_ or _by_name(out)
    begin = None if since is None else _time(since)
    names = list(EXPORTS) if table == ALL else [table]
    out = out or Path(f"{'safelight-ledger' if table == ALL else table}{_ending(table, format_)}")
    ledger = configuration(file).storage.ledger
    with exported(ledger, names, since=begin, without_patients=without_patients) as tables:
        if format_ == "xlsx" or table != ALL:
            _write(out, format_, tables)
        else:
            for name, rows in tables.items():
                _write(out / f"{name}.{format_}", format_, {name: rows})
    click.echo(str(out))


def _by_name(out: Path | None) -> str:
    ending = "" if out is None else out.suffix.removeprefix(".").lower()
    return ending if ending in _FORMATS else "csv"


def _ending(table: str, format_: str) -> str:
    return "" if table == ALL and format_ != "xlsx" else f".{format_}"


def _time(text: str) -> datetime:
    """When ``--since`` begins: so long ago, or the beginning of a day here."""
    from safelight.rule_commands import period

    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        return datetime.now(UTC) - period(text)


def _write(out: Path, format_: str, tables: "Mapping[str, Iterable[Row]]") -> None:
    """Write one table, or the workbook of several."""
    from processor.tables import FORMATS, replacing
    from processor.workbook import write_workbook

    writers: Mapping[str, Callable[[Path, Iterable[Row]], None]] = {**FORMATS, "json": _write_json}
    with replacing(out) as temporary:
        if format_ == "xlsx":
            write_workbook(temporary, tables)
        else:
            (rows,) = tables.values()
            writers[format_](temporary, rows)


def _write_json(path: Path, rows: "Iterable[Row]") -> None:
    """Write a list of objects, one a line."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, row in enumerate(rows):
            file.write(f"{',' if number else ''}\n{json.dumps(row, ensure_ascii=False)}")
        file.write("\n]\n")
