"""kill -9 and orderly ends in the middle of work: nothing acknowledged is lost.

Power loss is not covered; that every answer follows fsync is shown in tests/listener/test_scp.py.
"""

import hashlib
import threading
from contextlib import suppress

import numpy as np
import psutil
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.presentation import build_context

from query.association import associated, responses_from
from query.errors import AssociationAborted
from query.settings import PacsSettings


class Feed(threading.Thread):
    """Sends files on one association until it breaks, and notes what was acknowledged."""

    def __init__(self, files, port):
        super().__init__()
        self.files, self.port = files, port
        self.acknowledged = []
        self.reached = threading.Condition()

    def run(self):
        receiver = PacsSettings(
            name="us", ae_title="SAFELIGHT", host="127.0.0.1", port=self.port, response_seconds=30
        )
        context = build_context(CTImageStorage, ExplicitVRLittleEndian)
        with (
            suppress(AssociationAborted),
            associated(receiver, [context], calling_ae="FEEDER", dimse_seconds=30) as association,
        ):
            for path in self.files:
                self._send(association, path, receiver)

    def _send(self, association, path, receiver):
        instance = pydicom.dcmread(path)
        ((status, _),) = responses_from(
            lambda: [(association.send_c_store(instance), None)],
            receiver,
            service="C-STORE",
            dimse_seconds=30,
        )
        assert status.Status == 0x0000
        with self.reached:
            self.acknowledged.append(instance.SOPInstanceUID)
            self.reached.notify_all()

    def wait_for(self, count):
        with self.reached:
            assert self.reached.wait_for(lambda: len(self.acknowledged) >= count, 30)


def pixels_of(path):
    return hashlib.sha256(pydicom.dcmread(path).PixelData).hexdigest()


def test_kill_9_in_the_middle_of_a_feed_loses_nothing_and_the_restart_finishes_the_work(
    daemon, stack, wait_until
):
    node = daemon(quiet=0.3)
    done_before = stack(slices=4)
    first = Feed(done_before, node.port)
    first.start()
    first.join()
    node.wait_until(node.series, "the first series")

    files = stack(slices=120)
    feed = Feed(files, node.port)
    feed.start()
    feed.wait_for(40)
    children = node.children()
    node.kill()
    feed.join()
    assert 40 <= len(feed.acknowledged) < 120
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []  # no orphan keeps the port or the ledger

    spooled = {path.stem: path for path in (node.data / "spool" / "instances").rglob("*.dcm")}
    sent = {pydicom.dcmread(path).SOPInstanceUID: path for path in files}
    for uid in feed.acknowledged:
        assert pixels_of(spooled[uid]) == pixels_of(sent[uid])

    node = daemon(quiet=1.0)
    again = Feed(files, node.port)
    again.start()
    again.join()
    assert len(again.acknowledged) == 120

    def whole():
        row = node.series().get(files[0].parent.name)
        return row is not None and row.instances == 120 and row.state == "done"

    wait_until(whole, "the interrupted series to be finished", 90)
    rows = node.series()
    assert {row.state for row in rows.values()} == {"done"}
    assert "120/120 frames verified" in rows[files[0].parent.name].results["convert"]
    for row in rows.values():
        assert len(node.outputs(row, "nifti")) == 1
    assert not [p for p in (node.data / "spool" / "incoming").rglob("*") if p.is_file()]
    assert node.stop() == 0


@pytest.mark.parametrize("name", ["receiver", "coordinator"])
def test_a_process_that_dies_is_started_again_and_work_goes_on(daemon, stack, storescu, name):
    node = daemon()
    storescu(stack()[0].parent, port=node.port, called="SAFELIGHT")
    node.wait_for_ended(1)
    marker = {"receiver": node.port, "coordinator": int(node.web.rpartition(":")[2])}[name]
    listening = [p.pid for p in node.children() if listens(p, marker)]
    victim = psutil.Process(listening[0])
    victim.kill()
    victim.wait(10)
    node.wait_until(
        lambda: sum(listens(p, marker) for p in node.children()) == len(listening),
        f"another {name}",
        30,
    )
    storescu(stack()[0].parent, port=node.port, called="SAFELIGHT")
    rows = node.wait_for_ended(2)
    assert {row.state for row in rows.values()} == {"done"}


def listens(process, port):
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def test_sigterm_lets_a_running_association_finish_and_ends_with_0(daemon, stack):
    node = daemon()
    files = stack(slices=60)
    feed = Feed(files, node.port)
    feed.start()
    feed.wait_for(5)
    assert node.stop() == 0
    feed.join()
    assert len(feed.acknowledged) == 60
    kept = {path.stem for path in (node.data / "spool" / "instances").rglob("*.dcm")}
    assert set(feed.acknowledged) <= kept


def test_a_job_that_always_takes_too_long_is_given_up_after_three_tries_and_costs_nothing_else(
    daemon, stack, storescu
):
    node = daemon(toml="[processing]\ntime_limit_seconds = 0.05")
    noise = np.random.default_rng(1).bytes(512 * 512 * 2)  # seconds of work on any machine
    long = stack(slices=60, Rows=512, Columns=512, PixelData=noise)
    storescu(long[0].parent, port=node.port, called="SAFELIGHT")
    (row,) = node.wait_for_ended(1).values()
    assert row.state == "attention"
    reader = node.reader()
    (job,) = reader.jobs_of(row.id)
    told = [event.what for event in reader.history(row.id)]
    reader.close()
    assert (job.state, job.tries) == ("dead", 3)
    assert job.error == "killed after 0.05 s, the time limit"
    assert "given up after 3 tries: killed after 0.05 s, the time limit" in told
    assert not (node.data / "results").joinpath("A0001").exists()
    storescu(stack()[0].parent, port=node.port, called="SAFELIGHT")  # it still receives
    assert node.stop() == 0
