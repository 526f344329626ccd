"""The records of the GROUP step: instances that landed and series that closed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from listener.header import Header
from listener.spool import SeriesKey

Grade = Literal["forced", "quiet", "released", "moved", "counted", "listed"]
"""How good the evidence is that a series is whole, the weakest first.

forced      nothing came for it for long, although its association, or a C-MOVE, has not ended
quiet       nothing came for it any more, but an association was aborted or lost
released    every association that sent to it was released, and then it was quiet
moved       as many instances of its study are here as the PACS says it sent (C-MOVE)
counted     as many are here as the PACS counts (NumberOfSeriesRelatedInstances)
listed      each is here that the PACS lists (IMAGE level C-FIND)
"""

GRADES: tuple[Grade, ...] = get_args(Grade)


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
    """A series was found to be complete, as far as `grade` says.

    Attributes
    ----------
    key, grade, evidence
        Which, how sure, and why.
    expected
        How many instances a PACS said it has; None where none did.
    missing
        How many of those are not here.
    header_findings
        How much its headers say against its being whole; the evidence says what.
    """

    key: SeriesKey
    grade: Grade
    evidence: str
    expected: int | None = None
    missing: int | None = None
    header_findings: int = 0


@dataclass(frozen=True)
class StudyClosure:
    """All series of a study were closed, and no more is expected, as far as `grade` says."""

    StudyInstanceUID: str
    grade: Grade
    evidence: str
