"""The daemon ends, in order or by kill -9, while peers are in the middle of something."""

import threading
import time

import psutil
from canary import make_instance
from wronged_node import wait_until

DRAIN = "drain_seconds = 6\n"


def test_sigterm_ends_the_daemon_in_time_whatever_peers_do(serve):
    node = serve(DRAIN)
    silent = [node.connect() for _ in range(3)]
    silent[1].send(b"\1\0\0")
    silent[2].send(silent[2].associate_rq()[:-1])
    idle, stuck, busy = node.associated(), node.associated(), node.associated()
    unfinished, finished = make_instance(), make_instance()
    stuck.begin(unfinished)
    wait_until(node.incoming, "the beginning of an instance")
    whole = busy.store_rq(finished) + busy.dataset(finished.dataset)
    busy.send(whole[:-100])
    exit_codes = []
    began = time.monotonic()
    ending = threading.Thread(target=lambda: exit_codes.append(node.stop()))
    ending.start()
    assert all(peer.read() is None for peer in silent)
    wait_until(lambda: is_refused(node), "new connections to be refused")
    busy.send(whole[-100:])
    assert busy.answer().status == 0x0000  # what was begun may end within the drain
    busy.release()
    for peer in (idle, stuck):
        assert peer.read().kind == 7
    ending.join(60)
    assert exit_codes == [0]
    assert time.monotonic() - began < 6 + 30  # the unit allows 35 s and more
    assert node.kept(finished)[0].read_bytes().endswith(finished.dataset)
    assert node.kept(unfinished) == []
    assert node.incoming() == []
    assert node.wait_for_event(busy, "released")["stored"] == 1
    assert node.wait_for_association(stuck, "aborted").stored == 0
    node.require_clean_log()


def is_refused(node):
    try:
        peer = node.connect()
    except ConnectionRefusedError:
        return True
    peer.close()
    return False


def test_kill_9_within_an_instance_keeps_what_was_acknowledged_and_nothing_else(serve):
    node = serve(DRAIN)
    for kill in (kill_receivers, kill_daemon):
        peer, stuck = node.associated(), node.associated()
        acknowledged = [make_instance() for _ in range(5)]
        assert {peer.store(instance).status for instance in acknowledged} == {0x0000}
        unfinished = make_instance()
        stuck.begin(unfinished)
        wait_until(node.incoming, "the beginning of an instance")
        node = kill(serve, node)
        wait_until(lambda: not node.incoming(), "the unfinished instance to be discarded")  # noqa: B023
        assert node.kept(unfinished) == []
        assert node.wait_for_association(stuck, "lost").stored == 0
        node.require_intact()
    assert node.stop() == 0


def kill_receivers(_, node):
    """Kill the receivers; the same node has new ones at the end."""
    gone = node.receivers()
    for process in gone:
        process.kill()
    psutil.wait_procs(gone, 10)
    wait_until(lambda: len(node.receivers()) == len(gone), "new receivers", 40)
    return node


def kill_daemon(serve, node):
    """Kill the supervisor, which ends the others; return a new daemon on the same folder."""
    children = node.processes()
    node.process.kill()
    node.process.wait()
    assert psutil.wait_procs(children, 10)[1] == []
    again = serve(DRAIN, folder=node.folder)
    again.acknowledged = node.acknowledged
    node.disconnect()
    return again
