"""A running daemon, and what every fault must leave as it was."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from canary import Instance, make_instance
from raw_peer import Peer

from ledger.reader import LedgerReader

# multiprocessing's word on what a killed process held, and the line of code it shows.
_OF_A_KILLED_PROCESS = re.compile(r"resource_tracker|warnings\.warn\(")
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \S+ (INFO|WARNING|ERROR|CRITICAL) [\w.]+: ")


@dataclass
class Node:
    """A running daemon, and what it acknowledged during the current test."""

    process: subprocess.Popen
    folder: Path
    port: int
    tls_port: int
    web: str
    acknowledged: list[Instance] = field(default_factory=list)
    _peers: list[Peer] = field(default_factory=list)
    _log_offset: int = 0

    @property
    def spool(self):
        return self.folder / "data" / "spool"

    def connect(self, source="127.0.0.1", port=None):
        """Open a connection; it is closed after the test."""
        peer = Peer(port or self.port, source, self.acknowledged)
        self._peers.append(peer)
        return peer

    def associated(self, source="127.0.0.1", **request):
        """Open an association."""
        return self.connect(source).established(**request)

    def log(self):
        return (self.folder / "log").read_text()

    def incoming(self):
        """The unfinished files."""
        return [path for path in (self.spool / "incoming").rglob("*") if path.is_file()]

    def kept(self, instance):
        """Where an instance lies; more than one path is a fault by itself."""
        uid = instance.sop_instance_uid
        return list((self.spool / "instances").glob(f"*/*/{uid}.dcm"))

    def quarantined(self, instance):
        """Where other versions of an instance lie."""
        return list((self.spool / "quarantine").glob(f"{instance.sop_instance_uid}-*.dcm"))

    def events(self, peer):
        """What the journal holds of a peer, in order. Each line must be one whole event.

        The last one may be read while it is written: it counts once its end is there.
        """
        lines = [
            json.loads(line)
            for path in sorted((self.spool / "journal").glob("*.jsonl"))
            for line in path.read_bytes().split(b"\n")[:-1]
            if line
        ]
        return [line for line in lines if line.get("calling_ae") == peer.calling]

    def wait_for_event(self, peer, name):
        """Wait until the journal has an event of a peer, and return it."""
        wait_until(
            lambda: name in [event["event"] for event in self.events(peer)],
            f"{name!r} of {peer.calling} in the journal",
        )
        return next(event for event in self.events(peer) if event["event"] == name)

    def read_ledger(self, question):
        """Ask the ledger something, as the page does."""
        reader = LedgerReader(self.folder / "data" / "ledger.sqlite")
        try:
            return question(reader)
        finally:
            reader.close()

    def wait_for_association(self, peer, state):
        """Wait until the ledger has the association of a peer in a state, and return its row."""

        def found():
            rows = self.read_ledger(lambda reader: reader.associations(limit=1000))
            return [row for row in rows if (row.calling_ae, row.state) == (peer.calling, state)]

        wait_until(found, f"the ledger to call the association of {peer.calling} {state}")
        return found()[0]

    def series_of(self, series_instance_uid):
        """The ledger's row of a series; None while there is none."""
        rows = self.read_ledger(lambda reader: reader.series(limit=1000))
        return next((row for row in rows if row.SeriesInstanceUID == series_instance_uid), None)

    def wait_for_ended(self, series_instance_uid):
        """Wait until nothing is left to do for a series, and return its row."""

        def ended():
            row = self.series_of(series_instance_uid)
            return row is not None and row.state in ("done", "kept", "dropped", "attention")

        wait_until(ended, f"series {series_instance_uid} to end", 150)
        return self.series_of(series_instance_uid)

    def processes(self):
        """Every process of the daemon but the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def lasting_processes(self):
        """Every process that outlasts a job: all but workers, which a fork server has started."""
        children = psutil.Process(self.process.pid).children()
        return children + [grandchild for child in children for grandchild in child.children()]

    def receivers(self):
        """The processes that have the DICOM port."""
        return [process for process in self.processes() if _listens(process, self.port)]

    def memory_growth(self):
        """Function that tells by how many MiB the peak of a receiver's memory has grown since."""
        before = {process: _peak_mib(process) for process in self.receivers()}
        return lambda: max(_peak_mib(process) - peak for process, peak in before.items())

    def stop(self):
        """End the daemon in order; return its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def disconnect(self):
        """Close every connection of the current test."""
        for peer in self._peers:
            peer.close()
        self._peers.clear()

    def require_intact(self):
        """Raise where a fault left more behind than it may."""
        self.disconnect()
        wait_until(self._serves, "an allowed sender to be served")
        wait_until(lambda: not self.incoming(), "unfinished files to be gone")
        for instance in self.acknowledged:
            wait_until(
                lambda: self._has(instance),  # noqa: B023 - called at once
                f"{instance.sop_instance_uid}, which was acknowledged",
                5,
            )
        self.acknowledged.clear()
        self.require_clean_log()

    def _serves(self):
        peer = Peer(self.port)
        try:
            answer = peer.associate()
            if answer is None or answer.kind != 2:
                return False
            assert peer.echo().status == 0x0000
            assert peer.store(make_instance()).status == 0x0000
            peer.release()
        finally:
            peer.close()
        return True

    def _has(self, instance):
        places = (*self.kept(instance), *self.quarantined(instance))
        return any(
            path.exists() and path.read_bytes().endswith(instance.dataset) for path in places
        )

    def require_clean_log(self):
        """Raise where the log has a line that we did not write, or patient data."""
        log = (self.folder / "log").read_bytes()
        new, self._log_offset = log[self._log_offset :].decode(), len(log)
        lines = [line for line in new.split("\n") if line]
        ours = [line for line in lines if not _OF_A_KILLED_PROCESS.search(line)]
        assert [line for line in ours if not _LOG_LINE.match(line)] == []
        assert [line for line in lines if not line.isprintable()] == []
        assert "canary" not in new.lower()
        journal = b"".join(p.read_bytes() for p in (self.spool / "journal").glob("*.jsonl"))
        assert b"canary" not in journal.lower()


def _listens(process, port):
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def _peak_mib(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def wait_until(condition, what, seconds=60):
    """Poll a condition until it holds; raise at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)


def start_daemon(config):
    """Start ``safelight serve`` in the folder of `config`.

    Returns when it is ready; None where it ended instead, and its log says why.
    """
    log = config.parent / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "safelight", "serve", "--config", str(config)],
            cwd=config.parent,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    line = process.stdout.readline()
    process.stdout.close()
    if not line.startswith("DICOM"):
        process.wait(60)
        return None
    return process
