"""A receiver process: with its siblings, the DICOM port is its alone."""

import socket
import threading
from dataclasses import dataclass

from listener.roster import Roster
from listener.scp import Receiver
from listener.spool import Spool, SpoolSettings
from safelight.child import Reporter
from safelight.config import Config

_HEARTBEAT_SECONDS = 0.5


@dataclass(frozen=True)
class Share:
    """What one receiver process has of what all of them share.

    Attributes
    ----------
    process
        Its number among them.
    plain, secure
        The listening sockets.
    roster
        Who is connected to any of them.
    """

    process: int
    plain: socket.socket
    secure: socket.socket | None
    roster: Roster


def run_receiver(share: Share, config: Config, report: Reporter, stop: threading.Event) -> None:
    """Receive until `stop` is set, then let running associations finish for a bounded time."""
    settings = SpoolSettings(config.storage.spool, config.storage.free_bytes_min)
    spool = Spool(settings, f"receiver-{share.process}")
    spool.discard_incoming()
    receiver = Receiver(config.dicom, spool, share.roster, share.process)
    receiver.start(share.plain, share.secure)
    try:
        report.alive("receiving")
        while not stop.wait(_HEARTBEAT_SECONDS):
            report.alive(f"{receiver.heartbeat()} associations open")
    finally:
        receiver.stop()
