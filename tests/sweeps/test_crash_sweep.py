"""kill -9 at every boundary of a store and at random moments of a feed: nothing is lost.

At the boundaries strace kills the receiver when it is about to make a system call: before
each write, fsync, link, unlink ... of the spool and before each answer, so also after every
one but the last. Power loss is not covered: after kill -9 the page cache survives.
"""

import functools
import os
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from feed import Feed
from spool_check import kept_in, quarantined_in, require_acknowledged, require_whole
from upper_layer import STORE, Broken, Instances, Peer, associate_rq

pytestmark = pytest.mark.timeout(3600)

# What changes a spool or answers a peer; "?": not every architecture has it.
CALLS = (
    "fsync fdatasync sync_file_range ftruncate fallocate write writev pwrite64 pwritev pwritev2 "
    "sendfile splice copy_file_range open openat openat2 mkdir mkdirat link linkat rename "
    "renameat renameat2 unlink unlinkat rmdir sendto sendmsg"
)
TRACED = ",".join(f"?{name}" for name in CALLS.split())
LINE = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<arguments>.*)")
ANSWERS = {"sendto", "sendmsg"}


@pytest.fixture
def strace(program, tmp_path):
    """Function that attaches strace to a receiver, as a context: ``strace(receiver, *options)``."""
    executable = program("strace")

    @contextmanager
    def attach(receiver, *options):
        output = tmp_path / "trace"
        command = [executable, "-f", "-y", "-o", str(output), *options]
        process = subprocess.Popen(
            [*command, "-p", str(receiver.process.pid)], stderr=subprocess.PIPE, text=True
        )
        try:
            said = process.stderr.readline()
            if "attached" not in said:
                pytest.skip(f"strace may not attach here: {said}")
            yield output
        finally:
            process.terminate()
            process.stderr.close()
            process.wait()

    return attach


@pytest.fixture
def scenario():
    """A new series, a second instance, a duplicate, and other bytes under a known UID."""
    make = Instances("1.2.826.0.1.9001")
    return [make(1), make(2), make(1), make(1, pixel=7)]


def offer(port, instances):
    """Send `instances` on one association until it breaks; return what was acknowledged."""
    acknowledged = []
    try:
        with Peer(port) as peer:
            peer.associate(associate_rq(contexts=(STORE,)))
            for instance in instances:
                peer.store(instance)
                acknowledged.append(instance)
            peer.release()
            peer.read_pdu()  # until the receiver closes: its last entries are then made
    except Broken:
        pass
    return acknowledged


def boundaries_in(trace, spool):
    """Each call about `spool`, and each answer, as (call, how many its thread made so far)."""
    made = Counter()
    found = {}
    for line in trace.read_text(errors="replace").splitlines():
        if (entry := LINE.match(line)) is None:
            continue
        made[entry["thread"], entry["call"]] += 1
        if entry["call"] in ANSWERS or str(spool) in entry["arguments"]:
            found[entry["call"], made[entry["thread"], entry["call"]]] = line
    return found


def test_kill_9_at_each_boundary_of_a_store_loses_and_alters_nothing(
    sweep, lone_receiver, strace, scenario, tmp_path
):
    receiver = lone_receiver(tmp_path / "traced")
    with strace(receiver, "-e", f"trace={TRACED}") as trace:
        assert offer(receiver.port, scenario) == scenario
    receiver.stop()
    boundaries = sorted(boundaries_in(trace, tmp_path / "traced"))
    assert {"fsync", "mkdir", "unlink"} <= {call for call, _ in boundaries}
    kill_at = functools.partial(kill_and_resend, lone_receiver, strace, scenario)
    tried = boundaries if sweep.full else boundaries[::3]
    acknowledged = [
        kill_at(*boundary, tmp_path / "-".join(map(str, boundary))) for boundary in tried
    ]
    sweep.note(f"killed at {len(tried)} of {len(boundaries)} boundaries of a store")
    assert len(set(acknowledged)) > 1  # it died at different stages


def kill_and_resend(lone_receiver, strace, scenario, call, number, spool):
    """Kill one receiver at one boundary, check its spool, and finish with another one."""
    receiver = lone_receiver(spool)
    with strace(receiver, "-e", f"inject={call}:signal=SIGKILL:when={number}"):
        acknowledged = offer(receiver.port, scenario)
        receiver.process.wait(60)  # else this boundary was not reached
    require_acknowledged(spool, acknowledged)
    require_whole(spool, scenario)

    receiver = lone_receiver(spool)
    assert receiver.incoming() == []
    assert offer(receiver.port, scenario) == scenario
    receiver.kill()
    assert kept_in(spool) == {i.sop_instance_uid: i.sha256 for i in scenario[:2]}
    assert quarantined_in(spool) == {scenario[3].sha256}
    assert receiver.incoming() == []
    return len(acknowledged)


@dataclass(frozen=True)
class Daemon:
    """A running ``safelight serve``."""

    process: subprocess.Popen
    port: int
    web: int
    data: Path

    def listening(self, port):
        """The children that have `port` open for others to connect."""
        return [
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if listens(child, port)
        ]

    def recorded(self):
        """SOP Instance UIDs in the ledger."""
        ledger = f"file:{self.data / 'ledger.sqlite'}?mode=ro"
        with closing(sqlite3.connect(ledger, uri=True, timeout=30)) as connection:
            rows = connection.execute("SELECT SOPInstanceUID FROM instances")
            return {uid for (uid,) in rows}


def listens(process, port):
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:  # it ended meanwhile
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


@pytest.fixture
def daemon(tmp_path, free_port):
    """A daemon that starts its processes again at once; it closes no series during a sweep."""
    port, web = free_port(), free_port()
    config = tmp_path / "safelight.toml"
    config.write_text(
        f'[dicom]\nport = {port}\n[web]\nlisten = "127.0.0.1:{web}"\n[storage]\ndata = "data"\n'
        "free_bytes_min = 0\n[series]\nquiet_seconds = 3600\n"
        '[[dicom.accept]]\ncalling_ae = "SWEEP"\naddresses = ["127.0.0.0/8"]\n'
    )
    entry = Path(__file__).parent / "quick_restart.py"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(entry), "serve", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    line = process.stdout.readline()
    process.stdout.close()
    assert line.startswith("DICOM"), (tmp_path / "log").read_text()[-2000:]
    yield Daemon(process, port, web, tmp_path / "data")
    process.terminate()
    process.wait(60)


def test_kill_9_at_random_moments_of_a_feed_loses_and_alters_nothing(sweep, daemon, wait_until):
    count, kills = (5000, 200) if sweep.full else (300, 10)
    make = Instances("1.2.826.0.1.9002")
    sent = [make(number, series=number % 7) for number in range(count)]
    feed = Feed(sent, daemon.port)
    feed.start()
    draw = random.Random(sweep.seed)
    for moment in sorted(draw.sample(range(count), kills)):
        feed.wait_for(moment, 60)
        kill_some(daemon, draw, wait_until)
    feed.join()
    sweep.note(f"{kills} kills in a feed of {count}, {feed.breaks} broken associations")
    assert feed.refused == []
    assert len(feed.acknowledged) == count
    spool = daemon.data / "spool"
    require_acknowledged(spool, feed.acknowledged)
    require_whole(spool, sent)
    assert set(kept_in(spool)) == {instance.sop_instance_uid for instance in sent}
    assert quarantined_in(spool) == set()
    uids = {instance.sop_instance_uid for instance in sent}
    wait_until(lambda: uids <= daemon.recorded(), "the ledger to list what was acknowledged", 120)
    assert daemon.process.poll() is None
    # Kills hit the feed, and not only processes without a peer; of a few, few may.
    assert feed.breaks >= (kills // 4 if sweep.full else 1)


def kill_some(daemon, draw, wait_until):
    """Within 10 ms kill a receiver, all of them, or the coordinator too, as it is drawn."""
    wait_until(lambda: daemon.listening(daemon.port), "a receiver")
    time.sleep(draw.random() / 100)
    victims = daemon.listening(daemon.port)
    if draw.random() < 0.5:
        victims = [draw.choice(victims)]
    if draw.random() < 0.1:
        victims += daemon.listening(daemon.web)
    for victim in victims:
        victim.kill()
    psutil.wait_procs(victims, timeout=60)
