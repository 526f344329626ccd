"""The records of sending: how hard it is tried, and what became of each file."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from query.files import DicomFile
from query.statuses import STORE_ACCEPTED, SUCCESS, is_worth_a_retry, store_meaning


@dataclass(frozen=True)
class Sent:
    """What became of one file.

    Attributes
    ----------
    accepted : bool
        Whether the receiver took it, if with a warning.
    reason : str
        Why it did not, or what it warned of; with the remedy, and without patient data.
    status : int or None
        What it answered; None where it answered nothing.
    comment : str
        The receiver's own words (PS3.7 9.3.1.2), which may hold anything.
    is_retriable : bool
        Whether sending it again may help.
    """

    file: DicomFile
    accepted: bool
    reason: str = ""
    status: int | None = None
    comment: str = ""
    is_retriable: bool = False

    @property
    def told(self) -> str:
        """The reason with the receiver's own words, for whoever sends."""
        return f'{self.reason}; it says "{self.comment}"' if self.comment else self.reason


@dataclass(frozen=True)
class SendOutcome:
    """What became of all files, in the order in which that was settled."""

    sent: tuple[Sent, ...]

    @property
    def accepted(self) -> int:
        """How many instances the receiver accepted."""
        return sum(one.accepted for one in self.sent)

    def refusals(self) -> Mapping[str, int]:
        """Why instances were not accepted, and how many for each reason."""
        return Counter(one.told for one in self.sent if not one.accepted)

    def warnings(self) -> Mapping[str, int]:
        """What the receiver warned of, and for how many that it took."""
        return Counter(one.told for one in self.sent if one.accepted and one.reason)


@dataclass(frozen=True)
class SendPolicy:
    """How hard it is tried.

    Attributes
    ----------
    tries : int
        How often an instance is sent at most.
    retry_seconds : float
        Wait before the second try; each further one waits twice as long.
    decompress : bool
        Send uncompressed what the receiver does not take in its own transfer syntax. The pixels
        are those that the file decodes to; such an instance is in memory as a whole.
    wait : callable
        Waits so many seconds.
    """

    tries: int = 1
    retry_seconds: float = 5.0
    decompress: bool = False
    wait: Callable[[float], None] = time.sleep


def refused(file: DicomFile, reason: str) -> Sent:
    """Say of a file that it was not taken, and will not be."""
    return Sent(file, accepted=False, reason=reason)


def answered(file: DicomFile, status: int, calling_ae: str, comment: str = "") -> Sent:
    """Say what a status (PS3.4 Table B.2-1) means for a file."""
    if status == SUCCESS:
        return Sent(file, accepted=True, status=status)
    meaning = store_meaning(status)
    told = f"0x{status:04X}, {meaning.text}: {meaning.remedy.format(calling_ae=calling_ae)}"
    accepted = status in STORE_ACCEPTED
    return Sent(file, accepted, told, status, comment, is_worth_a_retry(status))
