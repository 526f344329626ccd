"""Connections to Dask clusters."""

import pytest

from processor.cluster.engine import Cluster
from processor.cluster.settings import ProcessingSettings


@pytest.fixture
def cluster(tmp_path, wait_until):
    """Function that connects to a Dask cluster and waits until so many workers take jobs."""
    made = []

    def connect(dask, slots=3, transfer="shared", data=tmp_path, **settings):
        for folder in ("scratch", "results"):
            (data / folder).mkdir(parents=True, exist_ok=True)
        given = {"engine": "dask", "scheduler": dask.address, "transfer": transfer, **settings}
        engine = Cluster(ProcessingSettings(**given), data, (data / "scratch",))
        made.append(engine)
        engine.start()
        wait_until(lambda: engine.slots == slots, f"{slots} workers")
        return engine

    yield connect
    for one in made:
        one.stop()
