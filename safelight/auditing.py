"""The audit trail in the daemon: a thread that tells it what came, and sends it."""

import threading
from collections.abc import Callable

from safelight.audit_deeds import audit_trail
from safelight.audit_sending import AuditSending
from safelight.config import Config
from safelight.receptions import Receptions

_LOOK_SECONDS = 1.0


class Auditing:
    """Tells the trail what came, and sends it, beside the pipeline.

    Parameters
    ----------
    config
        The configuration in force.
    is_caught_up
        Whether all that was seen in the spool is in the ledger.
    """

    def __init__(self, config: Config, is_caught_up: Callable[[], bool]) -> None:
        self._receptions = Receptions(config, audit_trail(config), is_caught_up)
        syslog = config.audit.syslog
        self._sending = AuditSending(config.storage.data, syslog) if syslog else None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        while not stop.wait(_LOOK_SECONDS):
            self._receptions.step()
            while self._sending is not None and self._sending.step() and not stop.is_set():
                pass
        if self._sending is not None:
            self._sending.close()
