"""A Dask cluster that is there, with a worker that fits and one that does not, and one that is not.

Each worker's reasons for getting no jobs: tests/processor/cluster/test_engine.py.
"""

import socket
import threading
from contextlib import suppress

from safelight.doctor_cluster import cluster

DASK = '[processing]\nengine = "dask"\nscheduler = "{}"\n{}\n'


def test_where_jobs_run_here_no_cluster_is_asked(site):
    (finding,) = cluster(site("[processing]\nworkers = 3\n"))
    assert (finding.level, finding.what) == ("ok", "not used: jobs run here, 3 at once")


def test_a_scheduler_that_does_not_answer_is_a_problem_with_a_remedy(site, free_port):
    address = f"tcp://127.0.0.1:{free_port()}"
    (finding,) = cluster(site(DASK.format(address, "")))
    assert finding.level == "problem"
    assert finding.what.startswith(f"the Dask scheduler {address} does not answer")
    assert finding.remedy == "start it, or correct [processing] scheduler"


def test_another_server_at_its_address_is_a_problem_with_a_remedy(site):
    def answer():
        with suppress(OSError):
            while True:
                peer, _ = other.accept()
                peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        (finding,) = cluster(site(DASK.format(address, "")))
    assert finding.level == "problem"
    assert finding.what.startswith(f"the Dask scheduler {address} does not answer")


def test_workers_are_told_with_what_they_take_and_why_one_gets_nothing(
    site, dask_clusters, tmp_path, wait_until
):
    dask = dask_clusters()
    there = site(DASK.format(dask.address, ""))
    scheduler, nothing = cluster(there)
    assert (scheduler.level, nothing.level) == ("ok", "problem")
    assert nothing.what == "0 workers, and none that can run jobs: they wait"
    dask.start_worker("w1")
    dask.start_worker("under-nanny", nanny=True)
    wait_until(lambda: len(list(cluster(there))) == 3, "two workers")
    found = {finding.what.split()[1]: finding for finding in cluster(there)}
    assert found["w1"].what.endswith("takes 1 job at once")
    nanny = found["under-nanny"]
    assert nanny.level == "warning"
    assert nanny.what.endswith("gets no jobs: its nanny lets it start no process")
    assert nanny.remedy == "start it with: dask worker --no-nanny"


def test_bytes_that_are_sent_in_the_clear_are_warned_of(site, dask_clusters):
    dask = dask_clusters()
    *_, finding = cluster(site(DASK.format(dask.address, 'transfer = "wire"')))
    assert finding.level == "warning"
    assert "without encryption" in finding.what
