"""A process of the daemon as its supervisor sees it: started, heard, found silent, stopped."""

import logging
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from socket import socket

from safelight.child import Report, Target, child_main, signals_held
from safelight.config import Config

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 30.0
RESTART_SECONDS = (0.0, 1.0, 5.0, 15.0, 30.0)
_STEADY_SECONDS = 60.0


@dataclass
class Child:
    """One process of the daemon, and how it is."""

    name: str
    target: Target
    stop_seconds: float
    needs_doors: bool = True
    process: ForkProcess | None = None
    control: Connection | None = None
    ready: bool = False
    report: Report = field(default_factory=Report)
    started: float = 0.0
    heard: float = 0.0
    starts: int = 0
    failures: int = 0
    restart_at: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether it was started and is no more."""
        return self.process is not None and not self.process.is_alive()

    def start(self, config: Config, doors: Sequence[socket]) -> None:
        """Start it by fork: the supervisor has no threads, and all is imported already."""
        context = multiprocessing.get_context("fork")
        self.control, theirs = context.Pipe(duplex=False)
        unneeded = () if self.needs_doors else tuple(doors)
        process = context.Process(
            target=child_main,
            args=(self.target, config, theirs, unneeded),
            name=f"safelight-{self.name}",
        )
        with signals_held():
            process.start()
        theirs.close()
        self.process = process
        self.starts += 1
        self.started = self.heard = time.monotonic()

    def note_end(self, now: float) -> None:
        """Note that it ended by itself, and when to start it again."""
        assert self.process is not None  # noqa: S101 - the caller has looked
        code = self.process.exitcode
        steady = now - self.started > _STEADY_SECONDS
        self.failures = 1 if steady else self.failures + 1
        delay = RESTART_SECONDS[min(self.failures, len(RESTART_SECONDS)) - 1]
        logger.error("%s ended with code %s; starting again in %.0f s", self.name, code, delay)
        self.restart_at = now + delay
        self.process, self.ready = None, False

    def read(self) -> None:
        """Read what it reported."""
        assert self.control is not None  # noqa: S101 - the caller has looked
        try:
            while self.control.poll():
                self.report = self.control.recv()
                self.heard = time.monotonic()
                self.ready = True
        except EOFError:
            self.control.close()
            self.control = None

    def is_silent(self, now: float) -> bool:
        """Whether it runs, and has not reported for too long."""
        return self.process is not None and now - self.heard >= SILENCE_SECONDS

    def condition(self, now: float) -> str:
        """What it is doing, in words."""
        if self.is_silent(now):
            return f"{self.name}: NO ANSWER for {now - self.heard:.0f} s"
        return f"{self.name}: {self.report.status if self.ready else 'starting'}"

    def join(self) -> None:
        """Wait for its end, for a bounded time; then kill it."""
        if self.process is None:
            return
        self.process.join(self.stop_seconds)
        if self.process.is_alive():
            logger.error("%s did not stop in time and is killed", self.name)
            self.process.kill()
            self.process.join()
