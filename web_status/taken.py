"""Files that people give, and what became of them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Given:
    """A file that a person gave, and what they call it."""

    path: Path
    name: str


@dataclass(frozen=True)
class TakenIn:
    """What became of files that a person gave.

    Attributes
    ----------
    stored, duplicates, quarantined
        Instances that are kept, were here already, and were set aside.
    refused
        How many files are not here.
    reasons
        What the first of those are called, and why each is refused.
    """

    stored: int
    duplicates: int
    quarantined: int
    refused: int
    reasons: tuple[tuple[str, str], ...]
