"""The Dask benchmark on a queue small enough for a test."""

import pytest

from benchmarks.dask.__main__ import turn


@pytest.mark.parametrize("engine", ["local", "shared"])
def test_the_jobs_of_a_queue_are_run_and_measured(engine):
    taken = turn(engine, 14, 1, 60)
    assert taken.jobs > 0
    assert min(taken.seconds, taken.cpu_seconds) > 0
