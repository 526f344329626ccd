"""The worker pool with real processes: jobs, crashes, hangs, memory, shutdown.

The calls that misbehave come from the standard library, so that a spawned worker can import them.
Not covered: Dask, which is not used yet.
"""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from processor.errors import WorkerDied, WorkerOutOfMemory, WorkerTimeout
from processor.pool import PoolSettings, WorkerPool


@pytest.fixture
def pool():
    made = []

    def make(**settings):
        made.append(WorkerPool(PoolSettings(**{"workers": 1, "memory_limit_mb": 4096, **settings})))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_job_runs_in_a_worker_and_its_result_comes_back(pool, job, stack):
    request = job(stack(3))
    result = pool().submit(request).result(60)
    assert [step.state for step in result.steps] == ["done"] * 4
    assert (request.results / result.folder / "manifest.json").exists()


def test_a_segmentation_fault_costs_one_call_and_the_pool_goes_on(pool):
    one = pool()
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        one.submit_call(signal.raise_signal, signal.SIGSEGV).result(60)
    assert one.submit_call(os.getpid).result(60) != os.getpid()


def test_a_hang_is_killed_at_the_time_limit_and_the_pool_goes_on(pool):
    one = pool(time_limit_seconds=1)
    with pytest.raises(WorkerTimeout, match="killed after 1 s"):
        one.submit_call(time.sleep, 600).result(60)
    assert one.submit_call(len, "abc").result(60) == 3


def test_memory_beyond_the_limit_is_an_error_not_a_crash(pool):
    one = pool()
    with pytest.raises(WorkerOutOfMemory, match="more than 4096 MB"):
        one.submit_call(bytearray, 8 << 30).result(60)
    assert one.submit_call(len, "abc").result(60) == 3


def test_what_a_call_raises_comes_back(pool):
    with pytest.raises(ZeroDivisionError):
        pool().submit_call(divmod, 1, 0).result(60)


def test_cancelling_frees_the_worker(pool):
    one = pool()
    one.submit_call(len, "warm").result(60)
    hanging = one.submit_call(time.sleep, 600)
    assert hanging.cancel()
    assert one.submit_call(len, "abc").result(60) == 3


def test_stopping_kills_what_hangs_within_the_bound(pool):
    one = pool(stop_seconds=15)
    worker = one.submit_call(os.getpid).result(60)
    hanging = one.submit_call(time.sleep, 600)
    started = time.monotonic()
    one.stop()
    assert time.monotonic() - started < 15
    assert hanging.cancelled() or hanging.done()
    assert not psutil.pid_exists(worker)


def test_closing_lets_what_was_submitted_finish(pool):
    one = pool()
    future = one.submit_call(len, "abc")
    one.close()
    assert future.result(0) == 3


PARENT = """
import os, time
from processor.pool import PoolSettings, WorkerPool
if __name__ == "__main__":
    pool = WorkerPool(PoolSettings(workers=1))
    print(pool.submit_call(os.getpid).result(60), flush=True)
    pool.submit_call(time.sleep, 600)
    time.sleep(600)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    worker.wait(timeout=20)
