"""Jobs that run: crashes, stops, outputs that cannot be written, what people ask for.

Not covered: a daemon around it, which is tests/acceptance/test_crash.py.
"""

import os
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace

import psutil
import pytest

from ledger.reader import LedgerReader
from safelight import scheduling
from safelight.requests import Request, Requests

ALL = ("queued", "running", "done", "dead", "superseded", "cancelled")


@pytest.fixture
def slowly(config):
    """Jobs take seconds, even on a quick machine."""
    steps = "convert = { compression = 9 }\nqc = {}\npreview = {}\nmetadata = {}\n"
    config.rules.file.write_text(f'[[rule]]\nname = "All"\n[rule.run]\n{steps}')


def ended(count, state="done"):
    return lambda reader: len(reader.jobs((state,))) == count


def is_working(config):
    """Whether a worker is at a step now."""
    return any(config.storage.scratch.glob("*.progress"))


def test_a_worker_that_crashes_each_time_costs_three_tries_and_the_next_job_runs(
    config, land, run, monkeypatch
):
    monkeypatch.setattr(scheduling, "_RETRY_SECONDS", 0.1)
    requests = Requests(config.storage.requests)
    requests.leave(Request("pause"))
    uid = land()
    run(lambda reader: bool(reader.jobs(("queued",))))
    requests.leave(Request("resume"))
    instance = next(config.storage.spool.rglob(f"{uid}.0.dcm"))
    with crashing_readers(instance) as crashed:
        (dead,) = run(lambda reader: bool(reader.jobs(("dead",))))
    assert len(crashed) == 3
    assert (dead.tries, dead.error) == (3, "the worker ended by SIGSEGV")
    assert list(config.storage.results.iterdir()) == []
    land()
    assert [job.state for job in run(ended(1))] == ["done", "dead"]


@contextmanager
def crashing_readers(instance):
    """Crash each worker, none of which gets beyond opening an instance; yields the workers."""
    crashed, over = [], threading.Event()
    instance.unlink()
    os.mkfifo(instance)  # nobody ever writes into it: whoever opens it waits

    def crash():
        while not over.wait(0.01):
            for worker in workers():
                with suppress(psutil.NoSuchProcess):
                    worker.send_signal(signal.SIGSEGV)
                    worker.wait()
                    crashed.append(worker)

    thread = threading.Thread(target=crash)
    thread.start()
    try:
        yield crashed
    finally:
        over.set()
        thread.join()


def workers():
    """The processes that the fork server has forked; a browser of other tests has children too."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any("forkserver" in argument for argument in child.cmdline()):
                yield from child.children()


def test_a_stop_in_the_middle_of_a_job_costs_no_try_and_the_next_run_finishes_it(
    config, land, run, slowly
):
    land(60, 512, 512)
    (job,) = run(lambda _: is_working(config))
    (job,) = run_reader(config)
    assert (job.state, job.tries) == ("queued", 0)
    (job,) = run(ended(1))
    assert (job.state, job.tries) == ("done", 1)
    assert len(list(config.storage.results.rglob("manifest.json"))) == 1


def run_reader(config):
    reader = LedgerReader(config.storage.ledger)
    try:
        return reader.jobs(ALL)
    finally:
        reader.close()


def test_outputs_that_cannot_be_written_make_all_jobs_wait_and_reception_goes_on(
    config, land, run, monkeypatch, mounted
):
    monkeypatch.setattr(scheduling, "_OUTPUT_SECONDS", 0.2)
    monkeypatch.setattr(scheduling, "_OUTPUT_SECONDS_MAX", 0.2)
    land()
    with mounted(config.storage.results, "ro"):
        (job,) = run(lambda reader: bool(reader.pauses()))
        assert (job.state, job.tries, job.error) == ("queued", 0, "EROFS while publishing")
        (pause,) = pauses(config)
        assert (pause.cause, pause.reason) == ("output", "EROFS while publishing")
        land()
        run(lambda reader: len(reader.jobs(("queued",))) == 2)
    assert [job.tries for job in run(ended(2))] == [1, 1]
    assert pauses(config) == ()


def pauses(config):
    reader = LedgerReader(config.storage.ledger)
    try:
        return reader.pauses()
    finally:
        reader.close()


def test_what_people_ask_for_is_done_also_to_a_job_that_runs(config, land, run, slowly):
    requests = Requests(config.storage.requests)
    land(60, 512, 512)
    asked = []

    def cancel_when_working(reader):
        if not asked and is_working(config):
            (job,) = reader.jobs(("running",))
            asked.append(requests.leave(Request("cancel", job=job.id)))
            land()
        return ended(1)(reader)

    other, job = sorted(run(cancel_when_working), key=lambda job: job.state, reverse=True)
    assert (other.state, job.state) == ("done", "cancelled")
    # With its one worker busy to the end, the second job would have come after a publication.
    assert len(list(config.storage.results.rglob("manifest.json"))) == 1
    requests.leave(Request("pause"))
    requests.leave(Request("resend", job=job.id))
    jobs = run(lambda _: not any(config.storage.requests.iterdir()))
    assert {job.state for job in jobs} == {"done", "queued"}
    requests.leave(Request("resume"))
    assert {job.state for job in run(ended(2))} == {"done"}


def test_on_a_full_disk_jobs_wait_and_reception_goes_on(config, land, run):
    full = replace(config, storage=replace(config.storage, free_bytes_process=1 << 60))
    land()
    rounds = []

    def look(reader):
        rounds.extend(reader.jobs(("queued",)))
        return len(rounds) > 3

    (job,) = run(look, full)
    assert (job.state, job.tries) == ("queued", 0)
    assert [job.state for job in run(ended(1))] == ["done"]
