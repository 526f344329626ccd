"""Shows in the terminal how far a retrieve list is, and says what it waits for."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ledger.reader import LedgerReader
from ledger.retrieve_reader import OpenItemRow, RetrieveListRow, RetrieveReader
from rules.window import Window
from safelight.config import Config
from safelight.disk import NO_GROWTH, disk_state
from safelight.retrieve_progress import HowFar, how_far
from safelight.status import disk_line

_LOOK_SECONDS = 0.15
_PATIENCE_SECONDS = 3.0


class Follower:
    """Follows one list.

    Parameters
    ----------
    config, reader
        Where the list is.
    number
        Its number.
    """

    def __init__(self, config: Config, reader: RetrieveReader, number: int) -> None:
        self._config = config
        self._reader = reader
        self._number = number
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[stage]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[int, TaskID] = {}

    def follow(self, *, to_the_end: bool) -> str:
        """Show bars until all has ended; return why it was left earlier, or nothing.

        It is left when nothing can happen for a while, unless `to_the_end`.
        """
        with self._bars:
            total = self._bars.add_task("accession numbers", stage="")
            while True:
                one = self._reader.one_list(self._number)
                items = self._reader.open_items(self._number)
                self._show(total, one, items)
                if not items:
                    return ""
                if not to_the_end and (why := self._waits(one.pacs, items)):
                    return why
                time.sleep(_LOOK_SECONDS)

    def _waits(self, pacs: str, items: Sequence[OpenItemRow]) -> str:
        return what_is_waited_for(self._config, self._reader, pacs, items)

    def _show(self, total: TaskID, one: RetrieveListRow, items: Sequence[OpenItemRow]) -> None:
        self._bars.update(total, total=sum(one.counts.values()), completed=one.ended)
        told = how_far(self._config.storage.progress)
        running = [item for item in items if item.state == "running"]
        for number in self._tasks.keys() - {item.id for item in running}:
            self._bars.remove_task(self._tasks.pop(number))
        for item in running:
            self._show_one(item, told.get(item.id, HowFar("beginning")))

    def _show_one(self, item: OpenItemRow, how: HowFar) -> None:
        if item.id not in self._tasks:
            self._tasks[item.id] = self._bars.add_task(item.accession_number, stage="")
        self._bars.update(
            self._tasks[item.id],
            total=how.expected or None,
            completed=how.received,
            stage=how.stage,
        )


def what_is_waited_for(
    config: Config, reader: RetrieveReader, pacs: str, items: Sequence[OpenItemRow]
) -> str:
    """What all that is open waits for, where that takes a while; else nothing."""
    if any(item.state == "running" for item in items):
        return ""
    return (
        _paused(reader, pacs)
        or _out_of_its_window(config, pacs)
        or _no_room(config)
        or _all_later(items[0])
    )


def _paused(reader: RetrieveReader, name: str) -> str:
    pause = reader.pause(name)
    if pause is None or not _is_later(pause.until):
        return ""
    return f"{pause.reason}; tried again at {_clock(pause.until)}"


def _out_of_its_window(config: Config, name: str) -> str:
    text = next((one.window for one in config.pacs if one.name == name), "")
    if not text or Window.parse(text).holds(datetime.now().astimezone()):
        return ""
    return f"retrieves from {name} begin between {text} only"


def _no_room(config: Config) -> str:
    reader = LedgerReader(config.storage.ledger)
    try:
        before = reader.disk_stage()
    finally:
        reader.close()
    disk = disk_state(config.storage, before, NO_GROWTH)
    return "" if disk.stage in ("ample", "warn") else disk_line(disk)


def _all_later(soonest: OpenItemRow) -> str:
    if not _is_later(soonest.not_before):
        return ""
    return f"{soonest.reason}; tried again at {_clock(soonest.not_before)}"


def _is_later(at: str) -> bool:
    return (datetime.fromisoformat(at) - datetime.now(UTC)).total_seconds() > _PATIENCE_SECONDS


def _clock(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%H:%M:%S}"
