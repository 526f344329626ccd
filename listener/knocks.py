"""Connections that ended before they asked for an association: scans, and checks by balancers.

A balancer looks every few seconds whether we are there; so each kind is logged once, then counted.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

logger = logging.getLogger(__name__)

_HOUR = 3600.0
_KINDS_MAX = 1000


class Knocks:
    """Tells of each address and reason once an hour at most, with how often it was.

    Parameters
    ----------
    clock
        A monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._times: Counter[tuple[str, str]] = Counter()
        self._until = clock() + _HOUR

    def note(self, address: str, reason: str) -> None:
        """Count a connection; any thread may call it."""
        with self._lock:
            if self._clock() >= self._until or len(self._times) >= _KINDS_MAX:
                self._begin_anew()
            self._times[address, reason] += 1
            is_first = self._times[address, reason] == 1
        if is_first:
            logger.info("a connection from %s ended before an association: %s", address, reason)

    def _begin_anew(self) -> None:
        for (address, reason), times in self._times.items():
            if times > 1:
                logger.info(
                    "%d more connections from %s ended before an association: %s",
                    times - 1,
                    address,
                    reason,
                )
        self._times.clear()
        self._until = self._clock() + _HOUR
