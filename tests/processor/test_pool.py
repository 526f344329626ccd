"""The worker pool with real processes: jobs, crashes, hangs, memory, shutdown.

The calls that misbehave come from the standard library, so that a spawned worker can import them.
Not covered: Dask, which is tests/processor/cluster.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

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


def test_stopping_kills_what_hangs_and_cancels_what_waits(pool):
    one = pool()
    hanging, waiting = one.submit_call(time.sleep, 600), one.submit_call(len, "abc")
    one.stop()
    assert hanging.cancelled()
    assert waiting.cancelled()


def test_a_killed_worker_takes_what_it_started_with_it(pool, tmp_path):
    one = pool(time_limit_seconds=2)
    pid = tmp_path / "pid"
    with pytest.raises(WorkerTimeout):
        one.submit_call(os.system, f"echo $$ > {pid}; sleep 600").result(60)
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(int(pid.read_text())).status() == psutil.STATUS_ZOMBIE


def test_workers_killed_at_any_moment_cost_their_own_call_only(pool):
    one = pool(workers=2)
    for delay in (0, 0.001, 0.005, 0.02):
        kept, killed = one.submit_call(time.sleep, 0.2), one.submit_call(time.sleep, 600)
        time.sleep(delay)
        assert killed.cancel()
        assert kept.result(60) is None


def test_an_answer_that_cannot_be_sent_is_an_error(pool):
    with pytest.raises(RuntimeError, match="cannot be sent"):
        pool().submit_call(threading.Lock).result(60)


def test_closing_lets_what_was_submitted_finish(pool):
    one = pool()
    future = one.submit_call(len, "abc")
    one.close()
    assert future.result(0) == 3


PARENT = """
import time
from processor.pool import PoolSettings, WorkerPool
if __name__ == "__main__":
    pool = WorkerPool(PoolSettings(workers=1))
    pool.submit_call(time.sleep, 600)
    time.sleep(600)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, script], env=environment) as parent:
        started = set()
        while len(started) < 3:  # the resource tracker, the fork server and its worker
            time.sleep(0.05)
            started = set(psutil.Process(parent.pid).children(recursive=True))
        parent.kill()
    assert psutil.wait_procs(started, timeout=60)[1] == []
