"""What each page consists of: fragments with stable ids, made from what the ledger says.

A fragment is the unit of a live update: it is rendered the same way for the page and for the
updates, and compared by the data it is made from. Nothing here renders.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ledger.errors import NotInLedger
from ledger.reader import LedgerReader
from ledger.rows import (
    AssociationRow,
    JobRow,
    Overview,
    QuarantineRow,
    RefusalRow,
    SeriesRow,
)
from web_status.context import Progress, WebContext
from web_status.details import entries
from web_status.now import EMPTY, PAGE_SIZE, Now, Running, gather, running_jobs
from web_status.retrieves import ListPage, ShownList, all_lists, list_page

Kind = Literal["now", "study", "series", "alarms", "retrieves", "retrieve"]
_FULL = 0.9
_LISTED = 50


@dataclass(frozen=True)
class Topic:
    """What a page is about: `number` is the page of the list, or the study or series, else 1.

    `veiled` says that names of patients are hidden from who looks at it.
    """

    kind: Kind
    number: int
    veiled: bool = False


@dataclass(frozen=True)
class Fragment:
    """One part of a page: the template of its element and what that is rendered from."""

    id: str
    template: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class View:
    """All that a page shows; `lists` gives the order of the fragments in each growing list."""

    title: str
    fragments: tuple[Fragment, ...]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Disk:
    """How full the disk of the data folder is, in bytes."""

    total: int
    free: int

    @property
    def fraction(self) -> float:
        """The part that is taken, 0 to 1."""
        return 1 - self.free / self.total if self.total else 1.0

    @property
    def is_full(self) -> bool:
        """Whether it needs a person."""
        return self.fraction >= _FULL


def disk_of(folder: Path) -> Disk | None:
    """The use of the disk `folder` is on, in whole percent; None while it cannot be told."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    step = usage.total // 100 or 1
    return Disk(usage.total, usage.free // step * step)


def view_of(reader: LedgerReader, topic: Topic, context: WebContext, progress: Progress) -> View:
    """Gather a page.

    Raises
    ------
    NotInLedger
        There is no such study or series, or the list has no such page.
    """
    if topic.kind == "now":
        return _now_view(gather(reader, topic.number, progress), topic, context)
    state = _state(reader.overview(), context)
    if topic.kind == "alarms":
        return _alarms_view(state, Alarms.of(reader))
    if topic.kind == "retrieves":
        return _retrieves_view(state, all_lists(reader))
    if topic.kind == "retrieve":
        return _retrieve_view(state, list_page(reader, topic.number, progress))
    if topic.kind == "study":
        return _study_view(reader, topic, state, progress)
    return _series_view(reader, topic, state, progress)


def view_without_ledger(topic: Topic, context: WebContext) -> View:
    """The page while there is no ledger: the first one, the alarms and the retrieves are empty.

    Raises
    ------
    NotInLedger
        Any other page was asked for.
    """
    if topic.kind == "alarms":
        return _alarms_view(_state(EMPTY.overview, context), Alarms())
    if topic.kind == "retrieves":
        return _retrieves_view(_state(EMPTY.overview, context), ())
    if topic.kind != "now":
        raise NotInLedger(f"no {topic.kind} {topic.number}")
    return _now_view(EMPTY, topic, context)


def _state(overview: Overview, context: WebContext) -> Fragment:
    return Fragment("state", "_state.html", {"now": overview, "disk": disk_of(context.data)})


@dataclass(frozen=True)
class Pages:
    """Where in the list of series a page is."""

    number: int
    last: int
    series: int


def _now_view(now: Now, topic: Topic, context: WebContext) -> View:
    total = now.overview.series
    pages = Pages(topic.number, max(1, -(-total // PAGE_SIZE)), total)
    if pages.number > pages.last:
        raise NotInLedger(f"the list of series has no page {pages.number}")
    host, port = context.dicom_address
    receiver = {"ae_title": context.ae_title, "host": host, "port": port}
    fragments = (
        _state(now.overview, context),
        Fragment("moving", "_moving.html", {"now": now}),
        Fragment("attention", "_attention.html", {"now": now}),
        Fragment("welcome", "_welcome.html", {"empty": not total, "receiver": receiver}),
        Fragment("pages", "_pages.html", {"pages": pages}),
        *_rows(now.rows, now.running),
    )
    return View("Now", fragments, _listed(now.rows))


def _rows(rows: Iterable[SeriesRow], running: Iterable[Running]) -> tuple[Fragment, ...]:
    by_series = {item.series.id: item for item in running}
    return tuple(
        Fragment(_row_id(row), "_row.html", {"row": row, "running": by_series.get(row.id)})
        for row in rows
    )


def _row_id(row: SeriesRow) -> str:
    return f"series-{row.id}"


def _listed(rows: Iterable[SeriesRow]) -> dict[str, tuple[str, ...]]:
    return {"series": tuple(_row_id(row) for row in rows)}


def _study_view(reader: LedgerReader, topic: Topic, state: Fragment, progress: Progress) -> View:
    rows = reader.study_series(topic.number)
    study = Fragment("study", "_study.html", {"study": rows[0], "rows": rows})
    fragments = (state, study, *_rows(rows, running_jobs(reader, progress)))
    return View(f"Study {topic.number}", fragments, _listed(rows))


@dataclass(frozen=True)
class Alarms:
    """The latest that was refused and set aside, and the latest associations."""

    refusals: tuple[RefusalRow, ...] = ()
    quarantine: tuple[QuarantineRow, ...] = ()
    senders: tuple[AssociationRow, ...] = ()

    @classmethod
    def of(cls, reader: LedgerReader) -> "Alarms":
        """What the ledger says."""
        return cls(
            reader.refusals(limit=_LISTED),
            reader.quarantine(limit=_LISTED),
            reader.associations(limit=_LISTED),
        )


def _alarms_view(state: Fragment, alarms: Alarms) -> View:
    fragments = (
        state,
        Fragment("refusals", "_refusals.html", {"refusals": alarms.refusals}),
        Fragment("quarantine", "_quarantine.html", {"files": alarms.quarantine}),
        Fragment("senders", "_senders.html", {"senders": alarms.senders}),
    )
    return View("Alarms", fragments)


def _retrieves_view(state: Fragment, lists: tuple[ShownList, ...]) -> View:
    return View("Retrieves", (state, Fragment("lists", "_lists.html", {"lists": lists})))


def _retrieve_view(state: Fragment, page: ListPage) -> View:
    fragments = (
        state,
        Fragment("list", "_retrieve.html", {"head": page.head}),
        Fragment("numbers", "_numbers.html", {"items": page.items, "more": page.more}),
    )
    return View(f"Retrieve list {page.head.row.id}", fragments)


def _series_view(reader: LedgerReader, topic: Topic, state: Fragment, progress: Progress) -> View:
    row = reader.one_series(topic.number)
    fragments = (
        state,
        Fragment("head", "_head.html", {"row": row}),
        Fragment("decision", "_decision.html", {"decision": reader.decision(row.id), "row": row}),
        Fragment("jobs", "_jobs.html", {"row": row} | _jobs(reader.jobs_of(row.id), progress)),
        Fragment("history", "_history.html", {"history": reader.history(row.id)}),
    )
    return View(f"Series {row.id}", fragments)


def _jobs(jobs: tuple[JobRow, ...], progress: Progress) -> dict[str, object]:
    return {
        "jobs": jobs,
        "progress": {job.key: progress[job.key] for job in jobs if job.key in progress},
        "details": {
            (job.id, step.processor): entries(step.details) for job in jobs for step in job.steps
        },
    }
