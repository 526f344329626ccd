"""Runs empty jobs from queues of growing length, in local workers and on a Dask cluster.

The coordinator's own loop runs them, over a real ledger, in this process.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.dask.site import dask_cluster, fill_queue
from benchmarks.programs import CHECKOUT
from ledger.writer import LedgerWriter
from processor.model import JobRequest
from safelight.cluster import cluster_of
from safelight.config import Config, load_config
from safelight.pipeline import Pipeline

ENGINES = ("local", "shared", "wire")
QUEUES = (1_000, 10_000, 100_000)
_WARM = 10
_HEAD = "| engine | queue | jobs | jobs a second | ms a job and worker | coordinator CPU ms a job |"


@dataclass(frozen=True)
class Taken:
    """How many jobs ran, in how many seconds, of which the coordinator had the processor."""

    jobs: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class _Mark:
    done: int
    at: float
    cpu: float


def main() -> None:
    """Parse the command line, run, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dask", description=__doc__)
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--queues", nargs="*", type=int, default=QUEUES)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30, help="how long each is measured")
    parser.add_argument("--megabytes", type=int, default=500, help="of a series that is sent")
    arguments = parser.parse_args()
    on = f"{psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}"
    _say(f"{on}, {arguments.workers} workers, Dask {version('distributed')}\n")
    _say(f"{_HEAD}\n|---|---|---|---|---|---|")
    for queue in arguments.queues:
        for engine in arguments.engines:
            taken = turn(engine, queue, arguments.workers, arguments.seconds)
            _say(_line(engine, queue, taken, arguments.workers))
    if arguments.megabytes and "wire" in arguments.engines:
        taken = sent(arguments.megabytes)
        rate = f"{arguments.megabytes / taken.seconds:.0f} MB a second"
        per_gigabyte = taken.cpu_seconds * 1024 / arguments.megabytes
        _say(f"\nsent: {arguments.megabytes} MB, {rate}, {per_gigabyte:.1f} coordinator CPU s a GB")


def sent(megabytes: int) -> Taken:
    """Run one job whose series is so large, of bytes that no compression makes less of."""
    with tempfile.TemporaryDirectory(dir=CHECKOUT, prefix=".bench-") as name:
        folder = Path(name)
        with _site("wire", folder, 1) as config:
            series = folder / "series.dcm"
            with series.open("wb") as file:
                for _ in range(megabytes):
                    file.write(os.urandom(1 << 20))
            cluster = cluster_of(config)
            assert cluster is not None  # noqa: S101 - the engine of this site
            cluster.start()
            try:
                while not cluster.slots:
                    time.sleep(0.1)
                began, cpu = time.monotonic(), time.process_time()
                cluster.submit(_request(config, series)).result()
                return Taken(1, time.monotonic() - began, time.process_time() - cpu)
            finally:
                cluster.stop()


def _request(config: Config, series: Path) -> JobRequest:
    return JobRequest(
        key="0" * 64,
        study_uid="1.2",
        series_uid="1.2.3",
        revision=1,
        digest="",
        rule="All",
        steps=(),
        files=(series,),
        facts={},
        scratch=config.storage.scratch,
        results=config.storage.results,
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _line(engine: str, queue: int, taken: Taken, workers: int) -> str:
    a_second = taken.jobs / taken.seconds
    spent = f"{1000 * workers / a_second:.0f} | {1000 * taken.cpu_seconds / taken.jobs:.1f}"
    return f"| {engine} | {queue:,} | {taken.jobs:,} | {a_second:.1f} | {spent} |"


def turn(engine: str, queue: int, workers: int, seconds: float) -> Taken:
    """Run jobs of a queue for a while, after the first few."""
    with tempfile.TemporaryDirectory(dir=CHECKOUT, prefix=".bench-") as name:
        folder = Path(name)
        with _site(engine, folder, workers) as config:
            fill_queue(config.storage.ledger, queue)
            return _run(config, queue, seconds)


@contextmanager
def _site(engine: str, folder: Path, workers: int) -> Iterator[Config]:
    for each in ("scratch", "results", "requests"):
        (folder / "data" / each).mkdir(parents=True)
    processing = f"workers = {workers}\n"
    if engine == "local":
        yield _config(folder, processing)
        return
    with dask_cluster(folder, workers) as address:
        processing += f'engine = "dask"\nscheduler = "{address}"\ntransfer = "{engine}"\n'
        yield _config(folder, processing)


def _config(folder: Path, processing: str) -> Config:
    file = folder / "safelight.toml"
    file.write_text(f'[storage]\ndata = "data"\n[processing]\n{processing}')
    return load_config(file, {})


def _run(config: Config, queue: int, seconds: float) -> Taken:
    """Run the coordinator's loop until the time is up or the queue is empty."""
    stop, marks = threading.Event(), list[_Mark]()

    def alive(status: str) -> None:
        done = int(status.rpartition(", ")[2].split()[0])
        if done >= _WARM:
            marks.append(_Mark(done, time.monotonic(), time.process_time()))
        if done >= queue or (marks and marks[-1].at - marks[0].at > seconds):
            stop.set()

    with (
        LedgerWriter(config.storage.ledger) as ledger,
        Pipeline(config, ledger, threading.Event(), cluster_of(config)) as pipeline,
    ):
        pipeline.run(stop, alive)
    first, last = marks[0], marks[-1]
    return Taken(last.done - first.done, last.at - first.at, last.cpu - first.cpu)


if __name__ == "__main__":
    main()
