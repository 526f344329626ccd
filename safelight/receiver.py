"""The receiver process: the DICOM port is its alone."""

import threading

from listener.scp import Receiver
from listener.spool import Spool, SpoolSettings
from safelight.child import Reporter
from safelight.config import Config

_HEARTBEAT_SECONDS = 0.5


def run_receiver(config: Config, report: Reporter, stop: threading.Event) -> None:
    """Receive until `stop` is set, then let running associations finish for a bounded time."""
    spool = Spool(SpoolSettings(config.storage.spool, config.storage.free_bytes_min))
    spool.discard_incoming()
    receiver = Receiver(config.dicom, spool)
    receiver.start()
    report.alive("receiving")
    while not stop.wait(_HEARTBEAT_SECONDS):
        report.alive(f"{receiver.heartbeat()} associations open")
    receiver.stop()
