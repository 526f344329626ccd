"""Searching a PACS and retrieving from it, for programs. What is looked for is in no address."""

from dataclasses import asdict
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BeforeValidator, Field

from ledger.reader import LedgerReader
from ledger.retrieve_records import RetrieveState
from web_status import deeds
from web_status.api.models import Answer, Asked, PageAnswer, PageAsked
from web_status.api.operation import FORM, NUMBER, Operation
from web_status.api.reading import ask, ask_or, number_of
from web_status.archive import ACCESSIONS_MAX, Sought, Wanted
from web_status.context import CONTEXT
from web_status.ordering import given_list
from web_status.retrieves import ShownItem, ShownList, all_lists, items_in_order, one_list

_Text = Annotated[str, Field(max_length=200)]
_Accession = Annotated[str, Field(pattern=r"^[^\s,;]+$", max_length=64)]


def _whole(value: object) -> object:
    """A number of JSON as it is meant: 3.0 is an integer there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class SearchAsked(Asked):
    """Studies that are looked for; what is empty does not matter."""

    pacs: _Text = ""
    """The name of the PACS in the configuration; the first where empty."""
    accession: _Text = ""
    patient_id: _Text = ""
    patient_name: _Text = ""
    """``*`` stands for any characters, ``?`` for one."""
    first_day: _Text = ""
    """As ``2026-01-31``."""
    last_day: _Text = ""
    modality: _Text = ""
    description: _Text = ""


class FoundStudy(Answer):
    """A study that a PACS has. Names in capitals are DICOM keywords."""

    AccessionNumber: str
    PatientID: str
    PatientName: str
    StudyDate: str
    ModalitiesInStudy: str
    StudyDescription: str
    NumberOfStudyRelatedSeries: int | None
    NumberOfStudyRelatedInstances: int | None


class Found(Answer):
    """The answer of a PACS."""

    studies: tuple[FoundStudy, ...]
    more: bool
    """Whether it has more than it was asked for."""


class RetrieveAsked(Asked):
    """Studies that are to be retrieved."""

    accessions: Annotated[tuple[_Accession, ...], Field(min_length=1, max_length=ACCESSIONS_MAX)]
    """Accession numbers, as the PACS has them: leading zeros count."""
    name: Annotated[str, Field(max_length=100)] = ""
    """What the list is called."""
    pacs: _Text = ""
    """The name of the PACS in the configuration; the first where empty."""
    method: Literal["", "move", "get", "dicomweb"] = ""
    """How it comes; as the configuration says where empty."""
    modalities: Annotated[tuple[_Text, ...], Field(max_length=50)] = ()
    """Series of others are left out; none are where this is empty."""
    least: Annotated[int, BeforeValidator(_whole), Field(ge=1, lt=10**6)] | None = None
    """Series with fewer instances are left out."""
    no_derived: bool = False
    """Whether derived series and scouts are left out."""
    format: Literal["", "nifti", "npz"] = ""
    """What conversion writes; what the rules say where this and ``run`` are empty."""
    run: Annotated[
        tuple[Literal["convert", "qc", "preview", "metadata"], ...], Field(max_length=4)
    ] = ()
    """What is made of the series; all four where there is a format alone."""

    def wanted(self) -> Wanted:
        """As it is asked of the daemon."""
        return Wanted(
            "\n".join(self.accessions),
            self.name,
            self.pacs,
            self.method,
            " ".join(self.modalities),
            "" if self.least is None else str(self.least),
            self.no_derived,
            self.format,
            self.run,
        )


class Ordered(Answer):
    """A retrieve list that was ordered."""

    number: int


class PlannedSeries(Answer):
    """What a retrieve would do with one series; where the PACS has no study, only ``then``."""

    AccessionNumber: str
    SeriesNumber: str
    Modality: str
    SeriesDescription: str
    instances: str
    """How many the PACS says it has, ``?`` where it does not say."""
    here: str
    """How many are here."""
    then: str
    """``fetched``, ``here already``, or why not."""


class Plan(Answer):
    """What a retrieve would do."""

    items: tuple[PlannedSeries, ...]


class Accessions(Answer):
    """The accession numbers in a file."""

    accessions: tuple[str, ...]


class PacsPause(Answer):
    """Why a PACS is let alone for a while."""

    reason: str
    at: str
    until: str


class RetrieveList(Answer):
    """A retrieve list."""

    id: int
    name: str
    pacs: str
    priority: int
    asked_at: str
    counts: dict[RetrieveState, int]
    """How many of its accession numbers are in each state."""
    is_open: bool
    """Whether anything of it is still to come."""
    pause: PacsPause | None


class RetrieveListPage(PageAnswer):
    """A part of the retrieve lists, the newest first."""

    items: tuple[RetrieveList, ...]


class ShortSeries(Answer):
    """A series of which something is missing."""

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SeriesNumber: int | None
    Modality: str
    SeriesDescription: str
    expected: int | None
    received: int
    missing: tuple[str, ...]
    """The SOP Instance UIDs that the PACS lists and that are not here."""


class RetrieveItem(Answer):
    """What came of an accession number: `found`, `received` and `missing` count instances."""

    id: int
    accession_number: str
    state: RetrieveState
    reason: str
    tries: int
    started_at: str | None
    ended_at: str | None
    studies: int
    series: int
    left_out: int
    """Series that a rule left out."""
    found: int
    received: int
    missing: int
    outputs: int
    low_quality: int
    study_id: int | None
    """A study here that it has."""
    short: tuple[ShortSeries, ...]
    stage: str
    """How far it is, while it is retrieved."""
    fraction: float


class RetrieveReport(PageAnswer):
    """What came of a list: a part of its accession numbers, in its order."""

    items: tuple[RetrieveItem, ...]


async def search_studies(request: web.Request, sought: SearchAsked) -> Found:
    """Look for studies in a PACS."""
    found = await deeds.search_pacs(request, Sought(**sought.model_dump()))
    return Found.model_validate(found)


async def order_retrieve(request: web.Request, asked: RetrieveAsked) -> Ordered:
    """Order studies from a PACS; they are fetched one after the other."""
    return Ordered(number=await deeds.order_retrieve(request, asked.wanted()))


async def plan_retrieve(request: web.Request, asked: RetrieveAsked) -> Plan:
    """Ask the PACS what a retrieve would do, and fetch nothing."""
    plan = await deeds.plan_retrieve(request, asked.wanted())
    return Plan(items=tuple(map(PlannedSeries.model_validate, plan)))


async def read_accessions(request: web.Request) -> Accessions:
    """Read the accession numbers in a text, CSV or Excel file; nothing is ordered."""
    _, numbers = await given_list(request)
    return Accessions(accessions=numbers)


async def list_retrieves(request: web.Request, asked: PageAsked) -> RetrieveListPage:
    """Retrieve lists, the newest first."""

    def question(reader: LedgerReader) -> tuple[tuple[ShownList, ...], int]:
        shown = all_lists(reader, limit=asked.size, offset=asked.offset)
        return shown, reader.retrieves.count_lists()

    shown, total = await ask_or(request, question, ((), 0))
    items = tuple(map(_list, shown))
    return RetrieveListPage(page=asked.page, size=asked.size, total=total, items=items)


async def get_retrieve(request: web.Request) -> RetrieveList:
    """One retrieve list."""
    number = number_of(request)
    return _list(await ask(request, lambda reader: one_list(reader, number)))


async def get_retrieve_report(request: web.Request, asked: PageAsked) -> RetrieveReport:
    """What came of each accession number of a list, and which instances are missing."""
    number, progress = number_of(request), dict(request.app[CONTEXT].progress())

    def question(reader: LedgerReader) -> tuple[int, tuple[ShownItem, ...]]:
        total = one_list(reader, number).total
        place = {"limit": asked.size, "offset": asked.offset}
        return total, items_in_order(reader, number, progress, **place)

    total, found = await ask(request, question)
    items = tuple(map(_item, found))
    return RetrieveReport(page=asked.page, size=asked.size, total=total, items=items)


async def retrieve_again(request: web.Request) -> None:
    """Try again what of a list is not whole."""
    await deeds.retrieve_again(request, number_of(request))


async def cancel_retrieve(request: web.Request) -> None:
    """Take out what of a list has not ended."""
    await deeds.cancel_retrieve(request, number_of(request))


def _list(shown: ShownList) -> RetrieveList:
    row = shown.row
    return RetrieveList.model_validate(
        {**asdict(row), "is_open": row.is_open, "pause": shown.pause}
    )


def _item(shown: ShownItem) -> RetrieveItem:
    return RetrieveItem.model_validate({**asdict(shown.row), **_beside(shown)})


def _beside(shown: ShownItem) -> dict[str, object]:
    return {name: getattr(shown, name) for name in ("study_id", "short", "stage", "fraction")}


OPERATIONS = (
    Operation("POST", "/search", search_studies, Found, SearchAsked),
    Operation("GET", "/retrieves", list_retrieves, RetrieveListPage, PageAsked),
    Operation("POST", "/retrieves", order_retrieve, Ordered, RetrieveAsked, status=201),
    Operation("POST", "/retrieves/plan", plan_retrieve, Plan, RetrieveAsked),
    Operation("POST", "/retrieves/file", read_accessions, Accessions, FORM),
    Operation("GET", f"/retrieves/{NUMBER}", get_retrieve, RetrieveList),
    Operation("GET", f"/retrieves/{NUMBER}/report", get_retrieve_report, RetrieveReport, PageAsked),
    Operation("POST", f"/retrieves/{NUMBER}/again", retrieve_again),
    Operation("POST", f"/retrieves/{NUMBER}/cancel", cancel_retrieve),
)
