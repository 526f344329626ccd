"""Orders retrieve lists from the daemon, and prints what comes of them.

It reads the ledger and leaves a request for the daemon, which alone writes and fetches.
"""

import dataclasses
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.table import Table

from ledger.retrieve_reader import RetrieveItemRow, RetrieveListRow, RetrieveReader
from ledger.retrieve_records import RetrieveOrder
from query.settings import Method, PacsSettings
from rules.texts import read_rule_texts
from safelight.audit_deeds import record_call, who_calls
from safelight.config import Config
from safelight.errors import ConfigError
from safelight.job_commands import ask
from safelight.requests import Request
from safelight.retrieve_follow import Follower
from safelight.retrieve_list import checked, read_list
from web_status.audit_events import Deed

Stay = Literal["no", "while busy", "to the end"]


@dataclass(frozen=True)
class Wish:
    """The arguments of ``safelight retrieve``.

    `filters` are rules that come before the others. Without `output_format` and `run` the site's
    rules say what is made.
    """

    accessions: tuple[str, ...]
    listed: Path | None
    pacs: str | None
    by: Method | None
    rules: Path | None
    priority: int
    tries: int | None
    filters: tuple[tuple[str, str], ...] = ()
    output_format: str = ""
    run: tuple[str, ...] = ()

    def accession_numbers(self) -> tuple[str, ...]:
        """All that is asked for, each once.

        Raises
        ------
        ListError
            One is none, or the list cannot be read.
        click.UsageError
            There is none.
        """
        if not self.accessions and self.listed is None:
            raise click.UsageError("expected an ACCESSION number, or --list FILE")
        typed = checked(enumerate(self.accessions, start=1), "ACCESSION") if self.accessions else ()
        read = () if self.listed is None else read_list(self.listed)
        return tuple(dict.fromkeys((*typed, *read)))

    def asked(self, config: Config) -> PacsSettings:
        """The PACS that is asked.

        Raises
        ------
        ConfigError
            There is none of the name, or it has no DICOMweb services that we know of.
        """
        pacs = config.pacs_named(self.pacs)
        if self.by == "dicomweb" and not pacs.url:
            raise ConfigError(f'configuration: [pacs] url: missing for "{pacs.name}"')
        return pacs

    def rule_texts(self, config: Config) -> tuple[tuple[str, str], ...]:
        """The rules that leave series out, read and checked."""
        path = self.rules or config.retrieve.rules
        read = () if path is None else read_rule_texts(path)
        texts = (*self.filters, *((one.name, one.text) for one in read))
        if texts:
            from safelight.retrieve_filters import read_filter  # noqa: PLC0415 - takes long

            read_filter(texts)
        return texts

    def own_rule(self, config: Config) -> str:
        """The rule that processes what comes, in TOML; empty for the site's.

        Raises
        ------
        click.UsageError
            There is no such processor or format.
        ConfigError
            The site's rules de-identify, which no list may change.
        """
        if not (self.output_format or self.run):
            return ""
        from safelight.list_rules import de_identify, rule_text  # noqa: PLC0415 - takes long
        from safelight.rules_file import load_site_rules  # noqa: PLC0415 - takes long

        if de_identify(load_site_rules(config)):
            raise ConfigError("the site's rules de-identify, so that they alone say what is made")
        try:
            return rule_text(self.output_format, self.run)
        except ValueError as error:
            raise click.UsageError(str(error)) from error


def order(config: Config, wish: Wish, *, stay: Stay) -> int:
    """Order a list from the daemon; return the exit code."""
    pacs = wish.asked(config)
    key = uuid.uuid4().hex
    ask(config, Request("retrieve", order=order_of(config, wish, pacs, key)))
    with _reader(config) as reader:
        number = reader.list_of(key).id
    record_call(config, Deed("retrieve ordered", who_calls(), f"list {number}"))
    click.echo(f"retrieve list {number}: `safelight retrieves show {number}` says what came of it")
    if stay == "no":
        return 0
    return follow(config, number, to_the_end=stay == "to the end")


def order_of(config: Config, wish: Wish, pacs: PacsSettings, key: str) -> RetrieveOrder:
    """The order that is left for the daemon; it is found again by `key`."""
    return RetrieveOrder(
        key=key,
        pacs=pacs.name,
        accession_numbers=wish.accession_numbers(),
        name="" if wish.listed is None else wish.listed.name,
        method=wish.by or "",
        rules=wish.rule_texts(config),
        priority=wish.priority,
        tries=wish.tries or config.retrieve.tries,
        rule=wish.own_rule(config),
    )


def follow(config: Config, number: int, *, to_the_end: bool) -> int:
    """Show how far a list is; return 0 where all of it is whole in the end."""
    with _reader(config) as reader:
        reader.one_list(number)
        why = Follower(config, reader, number).follow(to_the_end=to_the_end)
        items = reader.items(number)
    Console().print(_items_table(items), highlight=False)
    if why:
        click.echo(f"{why}; the daemon goes on by itself", err=True)
    return 0 if all(item.state == "whole" for item in items) else 1


def print_lists(config: Config, *, limit: int, as_json: bool) -> None:
    """Print the latest lists."""
    with _reader(config) as reader:
        lists = reader.lists(limit=limit)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in lists], indent=2))
        return
    table = table_of("list", "pacs", "name", "asked at", "accession numbers")
    for one in lists:
        table.add_row(str(one.id), one.pacs, one.name, one.asked_at[:19], _counts(one))
    Console().print(table if lists else "no retrieve lists", highlight=False)


def _counts(one: RetrieveListRow) -> str:
    return ", ".join(f"{count} {state}" for state, count in one.counts.items())


def print_list(config: Config, number: int, *, as_json: bool) -> None:
    """Print what came of a list so far."""
    with _reader(config) as reader:
        one, items = reader.one_list(number), reader.items(number)
        series = {item.id: reader.series(item.id) for item in items} if as_json else {}
        pause = reader.pause(one.pacs)
    if as_json:
        document = [
            {
                **dataclasses.asdict(item),
                "of_series": [dataclasses.asdict(row) for row in series[item.id]],
            }
            for item in items
        ]
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    Console().print(_items_table(items), highlight=False)
    if pause is not None and one.is_open:
        click.echo(f"{one.pacs} is let alone until {pause.until[:19]}: {pause.reason}")


def _items_table(items: Sequence[RetrieveItemRow]) -> Table:
    table = table_of("accession", "state", "series", "received", "missing", "because")
    for item in items:
        left_out = f" ({item.left_out} left out)" if item.left_out else ""
        table.add_row(
            *(item.accession_number, item.state, f"{item.series}{left_out}"),
            *(f"{item.received} of {item.found}", str(item.missing or ""), item.reason),
        )
    return table


def write_report_of(config: Config, number: int, target: Path) -> None:
    """Write the report of a list; raises as `safelight.retrieve_report.write_report`."""
    from safelight.retrieve_report import write_report  # noqa: PLC0415 - takes long

    with _reader(config) as reader:
        write_report(reader, number, target)
    click.echo(f"{target} is written")


def cancel(config: Config, number: int) -> None:
    """Take out what of a list has not ended."""
    _require(config, number)
    ask(config, Request("retrieve_cancel", job=number))
    click.echo(f"retrieve list {number} is cancelled")


def again(config: Config, number: int) -> None:
    """Try again what of a list is not whole."""
    _require(config, number)
    ask(config, Request("retrieve_again", job=number))
    click.echo(f"retrieve list {number} is tried again")


def _require(config: Config, number: int) -> None:
    with _reader(config) as reader:
        reader.one_list(number)


@contextmanager
def _reader(config: Config) -> Iterator[RetrieveReader]:
    reader = RetrieveReader.at(config.storage.ledger)
    try:
        yield reader
    finally:
        reader.close()


def table_of(*headings: str) -> Table:
    """A table for the terminal, with these headings."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
