"""Does what is asked for on the page, in the way of the command line."""

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import click

from ledger.errors import LedgerError, NotInLedger
from ledger.reader import LedgerReader
from ledger.retrieve_records import RetrieveOrder
from listener.journal import now
from query.errors import QueryError
from query.settings import METHODS, Method
from rules.errors import RulesError
from safelight import job_commands
from safelight.config import Config
from safelight.disk import volume_of
from safelight.errors import SafelightError
from safelight.ledger_commands import balance_lines
from safelight.requests import Request
from safelight.retrieve_list import checked
from safelight.retrieve_orders import Wish, order_of
from web_status.archive import (
    ACCESSIONS_MAX,
    FoundStudies,
    PlannedSeries,
    Sought,
    Wanted,
)
from web_status.errors import ActionRefused
from web_status.network import Echo
from web_status.node import Check
from web_status.taken import Given, TakenIn

_Done = TypeVar("_Done")
_PLANNED_MAX = 200
_BETWEEN = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class PageActions:
    """A `web_status.actions.Actions` of this configuration."""

    config: Config

    @property
    def pacs(self) -> tuple[str, ...]:
        """The names of those that can be asked."""
        return tuple(pacs.name for pacs in self.config.pacs)

    def resend(self, job: int) -> None:
        """Queue a dead or cancelled job again."""
        _asked(lambda: job_commands.require_state(self.config, job, ("dead", "cancelled")))
        self._ask(Request("resend", job=job))

    def cancel(self, job: int) -> None:
        """Take a job out of the queue, or stop it."""
        _asked(lambda: job_commands.require_state(self.config, job, job_commands.OPEN))
        self._ask(Request("cancel", job=job))

    def decide_again(self, series: Sequence[int]) -> None:
        """Decide series by the rules in force, and have made what is not there."""
        reader = LedgerReader(self.config.storage.ledger)
        try:
            states = {reader.one_series(number).state for number in series}
            are_here = any(reader.cases.closed_series(n).sop_instance_uids for n in series)
        finally:
            reader.close()
        if not are_here:
            raise ActionRefused("its instances were deleted by a rule; have them sent again")
        if "arriving" in states:
            raise ActionRefused("more is arriving; it is decided when that has ended")
        if "processing" in states:
            raise ActionRefused("it is being processed; wait, or cancel its job first")
        self._ask(Request("decide_again", series=tuple(series)))

    def retrieve(self, wanted: Wanted) -> int:
        """Order a retrieve list; return its number."""
        order = _asked(lambda: self._order(wanted))
        self._ask(Request("retrieve", order=order))
        return self._number(order.key)

    def retrieve_again(self, number: int) -> None:
        """Try again what of a list is not whole."""
        self._require_list(number)
        self._ask(Request("retrieve_again", job=number))

    def retrieve_cancel(self, number: int) -> None:
        """Take out what of a list has not ended."""
        self._require_list(number)
        self._ask(Request("retrieve_cancel", job=number))

    def pause(self, processor: str) -> None:
        """Let no job begin that runs a processor; the empty name stands for every job."""
        self._ask(Request("pause", processor=processor))

    def resume(self, processor: str) -> None:
        """End a pause."""
        self._ask(Request("resume", processor=processor))

    def echo(self, pacs: str) -> Echo:
        """Ask a PACS whether it is there (C-ECHO)."""
        from query.client import echo as verify_pacs  # noqa: PLC0415 - large, and seldom needed

        started = time.monotonic()
        try:
            verify_pacs(self.config.pacs_named(pacs), calling_ae=self.config.dicom.ae_title)
        except QueryError as error:
            return Echo(now(), False, str(error))
        return Echo(now(), True, f"{(time.monotonic() - started) * 1000:.0f} ms")

    def check(self) -> Check:
        """Check that nothing is lost; it takes as long as the spool is large."""
        from ledger.verify import verify as verify_ledger  # noqa: PLC0415 - seldom needed

        storage = self.config.storage
        try:
            balance = verify_ledger(storage.ledger, storage.spool)
        except (LedgerError, OSError) as error:
            raise ActionRefused(str(error)) from error
        return Check(now(), not balance.losses, tuple(balance_lines(balance)))

    def upload_room(self) -> int:
        """How many bytes of uploads the disk has room for: each is there twice for a while."""
        storage = self.config.storage
        return (volume_of(storage.data).free_bytes - storage.free_bytes_min) // 2

    def take_in(self, given: Sequence[Given], report: Callable[[int], None]) -> TakenIn:
        """Take files in by the door of the receivers; a ZIP stands for the files in it."""
        from safelight.uploading import take_in  # noqa: PLC0415 - seldom needed

        try:
            return take_in(self.config, given, report)
        except OSError as error:
            raise ActionRefused(f"the disk failed: {error.strerror}") from error

    def plan(self, wanted: Wanted) -> tuple[PlannedSeries, ...]:
        """Ask the PACS what a retrieve would do, and do nothing else."""
        from safelight.retrieve_dry_run import plan_of  # noqa: PLC0415 - large, seldom needed

        wish = _asked(lambda: self._wish(wanted))
        if len(wish.accessions) > _PLANNED_MAX:
            raise ActionRefused(f"at most {_PLANNED_MAX} accession numbers are tried out at once")
        return _asked(lambda: plan_of(self.config, wish))

    def read_list(self, name: str, content: bytes) -> tuple[str, ...]:
        """Read the accession numbers of a text, CSV or Excel file."""
        from safelight.page_archive import numbers_of  # noqa: PLC0415 - as above

        return _asked(lambda: numbers_of(name, content))

    def search(self, sought: Sought) -> FoundStudies:
        """Look for studies in a PACS."""
        from safelight.page_archive import find  # noqa: PLC0415 - as above

        return _asked(lambda: find(self.config, sought))

    def _order(self, wanted: Wanted) -> RetrieveOrder:
        wish = self._wish(wanted)
        order = order_of(self.config, wish, wish.asked(self.config), uuid.uuid4().hex)
        return order.named(wanted.name[:100])

    def _wish(self, wanted: Wanted) -> Wish:
        from safelight.page_archive import filter_rules  # noqa: PLC0415 - as above

        typed = [text for text in _BETWEEN.split(wanted.accessions) if text]
        if len(typed) > ACCESSIONS_MAX:
            raise ActionRefused(f"{len(typed)} accession numbers; a list has {ACCESSIONS_MAX}")
        numbers = checked(enumerate(typed, start=1), "the list")
        method = _method(wanted.method)
        filters = filter_rules(wanted)
        return Wish(
            *(numbers, None, wanted.pacs or None, method, None, 0, None, filters),
            output_format=wanted.output_format,
            run=wanted.run,
        )

    def _number(self, key: str) -> int:
        reader = LedgerReader(self.config.storage.ledger)
        try:
            return reader.retrieves.list_of(key).id
        finally:
            reader.close()

    def _require_list(self, number: int) -> None:
        """Raise `NotInLedger`, which the page tells as a missing page, where there is none."""
        reader = LedgerReader(self.config.storage.ledger)
        try:
            reader.retrieves.one_list(number)
        finally:
            reader.close()

    def _ask(self, request: Request) -> None:
        _asked(lambda: job_commands.ask(self.config, request))


def _method(name: str) -> Method | None:
    found: Method | None = next((method for method in METHODS if method == name), None)
    if name and found is None:
        raise ActionRefused(f"expected one of {', '.join(METHODS)} for how it comes")
    return found


def _asked(what: Callable[[], _Done]) -> _Done:
    """Do it; what the command line would say of a mistake becomes what the page says."""
    try:
        return what()
    except NotInLedger:
        raise
    except (SafelightError, QueryError, RulesError, click.UsageError, ValueError) as error:
        raise ActionRefused(str(error)) from error
