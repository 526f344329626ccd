"""The coordinator process: the pipeline in a thread of its own, the status page beside it."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from prometheus_client import ProcessCollector

from ledger.tallies import Waiting
from ledger.writer import LedgerWriter
from listener.commitment import CommitmentStore
from listener.retrievals import Retrieval, Retrievals
from processor.job import progress_of
from processor.remote import RemoteEngine
from safelight.auditing import Auditing
from safelight.child import Reporter
from safelight.cluster import cluster_of
from safelight.commitments import Commitments
from safelight.config import Config
from safelight.config_changes import note_configuration
from safelight.getting import note_ended
from safelight.ledger_opening import open_ledger
from safelight.log_files import latest_lines
from safelight.page_actions import PageActions
from safelight.page_metrics import NodeMetrics
from safelight.page_node import NodeCondition, about, config_of, network_of
from safelight.page_rules import PageRules
from safelight.pipeline import Pipeline, Telemetry
from safelight.pulse import Pulse
from safelight.retrieve_progress import how_far
from safelight.secret_values import secret_of
from safelight.uploading import WRITER
from safelight.version import __version__
from web_status.app import WebContext, make_app, serve

_LOG_LINES = 200  # the page shows so many
_NICE = 10  # reception comes first where the processors are busy; workers inherit it


def run_coordinator(pulse: Pulse, config: Config, report: Reporter, stop: threading.Event) -> None:
    """Watch, decide, process, record and show until `stop` is set."""
    os.nice(_NICE)
    reload = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    telemetry = Telemetry.of(config)
    cluster = cluster_of(config)
    condition = NodeCondition(config, cluster)

    def pipeline_of(ledger: LedgerWriter) -> Pipeline:
        return Pipeline(config, ledger, reload, cluster, telemetry=telemetry, condition=condition)

    counted = (telemetry.counts.registry, NodeMetrics(pulse, telemetry.lag))
    context = replace(
        web_context(config, condition, cluster),
        metrics=(*counted, ProcessCollector(registry=None)),
    )
    asyncio.run(
        _coordinate(config, context, partial(_run_pipeline, config, pipeline_of, report, stop))
    )


async def _coordinate(
    config: Config, context: WebContext, run_pipeline: Callable[[], None]
) -> None:
    """Serve the page until the pipeline ends; an error of the pipeline ends the process."""
    storage = config.storage
    for folder in (storage.results, storage.scratch, storage.requests):
        folder.mkdir(parents=True, exist_ok=True)
    note_ended(storage.spool / "journal", WRITER)  # an upload that ended with the process before
    runner = await serve(make_app(context), config.web)
    try:
        await asyncio.to_thread(run_pipeline)
    finally:
        await runner.cleanup()


def _run_pipeline(
    config: Config,
    pipeline_of: Callable[[LedgerWriter], Pipeline],
    report: Reporter,
    stop: threading.Event,
) -> None:
    """Run the pipeline; storage commitment and the audit trail beside it; an error ends all."""
    opened = open_ledger(config.storage, report.alive, stop)
    if opened is None:
        return
    note_configuration(config, opened.configurations)
    with (
        opened as ledger,
        pipeline_of(ledger) as pipeline,
        ThreadPoolExecutor(2, "beside") as beside,
    ):
        commitments = Commitments(config, pipeline.spool, lambda: pipeline.is_caught_up)
        auditing = Auditing(config, lambda: pipeline.is_caught_up)
        running = [beside.submit(each.run, stop) for each in (commitments, auditing)]

        def alive(status: str) -> None:
            for one in running:
                if one.done():
                    one.result()
            report.alive(status, pipeline.rules_read)

        try:
            pipeline.run(stop, alive)
        finally:
            stop.set()


def web_context(
    config: Config, condition: NodeCondition, cluster: RemoteEngine | None = None
) -> WebContext:
    """The node, as its page knows it, without what only the running daemon counts."""
    storage = config.storage
    commitments = CommitmentStore(storage.spool)
    return WebContext(
        ledger=storage.ledger,
        results=storage.results,
        data=storage.data,
        progress=lambda: {**read_progress(storage.scratch), **retrieving(storage.progress)},
        identity=f"{config.dicom.ae_title} @ {config.dicom.host}:{config.dicom.port}",
        version=__version__,
        actions=PageActions(config),
        rules=PageRules(config),
        settings=config.web,
        network=network_of(config),
        about=about(config),
        condition=condition,
        cluster=lambda: cluster.workers if cluster else (),
        log=lambda: latest_lines(storage.log, _LOG_LINES),
        queues=lambda: {"commitments": Waiting(*commitments.backlog())},
        audit=config.audit,
        told=Told(Retrievals(storage.spool)),
        nodes=tuple(replace(one, token=secret_of(one.token)) for one in config.nodes),
        condition_of=lambda data: NodeCondition(config_of(config, data)),
    )


class Told:
    """What a PACS said that a study has; nothing of it stays in memory."""

    def __init__(self, retrievals: Retrievals) -> None:
        self._retrievals = retrievals

    def __call__(self, study_uid: str) -> Retrieval | None:
        """Of the latest retrieval of the study; None where there was none."""
        told = self._retrievals.of(study_uid)
        self._retrievals.forget(study_uid)
        return told


def retrieving(folder: Path) -> Mapping[str, tuple[str, float]]:
    """How far retrieves are: ``retrieve-`` and the item's number to words and a fraction."""
    return {
        f"retrieve-{item}": (
            f"{far.stage} {far.received} of {far.expected}" if far.expected else far.stage,
            far.received / far.expected if far.expected else 0.0,
        )
        for item, far in how_far(folder).items()
    }


def read_progress(scratch: Path) -> Mapping[str, tuple[str, float]]:
    """What the running jobs say of themselves: job key to the step and its fraction, 0 to 1."""
    states = {path.stem: progress_of(scratch, path.stem) for path in scratch.glob("*.progress")}
    return {
        key: (str(state["step"]), float(str(state["fraction"])))
        for key, state in states.items()
        if state is not None
    }
