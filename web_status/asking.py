"""What the page asks of the daemon, as far as the page knows it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from web_status.archive import FoundStudies, PlannedSeries, Sought, Wanted
from web_status.network import Echo
from web_status.node import Check
from web_status.taken import Given, TakenIn


class Actions(Protocol):
    """What the daemon does for the page; each call returns when it is done.

    Raises
    ------
    ActionRefused
        It cannot be done; the message says why.
    """

    @property
    def pacs(self) -> tuple[str, ...]:
        """The names of those that can be asked."""

    def resend(self, job: int) -> None:
        """Queue a dead or cancelled job again."""

    def cancel(self, job: int) -> None:
        """Take a job out of the queue, or stop it."""

    def decide_again(self, series: Sequence[int]) -> None:
        """Decide series by the rules in force, and have made what is not there."""

    def retrieve(self, wanted: Wanted) -> int:
        """Order a retrieve list; return its number."""

    def plan(self, wanted: Wanted) -> tuple[PlannedSeries, ...]:
        """Ask the PACS what a retrieve would do, and do nothing else."""

    def read_list(self, name: str, content: bytes) -> tuple[str, ...]:
        """Read the accession numbers of a text, CSV or Excel file."""

    def search(self, sought: Sought) -> FoundStudies:
        """Look for studies in a PACS."""

    def retrieve_again(self, number: int) -> None:
        """Try again what of a list is not whole."""

    def retrieve_cancel(self, number: int) -> None:
        """Take out what of a list has not ended."""

    def pause(self, processor: str) -> None:
        """Let no job begin that runs a processor; the empty name stands for every job."""

    def resume(self, processor: str) -> None:
        """End a pause."""

    def echo(self, pacs: str) -> Echo:
        """Ask a PACS whether it is there (C-ECHO)."""

    def check(self) -> Check:
        """Check that nothing is lost; it takes as long as the spool is large."""

    def upload_room(self) -> int:
        """How many bytes of uploads the disk has room for."""

    def take_in(self, given: Sequence[Given], report: Callable[[int], None]) -> TakenIn:
        """Take files in by the door of the receivers; a ZIP stands for the files in it.

        `report` is told how many instances were judged so far.
        """
