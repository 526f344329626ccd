"""What a PACS says about a C-MOVE; whether the instances arrived is for the receiver to say."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from query.matches import failed_sop_uids
from query.statuses import SUCCESS, move_meaning


@dataclass(frozen=True)
class MoveProgress:
    """The sub-operations of a C-MOVE so far; None is a count the PACS did not give."""

    remaining: int | None
    completed: int | None
    failed: int | None
    warnings: int | None


@dataclass(frozen=True)
class MoveOutcome:
    """How a C-MOVE ended, in the PACS's words (PS3.4 C.4.2.1.4 to C.4.2.1.8).

    These are claims, not evidence: an archive can answer success and send nothing, and the final
    response can come before the last instance. Count what arrived.

    Parameters
    ----------
    status : int
        The final DIMSE status: 0x0000, 0xB000 or 0xFE00; all others are raised.
    completed, failed, warnings, remaining : int
        Sub-operations; 0 where the PACS gave no count.
    failed_sop_uids : tuple of str
        Instances it names as not sent; archives may leave the list out.
    """

    status: int
    completed: int
    failed: int
    warnings: int
    remaining: int
    failed_sop_uids: tuple[str, ...]

    @property
    def is_partial(self) -> bool:
        """Whether the PACS itself says that something was not sent, whatever its status."""
        return self.status != SUCCESS or self.failed > 0 or self.remaining > 0

    @property
    def sent(self) -> int:
        """Instances the PACS says it sent; those with a warning arrived too."""
        return self.completed + self.warnings

    def __str__(self) -> str:
        text = f"{self.sent} instances sent, {self.failed} failed, {self.remaining} not tried"
        if self.status == SUCCESS:
            return text
        return f"{text} (0x{self.status:04X}, {move_meaning(self.status).text})"


def move_progress(status: Dataset) -> MoveProgress:
    """Return the counters of a C-MOVE response (PS3.7 9.1.4.1.7 to 9.1.4.1.10)."""
    return MoveProgress(
        remaining=status.get("NumberOfRemainingSuboperations"),
        completed=status.get("NumberOfCompletedSuboperations"),
        failed=status.get("NumberOfFailedSuboperations"),
        warnings=status.get("NumberOfWarningSuboperations"),
    )


def move_outcome(status: Dataset, identifier: Dataset | None) -> MoveOutcome:
    """Return what a final C-MOVE response says."""
    counters = move_progress(status)
    return MoveOutcome(
        status=status.Status,
        completed=counters.completed or 0,
        failed=counters.failed or 0,
        warnings=counters.warnings or 0,
        remaining=counters.remaining or 0,
        failed_sop_uids=failed_sop_uids(identifier),
    )
