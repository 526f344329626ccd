"""What each page consists of: fragments with stable ids, made from what the ledger says.

A fragment is the unit of a live update: it is rendered the same way for the page and for the
updates, and compared by the data it is made from. Nothing here renders.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from ledger.configuration_reader import ConfigurationRow
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
from web_status.alarms import alarms_of
from web_status.completeness import shortfall
from web_status.context import Progress, WebContext
from web_status.details import entries
from web_status.languages import msgid
from web_status.network import Peers, peers_of, silences
from web_status.node import Condition, Queue, RulesState, queue_of
from web_status.now import EMPTY, PAGE_SIZE, Now, Running, gather, running_jobs
from web_status.quality import reasons_of
from web_status.retrieves import ListPage, ShownList, all_lists, list_page
from web_status.rules_in_force import InForce, rules_in_force

Kind = Literal[
    "now",
    "study",
    "series",
    "alarms",
    "retrieves",
    "retrieve",
    "network",
    "uploads",
    "system",
    "rules",
]
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
    """All that a page shows; `lists` gives the order of the fragments in each growing list.

    `title` may name the `number` of the topic; it is translated where it is shown.
    """

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


@dataclass(frozen=True)
class _Look:
    """What a page is made from; `state` is the state line, which all of them have."""

    reader: LedgerReader
    topic: Topic
    context: WebContext
    progress: Progress
    overview: Overview
    state: Fragment

    @property
    def number(self) -> int:
        return self.topic.number


def view_of(reader: LedgerReader, topic: Topic, context: WebContext, progress: Progress) -> View:
    """Gather a page.

    Raises
    ------
    NotInLedger
        There is no such study or series, or the list has no such page.
    """
    overview = reader.overview()
    look = _Look(reader, topic, context, progress, overview, _state(reader, overview, context))
    return _VIEWS[topic.kind](look)


def view_without_ledger(topic: Topic, context: WebContext) -> View:  # noqa: PLR0911 - one a kind
    """The page while there is no ledger: whatever it would list is empty.

    Raises
    ------
    NotInLedger
        A study, a series or a retrieve list was asked for.
    """
    state = _state(None, EMPTY.overview, context)
    match topic.kind:
        case "now":
            return _now_view(EMPTY, topic, state, context)
        case "alarms":
            return _alarms_view(state, Alarms())
        case "retrieves":
            return _retrieves_view(state, ())
        case "network":
            return _network_view(state, peers_of(None, context.network, context.kept.echoes))
        case "uploads":
            return _uploads_view(state, context)
        case "rules":
            return _rules_view(state, InForce())
        case "system":
            return _system_view(state, Queue(), RulesState(), context)
    raise NotInLedger(f"no {topic.kind} {topic.number}")


def _state(reader: LedgerReader | None, overview: Overview, context: WebContext) -> Fragment:
    """The state line with its alarms."""
    condition = Condition() if reader is None else context.condition(reader)
    silent = () if reader is None else silences(reader, context.network)
    disk = disk_of(context.data)
    is_full = disk is not None and disk.is_full
    values: dict[str, object] = {
        "now": overview,
        "disk": disk,
        "condition": condition,
        "silent": silent,
        "alarms": alarms_of(overview, condition, silent, is_full=is_full),
    }
    return Fragment("state", "_state.html", values)


def _alarms(state: Fragment) -> Fragment:
    """What is wrong, with what to do about it; as the state line has it."""
    return Fragment("alarms", "_alarms.html", {"alarms": state.values["alarms"]})


@dataclass(frozen=True)
class Pages:
    """Where in the list of series a page is."""

    number: int
    last: int
    series: int


def _now_view(now: Now, topic: Topic, state: Fragment, context: WebContext) -> View:
    total = now.overview.series
    pages = Pages(topic.number, max(1, -(-total // PAGE_SIZE)), total)
    if pages.number > pages.last:
        raise NotInLedger(f"the list of series has no page {pages.number}")
    host, port = context.dicom_address
    receiver = {"ae_title": context.ae_title, "host": host, "port": port}
    fragments = (
        state,
        _alarms(state),
        Fragment("moving", "_moving.html", {"now": now}),
        Fragment("attention", "_attention.html", {"now": now}),
        Fragment("welcome", "_welcome.html", {"empty": not total, "receiver": receiver}),
        Fragment("pages", "_pages.html", {"pages": pages}),
        *_rows(now.rows, now.running),
    )
    return View(msgid("Now"), fragments, _listed(now.rows))


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


def _study_view(look: _Look) -> View:
    study = look.reader.studies.one(look.number)
    short = shortfall(look.reader, study, look.context.told(study.StudyInstanceUID))
    may_ask = bool(look.context.actions.pacs)
    missing = {"study": study, "short": short, "may_ask": may_ask}
    fragments = (
        look.state,
        Fragment("study", "_study.html", {"study": study}),
        Fragment("missing", "_missing.html", missing),
        *_rows(study.series, running_jobs(look.reader, look.progress)),
    )
    return View(msgid("Study %(number)s"), fragments, _listed(study.series))


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
        _alarms(state),
        Fragment("refusals", "_refusals.html", {"refusals": alarms.refusals}),
        Fragment("quarantine", "_quarantine.html", {"files": alarms.quarantine}),
        Fragment("senders", "_senders.html", {"senders": alarms.senders}),
    )
    return View(msgid("Alarms"), fragments)


def _retrieves_view(state: Fragment, lists: tuple[ShownList, ...]) -> View:
    return View(msgid("Retrieves"), (state, Fragment("lists", "_lists.html", {"lists": lists})))


def _retrieve_view(state: Fragment, page: ListPage) -> View:
    fragments = (
        state,
        Fragment("list", "_retrieve.html", {"head": page.head}),
        Fragment("numbers", "_numbers.html", {"items": page.items, "more": page.more}),
    )
    return View(msgid("Retrieve list %(number)s"), fragments)


def _network_view(state: Fragment, peers: Peers) -> View:
    fragments = (
        state,
        Fragment("pacs", "_pacs.html", {"pacs": peers.pacs}),
        Fragment("callers", "_callers.html", {"senders": peers.senders, "silent": peers.silent}),
        Fragment("allowed", "_allowed.html", {"allowed": peers.allowed}),
        Fragment("refused", "_refused.html", {"refusals": peers.refusals}),
    )
    return View(msgid("PACS and senders"), fragments)


def _uploads_view(state: Fragment, context: WebContext) -> View:
    uploads = tuple(replace(one) for one in context.kept.uploads)  # they go on changing
    return View(
        msgid("Upload"), (state, Fragment("uploads", "_uploads.html", {"uploads": uploads}))
    )


def _rules_view(state: Fragment, found: InForce) -> View:
    return View(msgid("Rules"), (state, Fragment("rules", "_rules.html", {"found": found})))


def _system_view(
    state: Fragment,
    queue: Queue,
    rules: RulesState,
    context: WebContext,
    changes: Sequence[ConfigurationRow] = (),
) -> View:
    kept = context.kept
    balance = {"check": kept.check, "is_checking": kept.is_checking}
    fragments = (
        state,
        Fragment("queue", "_queue.html", _at_work(queue, context)),
        Fragment("balance", "_balance.html", balance),
        Fragment("in-force", "_in_force.html", {"rules": rules}),
        Fragment("log", "_log.html", {"lines": context.log()}),
        Fragment("about", "_about.html", {"about": context.about, "changes": changes}),
    )
    return View(msgid("System"), fragments)


def _at_work(queue: Queue, context: WebContext) -> dict[str, object]:
    """The queue, and who works at it: those of this machine, and those of a cluster."""
    cluster = context.cluster()
    elsewhere = sum(one.capacity for one in cluster if not one.problem)
    return {"queue": queue, "workers": context.about.workers + elsewhere, "cluster": cluster}


def _series_view(reader: LedgerReader, topic: Topic, state: Fragment, progress: Progress) -> View:
    row = reader.one_series(topic.number)
    fragments = (
        state,
        Fragment("head", "_head.html", {"row": row}),
        Fragment("decision", "_decision.html", {"decision": reader.decision(row.id), "row": row}),
        Fragment("revisions", "_revisions.html", {"revisions": reader.revisions(row.id)}),
        Fragment("jobs", "_jobs.html", {"row": row} | _jobs(reader.jobs_of(row.id), progress)),
        Fragment("history", "_history.html", {"history": reader.history(row.id)}),
    )
    return View(msgid("Series %(number)s"), fragments)


def _jobs(jobs: tuple[JobRow, ...], progress: Progress) -> dict[str, object]:
    return {
        "jobs": jobs,
        "progress": {job.key: progress[job.key] for job in jobs if job.key in progress},
        "details": {
            (job.id, step.processor): entries(step.details) for job in jobs for step in job.steps
        },
        "reasons": {
            job.id: reasons_of(step.details)
            for job in jobs
            for step in job.steps
            if step.processor == "qc"
        },
    }


_VIEWS: Mapping[Kind, Callable[[_Look], View]] = MappingProxyType(
    {
        "now": lambda look: _now_view(
            gather(look.reader, look.number, look.progress, look.overview),
            look.topic,
            look.state,
            look.context,
        ),
        "alarms": lambda look: _alarms_view(look.state, Alarms.of(look.reader)),
        "retrieves": lambda look: _retrieves_view(look.state, all_lists(look.reader)),
        "retrieve": lambda look: _retrieve_view(
            look.state, list_page(look.reader, look.number, look.progress)
        ),
        "network": lambda look: _network_view(
            look.state, peers_of(look.reader, look.context.network, look.context.kept.echoes)
        ),
        "system": lambda look: _system_view(
            look.state,
            queue_of(look.reader),
            RulesState(*look.reader.rules_in_force()),
            look.context,
            look.reader.configurations.latest(),
        ),
        "rules": lambda look: _rules_view(look.state, rules_in_force(look.reader)),
        "uploads": lambda look: _uploads_view(look.state, look.context),
        "study": _study_view,
        "series": lambda look: _series_view(look.reader, look.topic, look.state, look.progress),
    }
)
