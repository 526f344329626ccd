"""What a running daemon tells systemd, and that it stops telling when a process is stuck."""

import os
import signal
import time


def test_it_says_when_it_is_ready_what_it_does_and_when_it_stops(service):
    node = service()
    node.wait_for("READY", "1")
    assert node.wait_for("WATCHDOG", "1")["STATUS"] == (
        "coordinator: 0 instances, 0 series closed, 0 jobs done;"
        " receiver-0: 0 associations open; receiver-1: 0 associations open"
    )
    assert node.end() == 0
    assert node.wait_for("STOPPING")["STATUS"] == "stopping: associations that are open may end"
    assert node.wait_for("STOPPING")["STATUS"] == "stopping: the coordinator records what came"
    ready = next(i for i, told in enumerate(node.told) if "READY" in told)
    assert not any("WATCHDOG" in told for told in node.told[:ready])


def test_a_reload_begins_with_the_time_and_ends_when_the_rules_were_read_or_refused(service):
    node = service()
    node.wait_for("READY")
    (node.folder / "rules.toml").write_text("[[rule]]\nname = 'Stop'\nthem = {}\n")
    before = time.monotonic_ns() // 1000
    node.process.send_signal(signal.SIGHUP)
    told = node.wait_for("RELOADING", "1")
    assert before < int(told["MONOTONIC_USEC"]) < time.monotonic_ns() // 1000
    node.wait_for("READY", "1")
    assert 'rule "Stop": them: unknown key' in node.log()


def test_a_reload_whose_coordinator_dies_ends_when_another_has_read_the_rules(service):
    node = service()
    node.wait_for("READY")
    coordinator = node.children()["coordinator"]
    os.kill(coordinator, signal.SIGSTOP)
    node.process.send_signal(signal.SIGHUP)
    node.wait_for("RELOADING", "1")
    os.kill(coordinator, signal.SIGKILL)
    node.wait_for("READY", "1")
    assert node.children()["coordinator"] != coordinator


def test_a_receiver_that_hangs_ends_the_watchdogs_food_and_is_named(service):
    node = service(silence=2.0)
    node.wait_for("READY")
    receiver = node.children()["receiver-1"]
    os.kill(receiver, signal.SIGSTOP)
    assert "WATCHDOG" not in node.wait_for("STATUS", "receiver-1: NO ANSWER for ")
    assert "receiver-1 has not answered for " in node.log()
    os.kill(receiver, signal.SIGCONT)
    node.wait_for("WATCHDOG", "1")
    assert "receiver-1 answers again" in node.log()


def test_a_loop_that_is_stuck_ends_the_watchdogs_food(service):
    node = service(silence=2.0)
    node.wait_for("READY")
    # One thread watches, decides and writes to the ledger: wherever it is stuck, it is silent.
    stuck = node.folder / "data" / "requests" / "1.json"
    os.mkfifo(stuck)  # to read it blocks
    assert "WATCHDOG" not in node.wait_for("STATUS", "coordinator: NO ANSWER for ")
    os.close(os.open(stuck, os.O_RDWR))
    stuck.unlink()
    node.end(signal.SIGKILL)
