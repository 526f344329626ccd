"""Two daemons behind one AE title and a real HAProxy, set up as docs/several-nodes.md says.

Not covered: a machine that vanishes without closing its connections, and HAProxy's own failure.
"""

import re
import socket
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
import requests

from .test_crash import Feed

DOCUMENT = Path(__file__).parents[2] / "docs" / "several-nodes.md"
BALANCER = "127.0.0.9"  # where HAProxy connects from
STUDY = "1.2.826.0.77"
SENDERS = """
[[dicom.accept]]
calling_ae = "*"
addresses = ["127.0.0.1/32"]
called_ae = ["SAFELIGHT", "{own}"]
"""


def own(letter):
    """The keys of ``[dicom]`` on a node."""
    return f'ae_title = "SAFELIGHT_{letter}"\nproxy_from = ["{BALANCER}"]'


@pytest.fixture
def balancer(program, free_port, tmp_path, wait_until):
    """Function that runs HAProxy in front of ports of this machine and returns its port."""
    haproxy = program("haproxy")
    running = []

    def start(*ports):
        end()
        (text,) = re.findall(r"```haproxy\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        port = free_port()
        changes = [
            ("    log /dev/log local0", "    log stdout format raw local0"),
            ("bind :104", f"bind 127.0.0.1:{port}"),
            ("check inter 5s", f"source {BALANCER} check inter 200ms"),
            ("10.0.0.11:11112", f"127.0.0.1:{ports[0]}"),
            ("10.0.0.12:11112", f"127.0.0.1:{ports[1]}"),
        ]
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        (tmp_path / "haproxy.cfg").write_text(text)
        with (tmp_path / "haproxy.log").open("a") as log:
            command = [haproxy, "-db", "-f", str(tmp_path / "haproxy.cfg")]
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait_until(lambda: is_open(port), "HAProxy", 60)
        return port

    def end():
        for process in running:
            process.terminate()
            process.wait(20)
        running.clear()

    yield start
    end()


def is_open(port):
    """Whether a port takes connections."""
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def kept(node):
    """The instances in the spool of a node."""
    return {path.stem for path in (node.data / "spool" / "instances").rglob("*.dcm")}


def uids(files):
    return {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in files}


def shown(node):
    """The page of all nodes."""
    return requests.get(f"http://{node.web}/nodes", timeout=60).text


def row(text, name):
    (found,) = re.findall(rf'<tr id="node-{name}".*?</tr>', text, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found))


def test_a_node_that_dies_in_a_feed_loses_nothing_and_the_page_names_the_divided_study(
    daemon, balancer, stack, storescu, wait_until
):
    b = daemon(SENDERS.format(own="SAFELIGHT_B"), name="b", dicom=own("B"))
    b.run("user", "add", "olga", "--role", "operator", input="correct horse battery\n")
    token = b.run("user", "token", "olga", "overview").stdout.splitlines()[0]
    nodes = (
        f'[[nodes]]\nname = "b"\nurl = "http://{b.web}"\ntoken = "{token}"\n'
        f'[[nodes]]\nname = "disk"\ndata = "{b.data}"\n'
    )
    a = daemon(SENDERS.format(own="SAFELIGHT_A") + nodes, name="a", dicom=own("A"))

    first = stack(slices=3, study_uid="1.2.826.0.76")
    port = balancer(a.port, b.port)
    storescu(*first, port=port, called="SAFELIGHT")
    if kept(a):  # the hash of this sender leads to a, which shall survive
        port = balancer(b.port, a.port)
        storescu(*first, port=port, called="SAFELIGHT")
    assert kept(b) == uids(first)

    files = stack(slices=120, study_uid=STUDY, series_uid="1.2.826.0.77.1")
    feed = Feed(files, port)
    feed.start()
    feed.wait_for(20)
    wait_until(lambda: "1.2.826.0.77.1" in b.series(), "the ledger of b", 30)
    b.kill()
    feed.join()
    acknowledged = set(feed.acknowledged)
    assert 20 <= len(acknowledged) < 120, len(acknowledged)
    assert acknowledged <= kept(b)

    left = [path for path in files if not uids([path]) <= acknowledged]
    storescu(*left, port=port, called="SAFELIGHT")
    assert uids(left) <= kept(a)
    assert uids(files) <= kept(a) | kept(b)
    journal = "".join(path.read_text() for path in (a.data / "spool" / "journal").iterdir())
    assert '"address": "127.0.0.1"' in journal
    assert BALANCER not in journal  # its checks are no associations

    wait_until(lambda: 'id="divided"' in shown(a), "the study to be named", 30)
    text = shown(a)
    assert "it cannot be reached" in row(text, "b")
    assert "read from its ledger" in row(text, "disk")
    assert f'<span class="uid">{STUDY}</span>' in text
    wait_until(lambda: f"study {STUDY} is DIVIDED: " in a.run("nodes").stdout, "the command", 60)
    told = a.run("nodes")
    assert told.returncode == 1
    assert re.search(r"^b +.*NO ANSWER", told.stdout, re.MULTILINE), told.stdout

    b.run("send", STUDY, "--to", f"127.0.0.1:{a.port}", "--aet", "SAFELIGHT_A", "--json")
    assert uids(files) <= kept(a)
    wait_until(lambda: 'id="divided"' not in shown(a), "the study to be whole on a", 30)
    assert "whole on this node" in re.sub(r"<[^>]+>|\s+", " ", shown(a))

    log = (a.config.parent / "log").read_text()
    checks = Counter(line.rpartition(": ")[2] for line in log.splitlines() if BALANCER in line)
    assert checks
    assert max(checks.values()) <= 2, checks  # once in each receiver process, of some dozens
