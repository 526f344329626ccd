"""What runs jobs: worker processes of our own, or the workers of a cluster. One interface."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from processor.model import JobRequest, JobResult


class Engine(Protocol):
    """Runs jobs at once and elsewhere; `processor.pool` and `processor.cluster.engine` do."""

    @property
    def slots(self) -> int:
        """How many jobs it can run at once now."""

    def submit(self, request: JobRequest) -> Future[JobResult]:
        """Run a job. The future is never marked as running, and cancelling it frees the worker."""

    def stop(self) -> None:
        """Kill what runs; unfinished futures are cancelled."""


@dataclass(frozen=True)
class RemoteWorker:
    """A worker on another machine.

    Attributes
    ----------
    name, address
        What the cluster calls it, and where it is.
    capacity, busy
        How many jobs it takes at once, and how many of ours it has.
    problem
        Why it gets no jobs, and what to do; empty where it does.
    """

    name: str
    address: str
    capacity: int
    busy: int
    problem: str


class RemoteEngine(Engine, Protocol):
    """An engine that is on other machines, which can be away."""

    @property
    def trouble(self) -> str:
        """Why no job can run, and what to do; empty where one can."""

    @property
    def workers(self) -> tuple[RemoteWorker, ...]:
        """Its workers as they are now."""

    def start(self) -> None:
        """Connect, and go on trying to."""
