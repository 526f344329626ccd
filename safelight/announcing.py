"""What systemd is told: that the daemon is ready, what it does, that it lives, reloads, stops.

WATCHDOG=1 is sent only while every child has reported lately. A receiver reports from a thread
that has seen its ports being looked at, the coordinator after each round of its loop: watching,
grouping, deciding, writing to the ledger.
"""

import logging
import time
from collections.abc import Callable, Sequence

from safelight.children import SILENCE_SECONDS, Child
from safelight.notify import Notifier

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0


class Announcer:
    """Tells systemd.

    Parameters
    ----------
    notifier
        Where to.
    on_ready
        Called once, when the daemon is ready.
    """

    def __init__(self, notifier: Notifier, on_ready: Callable[[], None]) -> None:
        self._notifier = notifier
        self._on_ready = on_ready
        self._next_ping = 0.0
        self._silent: set[str] = set()
        self.is_ready = False
        self.announced = 0.0  # when systemd was last told that all are alive, monotonic

    def tell(self, children: Sequence[Child]) -> None:
        """Say that the daemon is ready, once; every second, what it does and that it lives."""
        now = time.monotonic()
        if not self.is_ready and all(child.ready for child in children):
            self.is_ready = True
            self._notifier.send(READY=1)
            self._on_ready()
        if now < self._next_ping:
            return
        self._next_ping = now + TICK_SECONDS
        self._log_silence(children, now)
        status = "; ".join(child.condition(now) for child in children)
        if all(child.ready and not child.is_silent(now) for child in children):
            self.announced = now
            self._notifier.send(WATCHDOG=1, STATUS=status)
        else:
            self._notifier.send(STATUS=status)

    def reloading(self) -> None:
        """Say that the rules are being read again."""
        self._notifier.send(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)

    def reloaded(self) -> None:
        """Say that they were read, or refused."""
        self._notifier.send(READY=1)

    def stopping(self, what: str) -> None:
        """Say that the daemon stops, and what it waits for."""
        self._notifier.send(STOPPING=1, STATUS=f"stopping: {what}")

    def _log_silence(self, children: Sequence[Child], now: float) -> None:
        """Log when a child falls silent, and when it is heard again."""
        silent = {child.name for child in children if child.is_silent(now)}
        for name in silent - self._silent:
            logger.error(
                "%s has not answered for %.0f s; systemd is no longer told that we are alive",
                *(name, SILENCE_SECONDS),
            )
        for name in self._silent - silent:
            logger.warning("%s answers again", name)
        self._silent = silent
