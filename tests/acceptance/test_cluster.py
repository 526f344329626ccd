"""A daemon whose jobs run on a Dask cluster: its coordinator is killed in the middle of one."""

import os

ENGINE = """
[rules]
file = "rules.toml"
[processing]
engine = "dask"
scheduler = "{}"
"""


def test_a_coordinator_killed_in_the_middle_of_a_job_runs_it_again_and_publishes_once(
    daemon, dask_clusters, stack, tmp_path, wait_until
):
    dask = dask_clusters()
    dask.start_worker("w1")
    (tmp_path / "site").mkdir()
    rules = tmp_path / "site" / "rules.toml"
    rules.write_text('[[rule]]\nname = "All"\n[rule.run]\nconvert = {}\nqc = {}\n')
    node = daemon(ENGINE.format(dask.address))
    node.run("pause")
    assert node.run_sender(stack()[0].parent).returncode == 0
    wait_until(lambda: queued(node), "a job to wait")
    instance = next((node.data / "spool" / "instances").rglob("*.dcm"))
    content = instance.read_bytes()
    instance.unlink()
    os.mkfifo(instance)  # nobody writes into it: the worker gets no further
    node.run("resume")
    wait_until(dask.at_work, "the worker to be at work")
    next(child for child in node.children() if serves_the_page(child, node)).kill()
    wait_until(lambda: not dask.at_work(), "the worker to be freed")
    whole = instance.with_suffix(".whole")
    whole.write_bytes(content)
    whole.replace(instance)
    (row,) = node.wait_for_ended(1).values()
    reader = node.reader()
    (job,) = reader.jobs_of(row.id)
    reader.close()
    assert (job.state, job.tries) == ("done", 2)
    assert len(list((node.data / "results").rglob("manifest.json"))) == 1
    assert len(node.outputs(row, "nifti")) == 1


def queued(node):
    reader = node.reader()
    try:
        return reader.jobs(("queued",))
    finally:
        reader.close()


def serves_the_page(child, node):
    """Whether a process is the coordinator."""
    port = int(node.web.rpartition(":")[2])
    return any(one.laddr.port == port for one in child.net_connections("tcp"))
