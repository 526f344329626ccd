"""Numbers for Prometheus, without patient data: nothing in them names a study, or anybody.

Sums over the ledger and the disk are made here, when they are asked for; what is counted as it
happens, and how the processes are, is told by the daemon.
"""

import asyncio
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.connection import MIGRATIONS
from ledger.errors import NoLedger
from ledger.reader import LedgerReader
from ledger.rows import Overview
from ledger.tallies import Tallies, Waiting
from web_status.access import METRICS
from web_status.alarm_kinds import ALARM_KINDS
from web_status.alarms import Alarm, alarms_of
from web_status.context import CONTEXT, WebContext
from web_status.errors import LedgerUnavailable
from web_status.ledger_thread import LEDGER
from web_status.live import HUB
from web_status.network import silences
from web_status.node import DiskFill
from web_status.views import disk_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def add_metrics(app: web.Application) -> None:
    """Add the route."""
    app.router.add_get(METRICS, _metrics)


async def _metrics(request: web.Request) -> web.Response:
    context = request.app[CONTEXT]
    queues = await asyncio.to_thread(context.queues)
    try:
        found = await request.app[LEDGER].ask(lambda reader: _from_ledger(reader, context, queues))
    except (NoLedger, LedgerUnavailable):
        found, is_readable = [*_queues(queues)], False
    else:
        is_readable = True
    pages = _gauge("safelight_open_pages", "Pages with live updates.", request.app[HUB].clients)
    metrics = [*_of_the_node(context, is_readable=is_readable), pages, *found]
    body = await asyncio.to_thread(_text, context, metrics)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


class _Fixed(Collector):
    """A collector of metrics that are there already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def _text(context: WebContext, metrics: list[Metric]) -> bytes:
    registry = CollectorRegistry()
    for collector in (_Fixed(metrics), *context.metrics):
        registry.register(collector)
    return generate_latest(registry)


def _of_the_node(context: WebContext, *, is_readable: bool) -> Iterator[Metric]:
    words = "The version, and that of the ledger's tables."
    info = GaugeMetricFamily("safelight_info", words, labels=["version", "schema"])
    info.add_metric([context.version, max(MIGRATIONS)], 1)
    yield info
    yield _gauge("safelight_ledger_readable", "1 while the ledger can be read.", int(is_readable))
    yield _gauge("safelight_workers", "Jobs that may run at the same time.", context.about.workers)
    yield from _disks({"data": context.data, "results": context.results})


def _disks(folders: Mapping[str, Path]) -> Iterator[Metric]:
    size = GaugeMetricFamily(
        "safelight_disk_size_bytes", "Size of the filesystem of a folder.", labels=["folder"]
    )
    free = GaugeMetricFamily(
        "safelight_disk_free_bytes", "Free on the filesystem of a folder.", labels=["folder"]
    )
    for name, folder in folders.items():
        try:
            usage = shutil.disk_usage(folder)
        except OSError:
            continue
        size.add_metric([name], usage.total)
        free.add_metric([name], usage.free)
    yield from (size, free)


def _from_ledger(
    reader: LedgerReader, context: WebContext, queues: Mapping[str, Waiting]
) -> list[Metric]:
    overview, tallies = reader.overview(), reader.tallies()
    condition, silent = context.condition(reader), silences(reader, context.network)
    disk = disk_of(context.data)
    is_full = disk is not None and disk.is_full
    return [
        *_of_overview(overview),
        *_of_tallies(tallies),
        *_queues({**tallies.queues, **queues}),
        _alarms(alarms_of(overview, condition, silent, is_full=is_full)),
        _gauge("safelight_held", "Reasons why work is held up.", len(condition.held)),
        _gauge("safelight_silent_senders", "Senders missed beyond silent_hours.", len(silent)),
        *(() if condition.disk is None else _of_disk(condition.disk)),
    ]


def _of_disk(disk: DiskFill) -> Iterator[Metric]:
    stages = {stage: int(stage == disk.stage) for stage in disk.stages}
    yield _labelled("safelight_disk_stage", "1 for what a filling disk holds up.", "stage", stages)
    words = "Bytes of the instances in the spool, as of the last minute."
    yield _gauge("safelight_spool_bytes", words, disk.spool_bytes)
    if disk.hours_left is not None:
        yield _gauge(
            "safelight_disk_lasts_seconds",
            "How long the disk lasts at the rate of the last 24 hours; absent while nothing grows.",
            disk.hours_left * 3600,
        )


def _of_overview(overview: Overview) -> Iterator[Metric]:
    yield _gauge("safelight_studies", "Studies in the ledger.", overview.studies)
    yield _gauge("safelight_instances", "Instances in the ledger.", overview.instances)
    yield _gauge("safelight_instances_bytes", "Bytes of them.", overview.bytes)
    words = "Associations that are open."
    yield _gauge("safelight_open_associations", words, overview.open_associations)
    yield _gauge("safelight_attention", "Series and jobs that need a person.", overview.attention)
    yield _gauge("safelight_quarantine_files", "Files in quarantine.", overview.quarantined)


def _of_tallies(tallies: Tallies) -> Iterator[Metric]:
    yield _labelled("safelight_series", "Series by grade.", "grade", tallies.grades)
    words = "Series by state: arriving, undecided, or what the rules said."
    yield _labelled("safelight_series_states", words, "state", tallies.series)
    yield _labelled(
        "safelight_jobs", "Jobs by state; dead ones were given up.", "state", tallies.jobs
    )
    words = "Accession numbers of retrieve lists by state."
    yield _labelled("safelight_retrieve_items", words, "state", tallies.retrieve_items)


def _queues(queues: Mapping[str, Waiting]) -> Iterator[Metric]:
    lengths = {name: queue.length for name, queue in queues.items()}
    yield _labelled("safelight_queue_length", "What waits, by queue.", "queue", lengths)
    ages = {name: queue.oldest_seconds for name, queue in queues.items()}
    words = "For how long the oldest of a queue has waited; 0 where none does."
    yield _labelled("safelight_queue_oldest_seconds", words, "queue", ages)


def _alarms(alarms: Iterable[Alarm]) -> Metric:
    kinds = [alarm.kind for alarm in alarms]
    counts: dict[str, int] = {kind: kinds.count(kind) for kind in ALARM_KINDS}
    return _labelled("safelight_alarms", "Alarms by kind, as the page has them.", "kind", counts)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _labelled(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family
