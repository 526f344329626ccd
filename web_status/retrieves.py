"""What the pages tell of retrieve lists: all of them, one, and what runs now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.reader import LedgerReader
from ledger.retrieve_reader import RetrieveItemRow, RetrieveListRow, RetrievePauseRow
from ledger.retrieve_records import OPEN_STATES, RetrievedSeries, RetrieveState
from listener.journal import now
from web_status.context import Progress

LISTS_SHOWN = 50
_NOT_WHOLE: tuple[RetrieveState, ...] = (
    *("waiting", "unproven", "incomplete", "absent", "failed", "cancelled"),
)
ITEMS_SHOWN = 200
_RUNNING_SHOWN = 20
_MISSING_SHOWN = 50


@dataclass(frozen=True)
class Fetching:
    """An accession number that is being retrieved, with how far it is in words and as 0 to 1."""

    list_id: int
    accession_number: str
    pacs: str
    stage: str
    fraction: float


@dataclass(frozen=True)
class ShownList:
    """A list with why its PACS is let alone, where it is."""

    row: RetrieveListRow
    pause: RetrievePauseRow | None

    @property
    def is_short(self) -> bool:
        """Whether trying again may bring more."""
        return any(self.row.counts.get(state, 0) for state in _NOT_WHOLE)

    @property
    def total(self) -> int:
        """How many accession numbers it has."""
        return sum(self.row.counts.values())

    @property
    def fraction(self) -> float:
        """How much of it has ended, 0 to 1."""
        return self.row.ended / self.total if self.total else 1.0


@dataclass(frozen=True)
class ShownItem:
    """An accession number of a list.

    Attributes
    ----------
    study_id : int or None
        A study in the ledger that it has.
    short : tuple of RetrievedSeries
        Its series of which something is missing.
    stage, fraction
        How far it is while it is being retrieved.
    """

    row: RetrieveItemRow
    study_id: int | None
    short: tuple[RetrievedSeries, ...]
    stage: str
    fraction: float


@dataclass(frozen=True)
class ListPage:
    """The page of one list; `more` accession numbers are not shown."""

    head: ShownList
    items: tuple[ShownItem, ...]
    more: int


def running_retrieves(reader: LedgerReader, progress: Progress) -> tuple[Fetching, ...]:
    """What is being retrieved, of all open lists."""
    found: list[Fetching] = []
    for one in reader.retrieves.lists(limit=LISTS_SHOWN):
        if one.counts.get("running", 0):
            found += [
                Fetching(one.id, item.accession_number, one.pacs, *_how_far(item.id, progress))
                for item in reader.retrieves.open_items(one.id, limit=_RUNNING_SHOWN)
                if item.state == "running"
            ]
    return tuple(found[:_RUNNING_SHOWN])


def all_lists(
    reader: LedgerReader, *, limit: int = LISTS_SHOWN, offset: int = 0
) -> tuple[ShownList, ...]:
    """The latest lists."""
    rows = reader.retrieves.lists(limit=limit, offset=offset)
    return tuple(_shown(reader, row) for row in rows)


def list_page(reader: LedgerReader, list_id: int, progress: Progress) -> ListPage:
    """One list with the accession numbers that tell most.

    Raises
    ------
    NotInLedger
        There is no list of this number.
    """
    head = one_list(reader, list_id)
    rows = reader.retrieves.telling_items(list_id, limit=ITEMS_SHOWN)
    items = _items(reader, rows, progress)
    return ListPage(head, items, head.total - len(items))


def one_list(reader: LedgerReader, list_id: int) -> ShownList:
    """One list without its accession numbers; raises as `list_page`."""
    return _shown(reader, reader.retrieves.one_list(list_id))


def items_in_order(
    reader: LedgerReader, list_id: int, progress: Progress, *, limit: int, offset: int
) -> tuple[ShownItem, ...]:
    """A part of the accession numbers of a list, in its order."""
    rows = reader.retrieves.items(list_id, limit=limit, offset=offset)
    return _items(reader, rows, progress)


def _items(
    reader: LedgerReader, rows: Sequence[RetrieveItemRow], progress: Progress
) -> tuple[ShownItem, ...]:
    studies = reader.retrieves.studies([row.id for row in rows])
    return tuple(_item(reader, row, studies, progress) for row in rows)


def _item(
    reader: LedgerReader, row: RetrieveItemRow, studies: Mapping[int, int], progress: Progress
) -> ShownItem:
    short: tuple[RetrievedSeries, ...] = ()
    if row.missing and row.state not in OPEN_STATES:
        short = tuple(one for one in reader.retrieves.series(row.id) if one.is_short)
    return ShownItem(row, studies.get(row.id), short[:_MISSING_SHOWN], *_how_far(row.id, progress))


def _shown(reader: LedgerReader, row: RetrieveListRow) -> ShownList:
    pause = reader.retrieves.pause(row.pacs) if row.is_open else None
    return ShownList(row, pause if pause is not None and pause.until > now() else None)


def _how_far(item_id: int, progress: Progress) -> tuple[str, float]:
    return progress.get(f"retrieve-{item_id}", ("beginning", 0.0))
