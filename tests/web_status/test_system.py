"""The page for administrators: queue, balance, rules, log, versions, configuration."""

import dataclasses

import pytest

from processor.remote import RemoteWorker
from web_status.node import Condition


@pytest.fixture
def ada(page, users, log_in):
    """Headers of an administrator."""
    return log_in(page, "ada")


def told(page, name, ada):
    return page.section(name, "/system", **ada)


def test_a_node_without_a_ledger_has_a_page(page, ada):
    assert "No job waits, and none was given up." in told(page, "queue", ada)
    assert "No rules were read yet." in told(page, "in-force", ada)
    assert "Safelight 0.1.0" in told(page, "about", ada)
    assert "ae_title" in told(page, "about", ada)
    assert "safelight.daemon: ready" in told(page, "log", ada)


def test_what_waits_and_what_was_given_up_is_listed(page, chronicle, ada):
    for number in (1, 2):
        chronicle.arrive(series=f"1.2.{number}")
        chronicle.decide(chronicle.close(series=f"1.2.{number}"))
    chronicle.bury(chronicle.claim(), "StorageError: no space")
    queue = told(page, "queue", ada)
    assert "StorageError: no space Check that the disk" in queue
    assert "Waiting Job Series Since Tries" in queue


def test_what_workers_are_at_is_listed(page, chronicle, ada):
    assert "0 of 2 workers at work." in told(page, "queue", ada)
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    chronicle.claim()
    queue = told(page, "queue", ada)
    assert "1 of 2 workers at work. Running Job Series Since 1 Everything" in queue


def test_workers_of_a_cluster_are_listed_with_the_reason_why_one_gets_none(
    context, users, log_in, serve_node
):
    problem = "it has Safelight 0.0.9, and here is 0.1.0; install the same there"
    workers = (
        RemoteWorker("node1", "tcp://10.0.0.1:4001", 8, 3, ""),
        RemoteWorker("node2", "tcp://10.0.0.2:4002", 8, 0, problem),
    )
    page = serve_node(dataclasses.replace(context, cluster=lambda: workers))
    queue = told(page, "queue", log_in(page, "ada"))
    assert "0 of 10 workers at work." in queue
    assert "node1 tcp://10.0.0.1:4001 3 of 8" in queue
    assert f"node2 tcp://10.0.0.2:4002 gets none: {problem}" in queue


def test_processing_is_paused_and_resumed(page, context, ada):
    for what in ("pause", "resume"):
        answer = page.get(f"/system/{what}", "POST", **ada)
        assert (answer.status, answer.headers["Location"]) == (303, "/system#queue")
    assert context.actions.deeds == [("pause", ""), ("resume", "")]


def test_a_check_runs_beside_the_page_and_is_shown_when_it_has_ended(
    page, context, ada, wait_until
):
    context.actions.may_check.clear()
    for _ in range(2):  # the second finds one at work, and starts none
        assert page.get("/system/check", "POST", **ada).status == 303
    assert "Checking each file" in told(page, "balance", ada)
    context.actions.may_check.set()
    wait_until(lambda: not context.kept.is_checking, 60)
    assert "it balances" in told(page, "balance", ada)
    assert context.actions.deeds == [("check",)]


def test_a_check_that_cannot_be_made_says_why(page, context, ada, wait_until):
    context.actions.problem = "ledger.sqlite is locked by another program"
    page.get("/system/check", "POST", **ada)
    wait_until(lambda: context.kept.check is not None, 60)
    assert "look at this" in told(page, "balance", ada)
    assert "locked by another program" in told(page, "balance", ada)


def test_what_is_held_up_is_on_every_page(serve_node, context, chronicle):
    condition = Condition("full in 4 days at today's rate", ("JOBS WAIT until there is room",))
    page = serve_node(dataclasses.replace(context, condition=lambda _reader: condition))
    for path in ("/", "/network"):
        state = page.section("state", path)
        assert "Work is held up" in state
        assert "JOBS WAIT until there is room" in state
        assert "used, full in 4 days" in state


def test_what_was_changed_in_the_configuration_is_beside_it(page, chronicle, ada):
    assert "What was changed in it" not in told(page, "about", ada)
    chronicle.configure("[dicom] port: 104 -> 11112", "[pacs.main]: new")
    about = told(page, "about", ada)
    assert "What was changed in it" in about
    assert about.endswith("[dicom] port: 104 -&gt; 11112 [pacs.main]: new ")
