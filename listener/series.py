"""The records of the GROUP step: instances that landed and series that closed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from listener.header import Header
from listener.spool import SeriesKey

Grade = Literal["released", "quiet"]
"""How good the evidence is that a series is whole.

released    every association that sent to it was released, and then it was quiet
quiet       nothing came for it any more, but an association was aborted or is still open
"""


@dataclass(frozen=True)
class Arrival:
    """An instance that landed in the spool.

    Attributes
    ----------
    key
        The series it belongs to.
    header
        What its elements before the pixel data say.
    path
        The file.
    bytes, sha256
        Size and digest of the file.
    """

    key: SeriesKey
    header: Header
    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Closure:
    """A series was found to be complete, as far as `grade` says."""

    key: SeriesKey
    grade: Grade
    evidence: str
