"""What the forward processor needs of whoever sends, who belongs to a later stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Forwarded:
    """What became of instances that were to be forwarded.

    Attributes
    ----------
    sent : int
        How many the receiver took now.
    already : int
        How many it took before, and were not sent again.
    warned : int
        How many of `sent` it took with a warning.
    refused : mapping
        SOP Instance UID to the reason, with the remedy and without patient data.
    is_retriable : bool
        Whether trying again may help any of those.
    """

    sent: int
    already: int = 0
    warned: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    is_retriable: bool = False


class Sender(Protocol):
    """Sends the instances of a series; it travels to the worker with the job."""

    def __call__(
        self,
        to: str,
        series_uid: str,
        files: Sequence[Path],
        *,
        decompress: bool,
        on_sent: Callable[[int], None],
    ) -> Forwarded:
        """Send to the receiver named `to` what it has not taken yet.

        `on_sent` is told how many instances are settled.
        """
        ...
