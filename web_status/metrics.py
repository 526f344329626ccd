"""Numbers for Prometheus, without patient data: nothing in them names a study, or anybody."""

import shutil
from collections.abc import Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from ledger.errors import NoLedger
from ledger.reader import LedgerReader
from ledger.rows import Overview
from ledger.tallies import Tallies
from web_status.context import CONTEXT, WebContext
from web_status.errors import LedgerUnavailable
from web_status.ledger_thread import LEDGER
from web_status.network import silences

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def add_metrics(app: web.Application) -> None:
    """Add the route."""
    app.router.add_get("/metrics", _metrics)


async def _metrics(request: web.Request) -> web.Response:
    context = request.app[CONTEXT]
    try:
        found = await request.app[LEDGER].ask(lambda reader: _from_ledger(reader, context))
    except (NoLedger, LedgerUnavailable):
        found = []
    metrics = [*_of_the_node(context, is_readable=bool(found)), *found]
    body = generate_latest(_registry(metrics))
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


class _Fixed:
    """A collector of metrics that are there already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def _registry(metrics: list[Metric]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Fixed(metrics))
    return registry


def _of_the_node(context: WebContext, *, is_readable: bool) -> Iterator[Metric]:
    info = GaugeMetricFamily("safelight_info", "The version.", labels=["version"])
    info.add_metric([context.version], 1)
    yield info
    yield _gauge("safelight_ledger_readable", "1 while the ledger can be read.", int(is_readable))
    try:
        disk = shutil.disk_usage(context.data)
    except OSError:
        return
    yield _gauge("safelight_disk_free_bytes", "Free on the disk of the data folder.", disk.free)
    yield _gauge("safelight_disk_size_bytes", "Size of the disk of the data folder.", disk.total)


def _from_ledger(reader: LedgerReader, context: WebContext) -> list[Metric]:
    held = len(context.condition(reader).held)
    silent = len(silences(reader, context.network))
    return [
        _gauge("safelight_held", "Reasons why work is held up: disk and pauses.", held),
        _gauge("safelight_silent_senders", "Senders missed for longer than silent_hours.", silent),
        *_of_overview(reader.overview()),
        *_of_tallies(reader.tallies()),
    ]


def _of_overview(overview: Overview) -> Iterator[Metric]:
    yield _gauge("safelight_studies", "Studies in the ledger.", overview.studies)
    yield _gauge("safelight_instances", "Instances in the ledger.", overview.instances)
    yield _gauge("safelight_instances_bytes", "Bytes of their datasets.", overview.bytes)
    yield _gauge("safelight_attention", "Series and jobs that need a person.", overview.attention)
    yield _gauge("safelight_quarantine_files", "Files in quarantine.", overview.quarantined)
    yield _gauge("safelight_refusals_day", "Refusals in the last 24 hours.", overview.refusals)


def _of_tallies(tallies: Tallies) -> Iterator[Metric]:
    words = "Associations by how they ended, and those that are open."
    yield _labelled("safelight_associations", words, "state", tallies.associations)
    yield _labelled("safelight_series", "Series by grade.", "grade", tallies.series)
    yield _labelled("safelight_jobs", "Jobs by state.", "state", tallies.jobs)
    words = "Accession numbers of retrieve lists by state."
    yield _labelled("safelight_retrieve_items", words, "state", tallies.retrieve_items)
    yield _gauge(
        "safelight_queue_oldest_seconds",
        "How long the first job in the queue has waited.",
        tallies.oldest_queued_seconds,
    )
    yield SummaryMetricFamily(
        "safelight_job_seconds",
        "How long the jobs took that ended well.",
        count_value=tallies.jobs_done,
        sum_value=tallies.job_seconds,
    )


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _labelled(name: str, words: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family
