"""The commands with which a person looks at jobs, holds them up, cancels them and sends them again.

What they do to the queue is shown in tests/ledger/test_jobs.py, what they say to mistakes in
tests/safelight/test_job_commands.py.
"""

import json


def test_a_person_holds_up_cancels_and_sends_again_and_a_restart_changes_nothing(
    daemon, stack, storescu
):
    node = daemon()
    assert "processing is PAUSED since" in node.run("pause").stdout
    storescu(stack()[0].parent, port=node.port, called="SAFELIGHT")
    node.wait_until(lambda: jobs(node), "a job")
    (job,) = jobs(node)
    assert node.stop() == 0

    node = daemon(port=node.port)
    assert "processing is PAUSED since" in node.run("status").stdout
    assert job["state"] == jobs(node)[0]["state"] == "queued"
    number = str(job["id"])
    assert f"job {number} is cancelled" in node.run("jobs", "cancel", number).stdout
    assert jobs(node) == []
    assert {row.state for row in node.series().values()} == {"kept"}
    assert f"job {number} is queued again" in node.run("jobs", "resend", number).stdout
    assert "nothing is paused" in node.run("resume").stdout
    (row,) = node.wait_for_ended(1).values()
    assert row.state == "done"


def jobs(node):
    """What ``safelight jobs`` lists."""
    done = node.run("jobs", "--json")
    return json.loads(done.stdout) if done.returncode == 0 else []
