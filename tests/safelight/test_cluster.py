"""Jobs that the ledger gives to a real Dask cluster, with workers that are processes of their own.

Not covered: a daemon around it, which is tests/acceptance/test_cluster.py.
"""

import os
from dataclasses import replace

import pytest

from ledger.reader import LedgerReader
from processor.cluster.settings import ProcessingSettings
from safelight import scheduling
from safelight.requests import Request, Requests


@pytest.fixture(scope="module")
def dask(dask_clusters):
    """A cluster that the tests of this module break and mend."""
    return dask_clusters()


@pytest.fixture
def config(config, dask):
    """A site whose jobs run on two workers of the cluster."""
    if dask.has_ended("scheduler"):
        dask.start_scheduler()
    for name in ("w1", "w2"):
        if dask.has_ended(name):
            dask.start_worker(name)
    settings = ProcessingSettings(workers=1, engine="dask", scheduler=dask.address)
    return replace(config, processing=settings)


@pytest.fixture
def hold(config, land, run):
    """Function that queues a job which gets no further than its first instance.

    It returns the function that lets it.
    """

    def queue():
        requests = Requests(config.storage.requests)
        requests.leave(Request("pause"))
        uid = land()
        run(lambda reader: bool(reader.jobs(("queued",))))
        instance = next(config.storage.spool.rglob(f"{uid}.0.dcm"))
        content = instance.read_bytes()
        instance.unlink()
        os.mkfifo(instance)  # nobody writes into it: whoever opens it waits
        requests.leave(Request("resume"))

        def release():
            whole = instance.with_suffix(".whole")
            whole.write_bytes(content)
            whole.replace(instance)

        return release

    return queue


def done(reader):
    return bool(reader.jobs(("done",)))


def manifests(config):
    return list(config.storage.results.rglob("manifest.json"))


def history(config):
    reader = LedgerReader(config.storage.ledger)
    try:
        return [row.what for row in reader.history(1)]
    finally:
        reader.close()


def test_a_job_whose_worker_is_killed_is_tried_again_on_another_and_the_ledger_tells(
    config, dask, hold, run, monkeypatch
):
    monkeypatch.setattr(scheduling, "_RETRY_SECONDS", 0.1)
    release = hold()
    killed = []

    def look(reader):
        if not killed and dask.at_work():
            killed.extend(dask.at_work())
            release()
            dask.kill(killed[0])
        return done(reader)

    (job,) = run(look)
    assert (job.state, job.tries) == ("done", 2)
    assert f"try 1 failed: the Dask worker {killed[0]} was lost; again later" in history(config)
    assert len(manifests(config)) == 1


def test_jobs_wait_for_a_scheduler_that_went_away_and_none_is_tried_for_it(config, dask, hold, run):
    release = hold()
    stages = ["begun", "waiting", "mended"]

    def look(reader):
        if stages[0] == "begun" and dask.at_work():
            stages.pop(0)
            release()
            dask.kill("scheduler")
        elif stages[0] == "waiting" and reader.jobs(("queued",)):
            (job,) = reader.jobs(("queued",))
            assert job.tries == 0
            stages.pop(0)
            for name in ("w1", "w2"):
                dask.wait_for_end(name)
            dask.start_scheduler()
            dask.start_worker("w1")
        return done(reader)

    (job,) = run(look)
    assert (job.state, job.tries, stages) == ("done", 1, ["mended"])
    assert "waits: the Dask scheduler went away: the job waits" in history(config)
    assert len(manifests(config)) == 1


def test_a_person_who_cancels_a_running_job_frees_its_worker(config, dask, hold, run):
    hold()
    asked = []

    def look(reader):
        if not asked and dask.at_work():
            (job,) = reader.jobs(("running",))
            asked.append(Requests(config.storage.requests).leave(Request("cancel", job=job.id)))
        return bool(asked) and not dask.at_work()

    (job,) = run(look)
    assert job.state == "cancelled"
    assert manifests(config) == []


def test_what_de_identifies_stays_here_where_bytes_would_be_sent(config, dask, land, run):
    dask.kill("scheduler")
    wire = replace(config, processing=replace(config.processing, transfer="wire"))
    config.rules.file.write_text('[[rule]]\nname = "All"\n[rule.run]\ndeidentify = {}\n')
    land()
    (job,) = run(done, wire)
    assert (job.state, job.tries) == ("done", 1)
