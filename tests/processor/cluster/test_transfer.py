"""Bytes to a worker and back, over a real Dask cluster with one worker.

Not covered: a network between them; all of it is on loopback.
"""

import asyncio
import dataclasses
import doctest
import threading
from types import SimpleNamespace

import psutil
import pytest

from processor.cluster import connection as connection_module
from processor.cluster import pieces, work
from processor.cluster.connection import Connection
from processor.cluster.pieces import CHUNK, parcels_of, write_pieces
from processor.cluster.settings import ClusterTls
from processor.cluster.task import Piece
from processor.cluster.transfer import Wire
from processor.errors import OptionError, StorageError
from processor.job import make_job, run_job
from processor.publish import published_result
from processor.settings import PoolSettings, ProcessorSettings
from rules.model import Step

_MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def worker(dask_clusters):
    """A cluster with one worker."""
    dask = dask_clusters()
    dask.start_worker("w1")
    return dask


@pytest.fixture
def wire(worker, cluster):
    """An engine that sends bytes."""
    return cluster(worker, slots=1, transfer="wire")


def test_what_was_sent_does_not_stay_at_the_worker(worker, wire, job, stack):
    wire.submit(job(stack(2))).result(60)
    assert list(worker.folder.rglob("*.dcm")) == []


def test_a_folder_that_another_job_has_here_is_left_alone(wire, job, stack):
    request = dataclasses.replace(job(stack(2), "qc"), destination="P1/Brain")
    other = dataclasses.replace(job(stack(3), "qc", digest="e"), destination="P1/Brain")
    assert run_job(other).folder.as_posix() == "P1/Brain"
    assert wire.submit(request).result(60).folder.as_posix() == f"P1/Brain-{request.key[:8]}"
    assert wire.submit(request).result(60).folder.as_posix() == f"P1/Brain-{request.key[:8]}"
    assert len(list(request.results.rglob("manifest.json"))) == 2


def test_templates_of_the_site_are_sent_too(wire, job, stack, tmp_path):
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "ct.json").write_text('{"Weight": "PatientWeight"}')
    settings = ProcessorSettings(templates=templates)
    request = job(stack(2), "metadata", settings=settings)
    local = dataclasses.replace(request, results=tmp_path / "local")
    expected = run_job(local).steps[0]
    (step,) = wire.submit(request).result(60).steps
    assert (step.state, step.summary) == (expected.state, expected.summary)


def test_what_could_not_be_verified_comes_back_to_be_looked_at(job, stack, tmp_path):
    request = job(stack(2), "qc")
    at_worker = tmp_path / "local" / "safelight" / "run"
    (at_worker / "unverified" / request.key / "native").mkdir(parents=True)
    (at_worker / "unverified" / request.key / "native" / "report.json").write_text("{}")
    made = make_job(dataclasses.replace(request, scratch=at_worker / "scratch"))
    worker = SimpleNamespace(local_directory=str(tmp_path / "local"))

    def call(function, *arguments):
        return asyncio.run(function(*arguments, dask_worker=worker))

    wire = Wire("k", request, PoolSettings(), "run", call, threading.Semaphore())
    result = wire.published(
        made, (*parcels_of(at_worker, "scratch"), *parcels_of(at_worker, "unverified"))
    )
    assert published_result(request.results, result.folder, request.key)
    assert (request.unverified / "native" / "report.json").read_text() == "{}"


def test_an_instance_that_is_missing_here_is_missing_there(wire, job, stack):
    request = job(stack(3), "qc")
    request.files[1].unlink()
    (step,) = wire.submit(request).result(60).steps
    assert "unreadable" in step.summary


@pytest.mark.parametrize("way", ["to", "from"])
def test_bytes_altered_on_the_way_are_not_taken(wire, job, stack, monkeypatch, way):
    altered_function = work.put if way == "to" else work.get
    call = Connection.call

    def altering(connection, member, function, *arguments):
        if function is altered_function and way == "to":
            arguments = (arguments[0], altered(arguments[1]))
        answer = call(connection, member, function, *arguments)
        return altered(answer) if function is altered_function and way == "from" else answer

    monkeypatch.setattr(Connection, "call", altering)
    request = job(stack(2), "qc", "preview")
    with pytest.raises(StorageError, match=f"altered on its way {way} a Dask worker"):
        wire.submit(request).result(60)
    assert list(request.results.iterdir()) == []
    assert list(request.scratch.iterdir()) == []


def test_a_job_that_is_cancelled_while_it_is_sent_leaves_nothing_at_the_worker(
    worker, wire, job, stack, monkeypatch, wait_until
):
    call, called, futures = Connection.call, [], []

    def cancelling(connection, member, function, *arguments):
        called.append(function)
        if function is work.received:
            futures[0].cancel()
        return call(connection, member, function, *arguments)

    begin = threading.Semaphore(0)
    monkeypatch.setattr(Connection, "call", cancelling)
    monkeypatch.setattr(Wire, "sent", lambda self: (begin.acquire(), sent(self))[1])
    futures.append(wire.submit(job(stack(2), "qc")))
    begin.release()
    wait_until(lambda: work.discard in called and not wire.workers[0].busy, "the end of it")
    assert futures[0].cancelled()
    assert called == [work.put, work.received, work.discard]
    assert list(worker.folder.rglob("*.dcm")) == []


sent = Wire.sent


def altered(sent):
    return [dataclasses.replace(one, content=one.content[::-1]) for one in sent]


def test_the_examples_of_the_docstrings_hold():
    for module in (pieces, connection_module):
        results = doctest.testmod(module)
        assert results.attempted > 0
        assert results.failed == 0


def test_a_name_that_leads_out_of_its_folder_is_not_written(tmp_path):
    with pytest.raises(StorageError, match="outside its folder"):
        write_pieces(tmp_path / "into", [Piece("../out", 0, b"1")])
    assert not (tmp_path / "out").exists()


def test_what_a_job_is_about_is_in_no_log_of_dask(worker, wire, job, stack):
    request = job(stack(2, PatientName="CANARY^NAME"), "qc")
    request = dataclasses.replace(request, destination="CANARY/1", rule="CANARY")
    wire.submit(request).result(60)
    with pytest.raises(OptionError):
        wire.submit(dataclasses.replace(request, steps=(Step("CANARY", {}),))).result(60)
    logs = list(worker.folder.glob("*.log"))
    assert len(logs) == 2
    assert not any("CANARY" in log.read_text() for log in logs)


def test_a_disk_that_fails_here_is_told_from_a_job_that_does(wire, job, stack, tmp_path):
    no_folder = tmp_path / "no-folder"
    no_folder.write_text("")
    request = dataclasses.replace(job(stack(2), "qc"), scratch=no_folder)
    with pytest.raises(StorageError, match="ENOTDIR while publishing"):
        wire.submit(request).result(60)


def test_files_of_tls_that_cannot_be_read_are_said_so(worker, cluster, tmp_path, wait_until):
    missing = tmp_path / "missing.pem"
    settings = {"scheduler": worker.address.replace("tcp", "tls")}
    engine = cluster(worker, slots=0, tls=ClusterTls(missing, missing, missing), **settings)
    wait_until(lambda: engine.trouble, "trouble")
    assert engine.trouble.startswith("a file of [processing.tls] cannot be read (FileNotFound")


def test_a_study_is_never_in_memory_here(wire, job, stack, tmp_path):
    request = job(stack(2), "qc")
    large = tmp_path / "large.dcm"
    with large.open("wb") as file:
        file.truncate(400 * _MEGABYTE)
    request = dataclasses.replace(request, files=(*request.files, large))
    most, over = Peak(), threading.Event()
    before = psutil.Process().memory_info().rss
    watch = threading.Thread(target=most.watch, args=(over,))
    watch.start()
    try:
        wire.submit(request).result(120)
    finally:
        over.set()
        watch.join()
    assert most.rss - before < 8 * CHUNK


class Peak:
    """The most memory that this process had while it was watched."""

    def __init__(self):
        self.rss = 0

    def watch(self, over):
        while not over.wait(0.01):
            self.rss = max(self.rss, psutil.Process().memory_info().rss)
