"""The records of retrieve lists: what was asked for, what is to be done, what came of it."""

from dataclasses import dataclass, field, replace
from typing import Literal

RetrieveState = Literal[
    "waiting", "running", "whole", "unproven", "incomplete", "absent", "failed", "cancelled"
]
"""
waiting     its time has not come, or its turn
running     it is being retrieved
whole       every instance that the PACS lists, or as many as it counts, is in the spool
unproven    the PACS says that it sent all, and lists and counts nothing to compare with
incomplete  every try was used up and something is missing; the report names it
absent      the PACS has no study of this accession number
failed      every try was used up and what the PACS has is not known
cancelled   a person took it out
"""

OPEN_STATES: tuple[RetrieveState, ...] = ("waiting", "running")


@dataclass(frozen=True)
class RetrieveOrder:
    """A list of accession numbers that a person asks for.

    Attributes
    ----------
    key
        Whoever asks chooses it, so that the same order is not taken twice.
    name
        What the person calls it; empty for none.
    pacs
        The name of the ``[[pacs]]``.
    method
        ``move``, ``get`` or ``dicomweb``; empty for what the PACS's table says.
    rules
        File name and text of the rules that leave series out.
    priority
        Lists of a higher one go first.
    tries
        How often each accession number is tried.
    rule
        The rule, in TOML, that processes its series instead of the site's; empty for the site's.
    """

    key: str
    pacs: str
    accession_numbers: tuple[str, ...] = field(repr=False)
    name: str = ""
    method: Literal["", "move", "get", "dicomweb"] = ""
    rules: tuple[tuple[str, str], ...] = ()
    priority: int = 0
    tries: int = 5
    rule: str = ""

    def named(self, name: str) -> "RetrieveOrder":
        """The same under a name."""
        return replace(self, name=name)


@dataclass(frozen=True)
class ClaimedItem:
    """One accession number of a list whose turn has come; `tries` counts this one.

    `has_rule` says whether the list has a rule that processes its series.
    """

    id: int
    list_id: int
    accession_number: str = field(repr=False)
    pacs: str
    method: Literal["", "move", "get", "dicomweb"]
    rules: tuple[tuple[str, str], ...]
    tries: int
    most_tries: int
    has_rule: bool


@dataclass(frozen=True)
class RetrievedSeries:
    """What is known of one series after a try.

    Attributes
    ----------
    expected
        How many instances the PACS lists, or counts where it lists none; None where neither.
    received
        How many of these are in the spool.
    missing
        The SOP Instance UIDs that it lists and that are not here.
    left_out
        The rule that left it out, with the reason; empty where it was asked for.
    doubt
        Why `expected` proves nothing; empty where it does.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SeriesNumber: int | None
    Modality: str
    SeriesDescription: str = field(repr=False)
    expected: int | None = None
    received: int = 0
    missing: tuple[str, ...] = ()
    left_out: str = ""
    doubt: str = ""

    @property
    def is_short(self) -> bool:
        """Whether something is missing, named or only counted."""
        counted = self.expected is not None and self.received < self.expected
        return not self.left_out and (bool(self.missing) or (counted and not self.doubt))


@dataclass(frozen=True)
class RetrieveResult:
    """What came of one try.

    Attributes
    ----------
    studies
        How many studies the PACS has of the accession number.
    series
        Their series, as far as the PACS told them.
    problem
        What went wrong, with the remedy, in words without patient data; empty for nothing.
    is_pacs_wide
        Whether the problem is the PACS's, so that others would meet it too.
    """

    studies: int = 0
    series: tuple[RetrievedSeries, ...] = ()
    problem: str = ""
    is_pacs_wide: bool = False

    @property
    def state(self) -> RetrieveState:
        """What the accession number is in, were this its last try."""
        wanted = [one for one in self.series if not one.left_out]
        if any(one.is_short for one in wanted):
            return "incomplete"
        if self.problem:
            return "failed"
        if not self.studies:
            return "absent"
        is_proven = all(one.expected is not None and not one.doubt for one in wanted)
        return "whole" if is_proven and self.series else "unproven"
