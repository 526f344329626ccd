"""Rounds: every receiver gets the same instances in turn, many times, and nothing else runs."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from benchmarks.receive.crew import Sender, Storescus, crew
from benchmarks.receive.instances import Kind
from benchmarks.receive.peers import Peer, Setting, Start
from benchmarks.receive.sender import SendFailed

SenderName = Literal["fast", "storescu", "storescu Nagle"]

_SETTLE_SECONDS = 30
_LOOK_SECONDS = 0.1
_IDLE_CPU_SECONDS = 0.02


@dataclass(frozen=True)
class Case:
    """What is sent, how, to whom.

    Attributes
    ----------
    count
        Instances over each association in one round.
    receivers
        The first is ours: the others are compared with it.
    sender
        The fast sender, DCMTK's storescu with TCP_NODELAY, or as it is by default, with Nagle's
        algorithm.
    """

    name: str
    kind: Kind
    maximum_pdu_bytes: int
    associations: int
    count: int
    receivers: Sequence[Start]
    sender: SenderName = "fast"

    @property
    def instances(self) -> int:
        """Instances of a round."""
        return self.count * self.associations


@dataclass(frozen=True)
class Measurement:
    """One receiver in one round.

    Attributes
    ----------
    cpu_seconds
        Of the receiver, until it was idle again.
    """

    instances: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Instances per second."""
        return self.instances / self.seconds


Measurements = Mapping[str, list[Measurement]]
"""Receiver to its rounds; the first receiver is ours."""


def run(case: Case, rounds: int, folder: Path) -> Measurements:
    """Run a case: one round to warm up, then `rounds` that count."""
    with TemporaryDirectory(dir=folder, prefix="receive-") as place, ExitStack() as running:
        setting = Setting(
            Path(place), case.maximum_pdu_bytes, case.associations, sent_again=case.sender != "fast"
        )
        sender = _sender(case, Path(place), running)
        peers = [running.enter_context(contextmanager(start)(setting)) for start in case.receivers]
        for peer in peers:
            _measure(case, peer, sender)
        measured: dict[str, list[Measurement]] = {peer.name: [] for peer in peers}
        for number in range(rounds):
            for peer in _rotated(peers, number):
                _settle(peers)
                measured[peer.name].append(_measure(case, peer, sender))
        return measured


def _sender(case: Case, place: Path, running: ExitStack) -> Sender:
    if case.sender == "fast":
        return running.enter_context(crew(case.kind, case.maximum_pdu_bytes, case.associations))
    return Storescus(
        case.kind,
        case.maximum_pdu_bytes,
        case.associations,
        case.count,
        place / "sent",
        has_nodelay=case.sender == "storescu",
    )


def _rotated(peers: Sequence[Peer], number: int) -> Sequence[Peer]:
    """The turns of a round: who goes first goes last in the next."""
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]


def _measure(case: Case, peer: Peer, sender: Sender) -> Measurement:
    before, cpu_before = peer.stored(), peer.cpu_seconds()
    seconds = sender.send(peer, case.count)
    _settle([peer])
    cpu_seconds = peer.cpu_seconds() - cpu_before
    stored = peer.stored() - before
    if stored != case.instances:
        raise SendFailed(f"{peer.name} keeps {stored} instances of {case.instances}")
    peer.empty()
    os.sync()
    return Measurement(case.instances, seconds, cpu_seconds)


def _settle(peers: Sequence[Peer]) -> None:
    """Wait until no receiver is still busy with what it got before."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline:
        before = sum(peer.cpu_seconds() for peer in peers)
        time.sleep(_LOOK_SECONDS)
        if sum(peer.cpu_seconds() for peer in peers) - before <= _IDLE_CPU_SECONDS:
            return
