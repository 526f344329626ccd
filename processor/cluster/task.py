"""What travels between the coordinator and a Dask worker.

Dask logs the arguments of what fails: none of these shows what it holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from processor.job import Made
from processor.model import JobRequest
from processor.settings import PoolSettings

PREFIX = "safelight-"
"""What the Dask keys of our jobs begin with."""


@dataclass(frozen=True)
class Task:
    """One run of a job.

    Attributes
    ----------
    key : str
        The Dask key of this run; every run has one of its own.
    place : str
        The worker's folder for it, where bytes are sent; empty where folders are shared.
    taken : sequence of str
        Folders that other jobs have; known where the results folder is not shared.
    """

    key: str
    request: JobRequest = field(repr=False)
    limits: PoolSettings
    place: str = ""
    taken: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True)
class Parcel:
    """A file at a worker, by its name below a folder, with its SHA-256."""

    name: str = field(repr=False)
    size: int
    sha256: str


@dataclass(frozen=True)
class Answer:
    """What came of a run: what was made, or why nothing was.

    Attributes
    ----------
    parcels : tuple of Parcel
        What is to be fetched, where bytes are sent.
    """

    made: Made | None = field(default=None, repr=False)
    error: BaseException | None = field(default=None, repr=False)
    parcels: tuple[Parcel, ...] = ()


@dataclass(frozen=True)
class Piece:
    """Some bytes of a file; at most `processor.cluster.pieces.CHUNK` go at once."""

    name: str = field(repr=False)
    offset: int
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Wanted:
    """The place of bytes in a file."""

    name: str = field(repr=False)
    offset: int
    size: int


@dataclass(frozen=True)
class Versions:
    """What must be the same on both sides, so that a job makes the same outputs."""

    Safelight: str
    Python: str
    Dask: str


@dataclass(frozen=True)
class Question:
    """What a worker is asked before it gets a job.

    Attributes
    ----------
    owner : str
        Which Safelight asks; empty where one only looks, and nothing of it is to be removed.
    session : str
        Which connection of it; what earlier ones left at the worker is removed.
    versions : Versions
        Ours.
    shared : Path or None
        A file with the name of the owner in the data folder that the worker must see.
    folders : tuple of Path
        Where it must be able to write.
    """

    owner: str
    session: str
    versions: Versions
    shared: Path | None = field(default=None, repr=False)
    folders: tuple[Path, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Description:
    """What a worker says of itself.

    Attributes
    ----------
    can_start : bool
        Whether it may start processes; one under a nanny may not, by default.
    problem : str
        Which folder it cannot use, and why; empty where all is well.
    """

    versions: Versions
    can_start: bool
    problem: str = ""
