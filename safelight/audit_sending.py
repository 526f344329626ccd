"""Sends the audit trail to a syslog server: in order, from the file, and again until it is taken.

What was taken is remembered in the data folder. A crash between the two may send a batch twice;
nothing is left out.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from json import dumps
from pathlib import Path

from listener.journal import now
from safelight.audit_delivery import SENT_NAME, Delivery, delivery_of
from safelight.errors import SyslogUnavailable
from safelight.syslog import deliver, frame
from web_status.audit_file import AuditFiles, AuditFollower, AuditLine
from web_status.private_files import write_private
from web_status.settings import SyslogSettings

logger = logging.getLogger(__name__)

_BATCH = 500
_RETRY_SECONDS = (5.0, 15.0, 60.0, 300.0)


class AuditSending:
    """Sends what is new, a batch at a time; see `step`.

    Parameters
    ----------
    data
        The data folder.
    settings
        The server.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self, data: Path, settings: SyslogSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._data = data
        self._settings = settings
        self._clock = clock
        self._delivery = delivery_of(data)
        self._follower = AuditFollower(AuditFiles(data), self._delivery.number)
        self._batch: list[AuditLine] = []
        self._failures = 0
        self._not_before = clock()

    def step(self) -> bool:
        """Send a batch, if there is one and its time has come; return whether one was taken."""
        if self._clock() < self._not_before:
            return False
        self._batch = self._batch or self._follower.read(_BATCH)
        if not self._batch:
            return False
        try:
            deliver(self._settings, (_framed(line) for line in self._batch))
        except SyslogUnavailable as error:
            self._failed(str(error))
            return False
        self._remember(Delivery(self._batch[-1].number))
        self._batch, self._failures = [], 0
        return True

    def close(self) -> None:
        """Close the file that is read."""
        self._follower.close()

    def _failed(self, problem: str) -> None:
        delay = _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
        self._failures += 1
        self._not_before = self._clock() + delay
        if problem != self._delivery.problem:
            logger.warning("audit trail: not sent: %s", problem)
            since = self._delivery.since or now()
            self._remember(Delivery(self._delivery.number, problem, since))

    def _remember(self, delivery: Delivery) -> None:
        self._delivery = delivery
        try:
            write_private(self._data / SENT_NAME, dumps(asdict(delivery)).encode())
        except OSError as error:  # sent again after a restart
            logger.warning("audit trail: how far it was sent is not kept: %s", error.strerror)


def _framed(line: AuditLine) -> bytes:
    return frame(str(line.record["message"]), str(line.record["at"]))
