"""Jobs on a real Dask cluster: a scheduler and workers that are processes of their own.

Not covered: other machines (the workers see the same disk, also where bytes are sent to them), a
network that loses packets, and Slurm.
"""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from importlib.metadata import version

import pytest
import trustme

from processor.cluster.settings import ClusterTls
from processor.errors import ClusterAway, WorkerDied, WorkerTimeout
from processor.job import run_job
from processor.publish import published_result

NAMES = ("w1", "w2", "w3")
OURS = version("safelight")


@pytest.fixture(scope="module")
def site_cluster(dask_clusters):
    """A scheduler; `workers` starts what is missing of its three workers."""
    return dask_clusters()


@pytest.fixture
def workers(site_cluster):
    """A scheduler with three workers."""
    if site_cluster.has_ended("scheduler"):
        site_cluster.start_scheduler()
    for name in NAMES:
        if site_cluster.has_ended(name):
            site_cluster.start_worker(name)
    return site_cluster


@pytest.fixture
def held(job, tmp_path):
    """A job that opens an instance which nobody writes, so that it never gets on."""
    path = tmp_path / "held.dcm"
    os.mkfifo(path)
    return job([path], "qc")


def digests(request, result):
    """Of each output; of a workbook what is in it, because it says when it was made."""
    folder = request.results / result.folder
    paths = [output.path for step in result.steps for output in step.outputs]
    return {path: of_sheets(folder / path) or sha256_of(folder / path) for path in paths}


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def of_sheets(path):
    if path.suffix != ".xlsx":
        return None
    with zipfile.ZipFile(path) as book:
        return [
            (one.filename, one.CRC) for one in book.infolist() if "docProps" not in one.filename
        ]


@pytest.mark.parametrize("transfer", ["shared", "wire"])
def test_the_outputs_are_those_of_the_local_engine_whichever_way_they_travel(
    workers, cluster, job, stack, tmp_path, transfer
):
    request = job(stack(5))
    local = dataclasses.replace(request, results=tmp_path / "local")
    expected = run_job(local)
    result = cluster(workers, transfer=transfer).submit(request).result(60)
    assert [step.state for step in result.steps] == ["done"] * 4
    assert digests(request, result) == digests(local, expected)
    assert len(digests(request, result)) >= 4
    assert result.folder == expected.folder
    assert published_result(request.results, result.folder, request.key)
    assert list(request.scratch.iterdir()) == []


def test_cancelling_a_running_job_frees_its_worker(workers, cluster, held, job, stack, wait_until):
    engine = cluster(workers)
    future = engine.submit(held)
    wait_until(workers.at_work, "a worker to be at work")
    assert future.cancel()
    wait_until(lambda: not workers.at_work(), "the worker to be free")
    wait_until(lambda: not any(one.busy for one in engine.workers), "its place to be free")


def test_a_job_over_its_time_limit_is_killed_at_its_worker(workers, cluster, held, wait_until):
    engine = cluster(workers, time_limit_seconds=1)
    with pytest.raises(WorkerTimeout, match="killed after 1 s"):
        engine.submit(held).result(60)
    wait_until(lambda: not workers.at_work(), "the worker to be free")


def test_a_worker_killed_in_the_middle_of_a_job_costs_that_job_and_others_go_on(
    workers, cluster, held, job, stack, wait_until
):
    engine = cluster(workers)
    future = engine.submit(held)
    wait_until(workers.at_work, "a worker to be at work")
    (lost,) = workers.at_work()
    workers.kill(lost)
    with pytest.raises(WorkerDied, match=f"the Dask worker {lost} was lost"):
        future.result(60)
    assert engine.slots == 2
    assert workers.at_work() == {}  # Dask has not given it to another
    assert engine.submit(job(stack(2), "qc")).result(60).steps[0].state == "done"


def test_a_process_of_a_job_that_crashes_costs_that_job_and_no_worker(
    workers, cluster, held, wait_until
):
    engine = cluster(workers)
    future = engine.submit(held)
    wait_until(workers.at_work, "a worker to be at work")
    for processes in workers.at_work().values():
        processes[0].send_signal(signal.SIGSEGV)
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        future.result(60)
    assert engine.slots == 3


def test_a_scheduler_that_goes_away_is_no_fault_of_its_jobs_and_is_found_when_it_is_back(
    workers, cluster, held, job, stack, wait_until
):
    engine = cluster(workers)
    future = engine.submit(held)
    wait_until(workers.at_work, "a worker to be at work")
    workers.kill("scheduler")
    with pytest.raises(ClusterAway):
        future.result(60)
    wait_until(lambda: engine.trouble, "trouble")
    assert f"the Dask scheduler {workers.address} does not answer" in engine.trouble
    assert "start it, or correct" in engine.trouble
    assert engine.slots == 0
    for name in NAMES:
        workers.wait_for_end(name)  # with their jobs: systemd starts them again
    workers.start_scheduler()
    for name in NAMES:
        workers.start_worker(name)
    wait_until(lambda: engine.slots == 3, "the workers to be back")
    assert engine.trouble == ""
    assert engine.submit(job(stack(2), "qc")).result(60).steps[0].state == "done"


def test_workers_of_another_version_or_without_safelight_get_no_job_and_it_is_said_why(
    dask_clusters, cluster, job, stack, tmp_path, wait_until
):
    dask = dask_clusters()
    old = tmp_path / "old" / "safelight-0.0.9.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: safelight\nVersion: 0.0.9\n")
    dask.start_worker("old", PYTHONPATH=str(old.parent))
    # Python outside the virtual environment passes over the link to our packages.
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    dask.start_worker("bare", command=(sys._base_executable,), PYTHONPATH=packages)
    engine = cluster(dask, slots=0)
    problems = lambda: {one.name: one.problem for one in engine.workers}  # noqa: E731
    wait_until(lambda: len(problems()) == 2 and "install" in engine.trouble, "two workers")
    assert problems() == {
        "old": f"it has Safelight 0.0.9, and here is {OURS}; install the same there",
        "bare": f"it has no Safelight; install Safelight {OURS} there",
    }
    assert engine.trouble.startswith("no worker of the Dask cluster can run jobs (")
    with pytest.raises(ClusterAway):
        engine.submit(job(stack(2), "qc")).result(60)
    dask.start_worker("new")
    wait_until(lambda: engine.slots == 1, "a worker that fits")
    assert engine.submit(job(stack(2), "qc")).result(60).steps[0].state == "done"
    assert {one.name for one in engine.workers if one.problem} == {"old", "bare"}


def test_a_worker_that_does_not_see_the_data_folder_gets_no_job(
    workers, cluster, tmp_path, wait_until
):
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("no mount namespace can be made: not root")
    mounted = f'mount -t tmpfs none {tmp_path} && exec {sys.executable} "$@"'
    workers.start_worker("blind", command=("unshare", "-m", "sh", "-c", mounted, "sh"))
    try:
        engine = cluster(workers)
        told = lambda: {one.name: one.problem for one in engine.workers}  # noqa: E731
        wait_until(lambda: "data folder" in told().get("blind", ""), "a fourth worker")
        assert told() == {
            **dict.fromkeys(NAMES, ""),
            "blind": "it does not see the data folder (FileNotFoundError);"
            ' mount it there, or set transfer = "wire"',
        }
    finally:
        workers.kill("blind")


def test_stopping_frees_the_workers_and_cancels_what_runs(workers, cluster, held, wait_until):
    engine = cluster(workers)
    future = engine.submit(held)
    wait_until(workers.at_work, "a worker to be at work")
    engine.stop()
    assert future.cancelled()
    wait_until(lambda: not workers.at_work(), "the worker to be free")


def test_a_worker_takes_as_many_jobs_as_its_resources_allow(
    dask_clusters, cluster, held, stack, job
):
    dask = dask_clusters()
    dask.start_worker("large", "--resources", "MEMORY=10", "--nthreads", "4")
    dask.start_worker("none")
    engine = cluster(dask, slots=2, resources={"MEMORY": 4})
    result = engine.submit(job(stack(2), "qc")).result(60)
    assert result.steps[0].state == "done"
    assert {one.name: one.problem for one in engine.workers}["none"] == (
        "it was started without the resources of [processing] resources;"
        " start it with: dask worker --resources"
    )


def test_over_tls_jobs_run_and_nobody_gets_in_without_a_certificate(
    dask_clusters, cluster, job, stack, tmp_path, wait_until
):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "own")}
    options = ("--tls-ca-file", str(files["ca"]), "--tls-cert", str(files["own"]))
    dask = dask_clusters(*options, "--tls-key", str(files["own"]), scheme="tls")
    dask.start_worker("w1", "--protocol", "tls")
    tls = ClusterTls(files["ca"], files["own"], files["own"])
    engine = cluster(dask, slots=1, transfer="wire", tls=tls)
    assert engine.submit(job(stack(2), "qc")).result(60).steps[0].state == "done"
    other = trustme.CA().issue_cert("127.0.0.1")
    other.private_key_and_cert_chain_pem.write_to_path(tmp_path / "other.pem")
    stranger = ClusterTls(files["ca"], tmp_path / "other.pem", tmp_path / "other.pem")
    refused = cluster(dask, slots=0, tls=stranger)
    wait_until(lambda: refused.trouble, "the scheduler to refuse")
    assert "does not answer" in refused.trouble


def test_a_worker_that_hangs_is_lost_once_the_scheduler_misses_it(
    dask_clusters, cluster, held, wait_until
):
    dask = dask_clusters(DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="1s")
    dask.start_worker("w1")
    engine = cluster(dask, slots=1)
    future = engine.submit(held)
    wait_until(dask.at_work, "the worker to be at work")
    dask.signal("w1", signal.SIGSTOP)
    with pytest.raises(WorkerDied, match="the Dask worker w1 was lost"):
        future.result(60)
    dask.signal("w1", signal.SIGCONT)
    dask.wait_for_end("w1")  # it finds that nobody waits for it, and takes its job with it


def test_a_scheduler_that_hangs_is_away_and_does_not_hold_up_a_stop(
    dask_clusters, cluster, held, wait_until
):
    dask = dask_clusters()
    dask.start_worker("w1")
    engine = cluster(dask, slots=1)
    future = engine.submit(held)
    wait_until(dask.at_work, "the worker to be at work")
    dask.signal("scheduler", signal.SIGSTOP)
    try:
        with pytest.raises(ClusterAway):
            future.result(60)
        assert engine.slots == 0
        began = time.monotonic()
        engine.stop()
        assert time.monotonic() - began < 20
    finally:
        dask.signal("scheduler", signal.SIGCONT)
