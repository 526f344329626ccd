"""Looks at a Dask cluster once, beside a daemon that may be using it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processor.cluster.connection import (
    UNREACHABLE,
    Member,
    away,
    identity_of,
    open_client,
    problem_of,
)
from processor.cluster.engine import OWNER_FILE
from processor.cluster.settings import ProcessingSettings
from processor.cluster.task import Question
from processor.cluster.work import versions
from processor.errors import ClusterAway

_AT_ONCE = 8


@dataclass(frozen=True)
class Survey:
    """A cluster as it is: the version of its scheduler's Dask, and its workers."""

    dask: str
    workers: tuple[Member, ...]


def survey(settings: ProcessingSettings, data: Path, writable: tuple[Path, ...]) -> Survey:
    """Ask the scheduler, and each worker as it is asked before it gets jobs.

    Raises
    ------
    ClusterAway
        The scheduler does not answer.
    """
    question = _question(settings, data, writable)
    try:
        with closing(open_client(settings)) as client, ThreadPoolExecutor(_AT_ONCE) as threads:
            workers = identity_of(client)["workers"]
            problems = list(
                threads.map(lambda address: problem_of(client, address, question), workers)
            )
            running: Any = client.get_versions()
    except UNREACHABLE as error:
        raise ClusterAway(away(settings, type(error).__name__)) from None
    found = zip(workers.items(), problems, strict=True)
    return Survey(
        running["scheduler"]["packages"]["distributed"],
        tuple(Member.of(address, told, settings, why) for (address, told), why in found),
    )


def _question(settings: ProcessingSettings, data: Path, writable: tuple[Path, ...]) -> Question:
    """As nobody: what the daemon has at its workers is not to be tidied."""
    file = data / OWNER_FILE
    if settings.transfer == "wire" or not file.exists():
        return Question("", "", versions())
    return Question(file.read_text(encoding="ascii"), "", versions(), file, writable)
