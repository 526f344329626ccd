"""Fetches one accession number through the daemon, and waits for it."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ledger.retrieve_reader import RetrieveItemRow, RetrieveReader
from ledger.retrieve_records import RetrievedSeries, RetrieveState
from safelight.config import Config
from safelight.embedded import running_daemon
from safelight.gathering import GatheredSeries, gather_from
from safelight.job_commands import ask
from safelight.requests import Request
from safelight.retrieve_follow import what_is_waited_for
from safelight.retrieve_orders import Wish, order_of
from safelight.retrieve_progress import HowFar, how_far

_LOOK_SECONDS = 0.3


@dataclass(frozen=True)
class Fetched:
    """What came of a retrieve.

    Attributes
    ----------
    state : str
        ``whole`` where every instance that the PACS lists is here.
    found, received, missing : int
        Instances of the series that were asked for.
    reason : str
        What went wrong, with the remedy.
    left_out : mapping
        Why a rule left a series out, by its UID.
    """

    accession_number: str = field(repr=False)
    state: RetrieveState
    found: int
    received: int
    missing: int
    reason: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fetching:
    """How to fetch.

    Attributes
    ----------
    config, file
        The configuration, and where it was read from; None for the embedded defaults.
    wish
        What is asked for; its rules leave series out before the transfer.
    scratch
        A folder for what a daemon that is started for this needs.
    """

    config: Config
    file: Path | None
    wish: Wish
    scratch: Path

    def run(
        self, on_progress: Callable[[HowFar], None]
    ) -> tuple[Fetched, tuple[GatheredSeries, ...], Mapping[str, Mapping[str, object]]]:
        """Fetch, wherever the daemon has to be started for it.

        Returns
        -------
        fetched : Fetched
        series : tuple of GatheredSeries
            What is in the spool of what was asked for.
        known : mapping
            Facts of each series by its UID.
        """
        with self._daemon():
            item, rows = self._retrieve(on_progress)
        wanted = [row for row in rows if not row.left_out]
        instances = self.config.storage.spool / "instances"
        folders = {
            (row.StudyInstanceUID, row.SeriesInstanceUID): instances
            / row.StudyInstanceUID
            / row.SeriesInstanceUID
            for row in wanted
        }
        here = {key: folder for key, folder in folders.items() if folder.is_dir()}
        fetched = Fetched(
            *(item.accession_number, item.state, item.found, item.received),
            missing=item.missing,
            reason=item.reason,
            left_out={row.SeriesInstanceUID: row.left_out for row in rows if row.left_out},
        )
        return fetched, gather_from(here), {row.SeriesInstanceUID: _facts(row) for row in wanted}

    @contextmanager
    def _daemon(self) -> Iterator[None]:
        """The site's daemon, or one that fetches and processes nothing."""
        nothing = self.scratch / "no-rules.toml"
        nothing.touch()
        options = ["--config", str(self.file)] if self.file else []
        options += ["--rules", str(nothing), "--web", f"127.0.0.1:{_any_port()}"]
        with running_daemon(self.config.storage.data, options):
            yield

    def _retrieve(
        self, on_progress: Callable[[HowFar], None]
    ) -> tuple[RetrieveItemRow, tuple[RetrievedSeries, ...]]:
        key = uuid.uuid4().hex
        pacs = self.wish.asked(self.config)
        ask(self.config, Request("retrieve", order=order_of(self.config, self.wish, pacs, key)))
        reader = RetrieveReader.at(self.config.storage.ledger)
        try:
            number = reader.list_of(key).id
            try:
                self._wait(reader, number, pacs.name, on_progress)
            except BaseException:
                ask(self.config, Request("retrieve_cancel", job=number))
                raise
            (item,) = reader.items(number)
            return item, reader.series(item.id)
        finally:
            reader.close()

    def _wait(
        self, reader: RetrieveReader, number: int, pacs: str, told: Callable[[HowFar], None]
    ) -> None:
        while items := reader.open_items(number):
            waiting = what_is_waited_for(self.config, reader, pacs, items)
            far = how_far(self.config.storage.progress).get(items[0].id, HowFar("beginning"))
            told(HowFar(waiting, far.expected, far.received) if waiting else far)
            time.sleep(_LOOK_SECONDS)


def _facts(row: RetrievedSeries) -> Mapping[str, object]:
    """What is known of a series that was fetched, as jobs are told it."""
    proven = row.expected is not None and not row.is_short and not row.doubt
    evidence = f"{row.received} of {row.expected} instances that the PACS lists are here"
    grade = {"grade": "listed", "evidence": evidence} if proven else {}
    return {"instances_expected": row.expected, **grade}


def _any_port() -> int:
    """A port that is free; nobody needs to know the page of such a daemon."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
