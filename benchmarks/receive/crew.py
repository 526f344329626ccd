"""Senders at work at the same time: a process for each association, or several storescu."""

import multiprocessing
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Protocol

from benchmarks.receive.instances import KINDS, Kind, Series, write_files
from benchmarks.receive.peers import Peer
from benchmarks.receive.raw import RawClient
from benchmarks.receive.sender import TIMEOUT_SECONDS, Association, Client, SendFailed


class Sender(Protocol):
    """Sends one round to one receiver."""

    def send(self, peer: Peer, count: int) -> float:
        """Send `count` instances over each association; return the seconds it took."""


@dataclass(frozen=True)
class _Task:
    port: int
    called_ae: str
    speaks_dicom: bool
    modality: str
    maximum_pdu_bytes: int
    count: int


@dataclass(frozen=True)
class _Span:
    start: float
    end: float


class Crew:
    """The fast sender, once for each association.

    Associations are negotiated and the bytes laid out before the clock starts; it stops with
    the last response.
    """

    def __init__(
        self, kind: Kind, maximum_pdu_bytes: int, pipes: "list[Connection[object, object]]"
    ) -> None:
        self._kind = kind
        self._maximum_pdu_bytes = maximum_pdu_bytes
        self._pipes = pipes

    def send(self, peer: Peer, count: int) -> float:
        """Send `count` instances over each association; return the seconds it took.

        Raises
        ------
        SendFailed
            An instance was not answered with success.
        """
        task = _Task(
            peer.port,
            peer.called_ae,
            peer.speaks_dicom,
            self._kind.modality,
            self._maximum_pdu_bytes,
            count,
        )
        for pipe in self._pipes:
            pipe.send(task)
        spans = _spans(peer, [_answer(pipe) for pipe in self._pipes])
        return max(span.end for span in spans) - min(span.start for span in spans)


@contextmanager
def crew(kind: Kind, maximum_pdu_bytes: int, associations: int) -> Iterator[Crew]:
    """A crew whose processes have started."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(associations)
    pairs = [context.Pipe() for _ in range(associations)]
    members = [
        context.Process(target=_work, args=(theirs, barrier), daemon=True) for _, theirs in pairs
    ]
    for member in members:
        member.start()
    try:
        yield Crew(kind, maximum_pdu_bytes, [ours for ours, _ in pairs])
    finally:
        for member in members:
            member.kill()
            member.join()


def _answer(pipe: "Connection[object, object]") -> object:
    return pipe.recv() if pipe.poll(TIMEOUT_SECONDS) else f"no end within {TIMEOUT_SECONDS} s"


def _spans(peer: Peer, answers: list[object]) -> list[_Span]:
    failures = [str(answer) for answer in answers if not isinstance(answer, _Span)]
    if failures:
        raise SendFailed(f"{peer.name}: {'; '.join(sorted(set(failures)))}")
    return [answer for answer in answers if isinstance(answer, _Span)]


def _work(pipe: "Connection[object, object]", barrier: Barrier) -> None:
    while isinstance(task := pipe.recv(), _Task):
        try:
            pipe.send(_carry_out(task, barrier))
        except Exception as error:  # noqa: BLE001 - the other process must hear of it
            barrier.abort()
            pipe.send(f"{type(error).__name__}: {error}")


def _carry_out(task: _Task, barrier: Barrier) -> _Span:
    series = Series.new()
    uids = list(series.instance_uids(task.count))
    client = _client(task, series)
    barrier.wait(TIMEOUT_SECONDS)
    start = time.monotonic()
    for uid in uids:
        client.store(uid)
    end = time.monotonic()
    # Whoever is ready early must not take time from the others with its release.
    barrier.wait(TIMEOUT_SECONDS)
    client.close()
    return _Span(start, end)


def _client(task: _Task, series: Series) -> Client:
    kind = KINDS[task.modality]
    if not task.speaks_dicom:
        return RawClient(task.port, kind, series)
    return Association(
        task.port, task.called_ae, kind, series, maximum_pdu_bytes=task.maximum_pdu_bytes
    )


class Storescus:
    """DCMTK's storescu, once for each association, each with a folder of its own.

    The clock includes its start, its association and its reading of the files.
    """

    def __init__(
        self,
        kind: Kind,
        maximum_pdu_bytes: int,
        associations: int,
        count: int,
        folder: Path,
        *,
        has_nodelay: bool = True,
    ) -> None:
        self._environment = {**os.environ, "TCP_NODELAY": "1" if has_nodelay else "0"}
        self._maximum_pdu_bytes = maximum_pdu_bytes
        self._count = count
        self._folders = [folder / str(number) for number in range(associations)]
        for each in self._folders:
            write_files(kind, each, count)

    def send(self, peer: Peer, count: int) -> float:
        """Send the folders; return the seconds until the last storescu has ended."""
        if count != self._count:
            raise SendFailed(f"the folders hold {self._count} instances, asked for {count}")
        start = time.monotonic()
        programs = [self._start(peer, folder) for folder in self._folders]
        codes = [program.wait(TIMEOUT_SECONDS) for program in programs]
        seconds = time.monotonic() - start
        if any(codes):
            raise SendFailed(f"{peer.name}: storescu ended with {codes}")
        return seconds

    def _start(self, peer: Peer, folder: Path) -> "subprocess.Popen[bytes]":
        command = [
            "storescu",
            "-q",
            "-R",
            "-xe",
            "+sd",
            "-aet",
            "BENCHMARK",
            "-aec",
            peer.called_ae,
        ]
        command += ["--max-send-pdu", str(self._maximum_pdu_bytes)]
        return subprocess.Popen(
            [*command, "127.0.0.1", str(peer.port), str(folder)],
            env=self._environment,
        )
