"""What a PACS says about a C-MOVE or C-GET; whether the instances arrived is for others to say."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from listener.dimse import QueryResponse
from query.errors import RetrieveRefused
from query.matches import failed_sop_uids
from query.statuses import RETRIEVE_ENDED, SUCCESS, move_meaning


@dataclass(frozen=True)
class RetrieveProgress:
    """The sub-operations of a C-MOVE or C-GET so far; None is a count the PACS did not give."""

    remaining: int | None
    completed: int | None
    failed: int | None
    warnings: int | None


@dataclass(frozen=True)
class RetrieveOutcome:
    """How a C-MOVE or C-GET ended, in the PACS's words (PS3.4 C.4.2.1.4 to C.4.2.1.8).

    These are claims, not evidence: an archive can answer success and send nothing, and the final
    response can come before the last instance. Count what arrived.

    Parameters
    ----------
    status : int
        The final DIMSE status.
    completed, failed, warnings, remaining : int
        Sub-operations; 0 where the PACS gave no count.
    failed_sop_uids : tuple of str
        Instances it names as not sent; archives may leave the list out.
    refusal : str
        Why it was not performed at all, with the remedy; empty where it was, if only in part.
    """

    status: int
    completed: int
    failed: int
    warnings: int
    remaining: int
    failed_sop_uids: tuple[str, ...]
    refusal: str = ""

    @property
    def is_partial(self) -> bool:
        """Whether the PACS itself says that something was not sent, whatever its status."""
        return self.status != SUCCESS or self.failed > 0 or self.remaining > 0

    @property
    def sent(self) -> int:
        """Instances the PACS says it sent; those with a warning arrived too."""
        return self.completed + self.warnings

    def require_performed(self) -> None:
        """Check that it was performed, if only in part.

        Raises
        ------
        RetrieveRefused
            It was not: 0xA801, 0xA701, 0xA702, 0xA900, 0xCxxx, or a status of PS3.7 C.
        """
        if self.refusal:
            raise RetrieveRefused(self.refusal, status=self.status)

    def __str__(self) -> str:
        text = f"{self.sent} instances sent, {self.failed} failed, {self.remaining} not tried"
        if self.status == SUCCESS:
            return text
        return f"{text} (0x{self.status:04X}, {move_meaning(self.status).text})"


def is_performed(status: int) -> bool:
    """Tell whether a final status says that something was performed, if only in part.

    >>> is_performed(0xB000), is_performed(0xA801)
    (True, False)
    """
    return status in RETRIEVE_ENDED


def retrieve_progress(response: QueryResponse) -> RetrieveProgress:
    """Return the counters of a response (PS3.7 9.1.4.1.7 to 9.1.4.1.10)."""
    return RetrieveProgress(
        remaining=response.remaining,
        completed=response.completed,
        failed=response.failed,
        warnings=response.warnings,
    )


def retrieve_outcome(
    response: QueryResponse, identifier: Dataset | None, refusal: str = ""
) -> RetrieveOutcome:
    """Return what a final response says."""
    return RetrieveOutcome(
        status=response.status,
        completed=response.completed or 0,
        failed=response.failed or 0,
        warnings=response.warnings or 0,
        remaining=response.remaining or 0,
        failed_sop_uids=failed_sop_uids(identifier),
        refusal=refusal,
    )
