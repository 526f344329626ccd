"""The coordinator process: the pipeline in a thread of its own, the status page beside it."""

import asyncio
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from listener.retrievals import Retrieval, Retrievals
from processor.job import progress_of
from processor.remote import RemoteEngine
from safelight.child import Reporter
from safelight.cluster import cluster_of
from safelight.commitments import Commitments
from safelight.config import Config
from safelight.getting import note_ended
from safelight.ledger_opening import open_ledger
from safelight.log_files import latest_lines
from safelight.page_actions import PageActions
from safelight.page_node import NodeCondition, about, network_of
from safelight.page_rules import PageRules
from safelight.pipeline import Pipeline
from safelight.retrieve_progress import how_far
from safelight.uploading import WRITER
from safelight.version import __version__
from web_status.app import WebContext, make_app, serve

_LOG_LINES = 200  # the page shows so many
_NICE = 10  # reception comes first where the processors are busy; workers inherit it


def run_coordinator(config: Config, report: Reporter, stop: threading.Event) -> None:
    """Watch, decide, process, record and show until `stop` is set."""
    os.nice(_NICE)
    reload = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    asyncio.run(_coordinate(config, report, stop, reload))


async def _coordinate(
    config: Config, report: Reporter, stop: threading.Event, reload: threading.Event
) -> None:
    """Serve the page until the pipeline ends; an error of the pipeline ends the process."""
    storage = config.storage
    for folder in (storage.results, storage.scratch, storage.requests):
        folder.mkdir(parents=True, exist_ok=True)
    note_ended(storage.spool / "journal", WRITER)  # an upload that ended with the process before
    cluster = cluster_of(config)
    runner = await serve(make_app(_web_context(config, cluster)), config.web)
    try:
        await asyncio.to_thread(_run_pipeline, config, report, stop, reload, cluster)
    finally:
        await runner.cleanup()


def _run_pipeline(
    config: Config,
    report: Reporter,
    stop: threading.Event,
    reload: threading.Event,
    cluster: RemoteEngine | None,
) -> None:
    """Run the pipeline, and storage commitment beside it; an error of either ends both."""
    opened = open_ledger(config.storage, report.alive, stop)
    if opened is None:
        return
    with (
        opened as ledger,
        Pipeline(config, ledger, reload, cluster) as pipeline,
        ThreadPoolExecutor(1, "commitments") as beside,
    ):
        commitments = Commitments(config, pipeline.spool, lambda: pipeline.is_caught_up)
        running = beside.submit(commitments.run, stop)

        def alive(status: str) -> None:
            if running.done():
                running.result()
            report.alive(status, pipeline.rules_read)

        try:
            pipeline.run(stop, alive)
        finally:
            stop.set()


def _web_context(config: Config, cluster: RemoteEngine | None) -> WebContext:
    storage = config.storage
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
        condition=NodeCondition(config, cluster),
        cluster=lambda: cluster.workers if cluster else (),
        log=lambda: latest_lines(storage.log, _LOG_LINES),
        told=Told(Retrievals(storage.spool)),
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
