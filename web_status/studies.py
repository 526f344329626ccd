"""The list of studies: looked through page by page, and searched.

What is looked for of a patient, and accession numbers, come in the body of a request, and are in no
address and no log; what tells of nobody is in the address, so that it can be linked to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from http import HTTPStatus
from typing import get_args
from urllib.parse import urlencode

from aiohttp import web

from ledger.errors import NoLedger, NotInLedger
from ledger.rows import SeriesState, StudyRow
from ledger.study_reader import StudyFilter, StudyPage
from processor.words import GRADE_WORDS
from web_status.access import form_of, is_veiled, record, render
from web_status.errors import NamesHidden
from web_status.languages import msgid
from web_status.ledger_thread import LEDGER
from web_status.veil import without_names

PAGE_SIZE = 50
MODALITIES = ("CT", "MR", "DX", "CR", "MG", "US", "PT", "NM", "XA", "RF", "SC", "OT")
"""What is offered; any other can be typed."""
_STATES: tuple[SeriesState, ...] = get_args(SeriesState)
_NUMBER_DIGITS = 18
_CODE_LENGTH = 16


@dataclass(frozen=True)
class Asked:
    """What the list is asked for, as the form has it.

    Attributes
    ----------
    patient, accession
        These stay out of addresses.
    first, last
        Study dates, as ``2026-01-31``.
    low
        ``1`` for low quality alone.
    before, after
        The study at which the page begins.
    """

    patient: str = ""
    accession: str = ""
    first: str = ""
    last: str = ""
    modality: str = ""
    state: str = ""
    grade: str = ""
    low: str = ""
    before: str = ""
    after: str = ""

    @classmethod
    def of(cls, given: Mapping[str, object]) -> "Asked":
        """What a form or an address says.

        Raises
        ------
        HTTPBadRequest
            A date is none, or something else is not among what is offered.
        """
        asked = cls(**{name: _text(given, name) for name in cls.__dataclass_fields__})
        asked = replace(asked, modality=asked.modality.upper())
        is_known = (
            asked.state in ("", *_STATES)
            and asked.grade in ("", *GRADE_WORDS)
            and asked.low in ("", "1")
            and all(map(_is_day_or_empty, (asked.first, asked.last)))
            and all(map(_is_number_or_empty, (asked.before, asked.after)))
            and len(asked.modality) <= _CODE_LENGTH
        )
        if not is_known:
            raise web.HTTPBadRequest
        return asked

    @property
    def is_personal(self) -> bool:
        """Whether it says whom it is about."""
        return bool(self.patient or self.accession)

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves studies out."""
        return replace(self, before="", after="") != Asked()

    def address(self, path: str = "/studies", **changes: str) -> str:
        """The address of the same list with changes, without what is personal."""
        names = ("first", "last", "modality", "state", "grade", "low", "before", "after")
        values = {name: changes.get(name, getattr(self, name)) for name in names}
        query = urlencode({name: value for name, value in values.items() if value})
        return f"{path}?{query}" if query else path

    def fields(self) -> dict[str, str]:
        """What a form carries on to ask for the same studies."""
        names = [name for name in self.__dataclass_fields__ if name not in ("before", "after")]
        return {name: value for name in names if (value := getattr(self, name))}

    def filter(self) -> StudyFilter:
        """What the ledger is asked for."""
        return StudyFilter(
            patient=self.patient,
            accession=self.accession,
            first_day=self.first.replace("-", ""),
            last_day=self.last.replace("-", ""),
            modality=self.modality,
            state=next((state for state in _STATES if state == self.state), None),
            grade=self.grade,
            low_quality=bool(self.low),
        )


def add_studies(app: web.Application) -> None:
    """Add the routes."""
    app.router.add_get("/studies", _list)
    app.router.add_post("/studies", _search)


async def study_of(request: web.Request) -> StudyRow:
    """The study whose number is in the address.

    Raises
    ------
    NotInLedger
        There is none.
    """
    number = int(request.match_info["number"])
    try:
        return await request.app[LEDGER].ask(lambda reader: reader.studies.one(number))
    except NoLedger:
        raise NotInLedger(f"no study {number}") from None


async def find_studies(
    request: web.Request,
    wanted: StudyFilter,
    *,
    before: int | None,
    after: int | None,
    limit: int = PAGE_SIZE,
) -> StudyPage:
    """A page of studies, without names where they are hidden from who asks.

    Raises
    ------
    NamesHidden
        As `note_search` says.
    """
    await note_search(request, wanted)
    try:
        found = await request.app[LEDGER].ask(
            lambda reader: reader.studies.page(wanted, before=before, after=after, limit=limit)
        )
    except NoLedger:
        return StudyPage()
    if is_veiled(request):
        return replace(found, rows=tuple(map(without_names, found.rows)))
    return found


async def note_search(request: web.Request, wanted: StudyFilter) -> None:
    """Have the audit trail say that somebody was looked for.

    Raises
    ------
    NamesHidden
        A patient is looked for by somebody who may not see who they are.
    """
    if wanted.patient and is_veiled(request):
        raise NamesHidden
    if wanted.patient or wanted.accession:
        await record(request, "studies searched")


async def _list(request: web.Request) -> web.Response:
    """Page through the studies; an address that says whom it is about is refused."""
    if {"patient", "accession"} & set(request.query):
        raise web.HTTPBadRequest
    return await _page(request, Asked.of(request.query))


async def _search(request: web.Request) -> web.Response:
    """Search; what tells of nobody is answered by the address of it."""
    asked = Asked.of(await form_of(request))
    if not asked.is_personal:
        where = asked.address()
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": where})
    return await _page(request, asked)


async def _page(request: web.Request, asked: Asked) -> web.Response:
    before, after = _number(asked.before), _number(asked.after)
    found = await find_studies(request, asked.filter(), before=before, after=after)
    values = {"title": msgid("Studies"), "found": found, **form_values(request, asked)}
    return render("studies.html", request, values)


def form_values(request: web.Request, asked: Asked) -> dict[str, object]:
    """What the form of a search is made from."""
    return {
        "asked": asked,
        "states": _STATES,
        "grades": tuple(GRADE_WORDS),
        "modalities": MODALITIES,
        "hides_names": is_veiled(request),
    }


def _text(given: Mapping[str, object], name: str) -> str:
    return str(given.get(name, "")).strip()


def _is_day_or_empty(text: str) -> bool:
    try:
        return not text or date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_number_or_empty(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and len(text) <= _NUMBER_DIGITS)


def _number(text: str) -> int | None:
    return int(text) if text else None
