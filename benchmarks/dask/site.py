"""A site whose ledger has a queue of empty jobs, and a cluster of Dask workers."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.pages.ledger import fill_tables
from benchmarks.programs import free_port, running

SERIES_PER_STUDY = 10
_AT = "'2026-01-01T00:00:00.000+00:00'"

# A job without steps: it reads nothing, and publishes a folder with a manifest.
_TABLES: Mapping[str, Mapping[str, str]] = {
    "studies": {
        "id": "n",
        "StudyInstanceUID": "'1.2.' || n",
        "PatientID": "'P'",
        "PatientName": "''",
        "AccessionNumber": "printf('A%07d', n)",
        "StudyDate": "'20260101'",
        "StudyDescription": "''",
        "first_seen_at": _AT,
        "complete_grade": "'released'",
        "complete_evidence": "''",
    },
    "series": {
        "id": "n",
        "study_id": f"(n - 1) / {SERIES_PER_STUDY} + 1",
        "SeriesInstanceUID": "'1.2.' || n || '.1'",
        "Modality": "'CT'",
        "SeriesNumber": "n % 10",
        "SeriesDescription": "''",
        "calling_ae": "'PACS1'",
        "called_ae": "'SAFELIGHT'",
        "state": "'closed'",
        "revision": "1",
        "grade": "'released'",
        "evidence": "'released'",
        "outcome": "'process'",
        "first_seen_at": _AT,
        "last_arrival_at": _AT,
    },
    "decisions": {
        "series_id": "n",
        "revision": "1",
        "outcome": "'process'",
        "summary": "''",
        "reasons": "'[]'",
        "decided_at": _AT,
    },
    "jobs": {
        "id": "n",
        "key": "printf('%08x', n) || hex(randomblob(28))",
        "series_id": "n",
        "revision": "1",
        "rule": "'All'",
        "steps": "'[]'",
        "digest": "''",
        "state": "'queued'",
        "not_before": _AT,
        "queued_at": _AT,
    },
}


def fill_queue(path: Path, jobs: int) -> None:
    """Make a ledger with so many empty jobs in its queue."""
    rows = dict.fromkeys(_TABLES, jobs) | {"studies": -(-jobs // SERIES_PER_STUDY)}
    fill_tables(path, _TABLES, rows)


@contextmanager
def dask_cluster(folder: Path, workers: int) -> Iterator[str]:
    """A scheduler and workers of one thread each; yields its address."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    with ExitStack() as stack:
        scheduler = [*dask, "scheduler", "--host", address, "--no-dashboard"]
        stack.enter_context(running(scheduler, folder / "scheduler", port))
        for number in range(workers):
            own = free_port()
            options = ["--worker-port", str(own), "--nthreads", "1", "--no-nanny"]
            options += ["--no-dashboard", "--host", "127.0.0.1", "--memory-limit", "0"]
            options += ["--local-directory", str(folder)]
            worker = [*dask, "worker", address, *options]
            stack.enter_context(running(worker, folder / f"worker-{number}", own))
        yield address
