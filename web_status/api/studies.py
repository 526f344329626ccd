"""Studies for programs. Whom a search is about is in no address."""

import re
from dataclasses import replace
from datetime import date
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BeforeValidator, Field

from ledger.reader import LedgerReader
from ledger.rows import StudyRow
from ledger.study_reader import StudyFilter
from web_status import deeds
from web_status.api.models import SIZE_MAX, Answer, Asked
from web_status.api.operation import NUMBER, Files, Operation
from web_status.api.reading import ask, number_of
from web_status.api.retrieves import Ordered
from web_status.api.series import Series, State
from web_status.completeness import Shortfall, shortfall
from web_status.context import CONTEXT
from web_status.downloads import package_file, report_file, workbook_file
from web_status.studies import find_studies, study_of

Grade = Literal["listed", "counted", "moved", "released", "quiet", "forced"]
_Number = Annotated[int, Field(ge=0, lt=10**18)]
_Part = Annotated[str, Field(max_length=200)]
_Uid = Annotated[str, Field(max_length=64, pattern=r"^[0-9.]+$")]
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _written(day: object) -> date | None:
    """A day as it is described: by itself pydantic takes a number for the seconds since 1970."""
    if day is None:
        return None
    if not (isinstance(day, str) and _DAY.fullmatch(day)):
        raise ValueError("expected a day, as 2026-01-31")
    return date.fromisoformat(day)


def _said(answer: object) -> object:
    """A truth value as an address has it: by itself pydantic takes 0, 1, yes and no, too."""
    if isinstance(answer, str) and answer not in ("true", "false"):
        raise ValueError("expected true or false")
    return answer == "true" if isinstance(answer, str) else answer


_Flag = Annotated[bool, BeforeValidator(_said)]
_Day = Annotated[date | None, BeforeValidator(_written)]


class StudiesAsked(Asked):
    """Which studies are asked for; what is left out does not matter."""

    first_day: _Day = None
    """StudyDate, as ``2026-01-31``."""
    last_day: _Day = None
    modality: Annotated[str, Field(max_length=16)] = ""
    """Of a series, and so are state, grade and quality: all of the same one."""
    state: State | None = None
    grade: Grade | None = None
    low_quality: _Flag = False
    before: _Number | None = None
    """The number of a study: those that came before it."""
    after: _Number | None = None
    """The number of a study: those that came after it; ``before`` does not matter then."""
    size: Annotated[int, Field(ge=1, le=SIZE_MAX)] = 50
    """How many studies a page has."""

    def wanted(self, patient: str = "", accession: str = "") -> StudyFilter:
        """As the ledger is asked."""
        return StudyFilter(
            patient=patient.strip(),
            accession=accession.strip(),
            first_day=_day(self.first_day),
            last_day=_day(self.last_day),
            modality=self.modality.strip().upper(),
            state=self.state,
            grade=self.grade or "",
            low_quality=self.low_quality,
        )


class SearchedStudies(StudiesAsked):
    """Studies that are looked for."""

    patient: _Part = ""
    """Words of the name, in any order, or a part of the patient ID."""
    accession: _Part = ""
    """A part of the accession number."""
    study_uids: Annotated[tuple[_Uid, ...], Field(max_length=SIZE_MAX)] = ()
    """Study Instance UIDs; any of these."""

    def filter(self) -> StudyFilter:
        """As the ledger is asked."""
        return replace(self.wanted(self.patient, self.accession), study_uids=self.study_uids)


class Study(Answer):
    """A study with its series. Names in capitals are DICOM keywords."""

    id: int
    StudyInstanceUID: str
    PatientID: str
    PatientName: str
    AccessionNumber: str
    StudyDate: str
    StudyDescription: str
    is_arriving: bool
    complete_grade: Grade | None
    """How sure it is that all its series are here; null while instances arrive."""
    complete_evidence: str | None
    series: tuple[Series, ...]


class StudyPage(Answer):
    """Some studies, those that came last first."""

    items: tuple[Study, ...]
    has_newer: bool
    """Whether there may be some ``after`` the first of these."""
    has_older: bool
    """Whether there are some ``before`` the last of these."""


class MissingOfSeries(Answer):
    """A series of which something is missing."""

    SeriesInstanceUID: str
    series_id: int | None
    """Null where nothing came."""
    expected: int
    """How many instances the PACS said that it has."""
    missing: int
    uids: tuple[str, ...]
    """The SOP Instance UIDs that did not come, at most a hundred; none where it only counted."""


class Missing(Answer):
    """What is missing of a study, by what a PACS said of it at its latest retrieval."""

    pacs: str
    """Its AE title; empty where none was asked."""
    instances: int
    series: tuple[MissingOfSeries, ...]


class InstancesOfSeries(Answer):
    """The instances of a series that ever came; a rule may have deleted some since."""

    SeriesInstanceUID: str
    uids: tuple[str, ...]


class InstancesOfStudy(Answer):
    """The SOP Instance UIDs of a study."""

    series: tuple[InstancesOfSeries, ...]


class StudyInFull(Study):
    """A study with its series, and what is missing of it."""

    has_workbook: bool
    """Whether its workbook and its report are there."""
    missing: Missing


async def list_studies(request: web.Request, asked: StudiesAsked) -> StudyPage:
    """Studies, those that came last first.

    A page is begun at a study: ask for those ``before`` the last.
    """
    return await _found(request, asked, asked.wanted())


async def find_studies_here(request: web.Request, asked: SearchedStudies) -> StudyPage:
    """Look for studies that are here, by patient or accession number, too.

    Who may not see names of patients cannot look for a patient.
    """
    return await _found(request, asked, asked.filter())


async def _found(request: web.Request, asked: StudiesAsked, wanted: StudyFilter) -> StudyPage:
    found = await find_studies(
        request, wanted, before=asked.before, after=asked.after, limit=asked.size
    )
    items = tuple(map(Study.model_validate, found.rows))
    return StudyPage(items=items, has_newer=found.has_newer, has_older=found.has_older)


async def get_study(request: web.Request) -> StudyInFull:
    """One study with its series, and what is missing of it."""
    number, told = number_of(request), request.app[CONTEXT].told

    def question(reader: LedgerReader) -> tuple[StudyRow, Shortfall]:
        study = reader.studies.one(number)
        return study, shortfall(reader, study, told(study.StudyInstanceUID))

    study, short = await ask(request, question)
    return StudyInFull.model_validate(
        {
            **vars(study),
            "has_workbook": any(row.workbook is not None for row in study.series),
            "missing": _missing(short),
        }
    )


async def list_instances(request: web.Request) -> InstancesOfStudy:
    """Which instances of a study came, by SOP Instance UID."""
    number = number_of(request)
    held = await ask(request, lambda reader: held_of(reader, number))
    series = ({"SeriesInstanceUID": uid, "uids": sorted(uids)} for uid, uids in held.items())
    return InstancesOfStudy.model_validate({"series": tuple(series)})


def held_of(reader: LedgerReader, study_id: int) -> dict[str, frozenset[str]]:
    """The SOP Instance UIDs of a study by Series Instance UID.

    Raises
    ------
    NotInLedger
        There is no study of this number.
    """
    return {
        row.SeriesInstanceUID: reader.sop_instance_uids(row.id)
        for row in reader.study_series(study_id)
    }


def _missing(short: Shortfall) -> Missing:
    series = tuple(
        MissingOfSeries.model_validate(
            {**vars(one), "series_id": None if one.series is None else one.series.id}
        )
        for one in short.series
    )
    return Missing(pacs=short.pacs, instances=short.missing, series=series)


async def get_study_report(request: web.Request) -> web.StreamResponse:
    """The report of a study, one page that is complete in itself."""
    return await report_file(request)


async def get_study_workbook(request: web.Request) -> web.StreamResponse:
    """The metadata workbook of a study."""
    return await workbook_file(request)


async def get_study_package(request: web.Request) -> web.StreamResponse:
    """All results of a study as one ZIP, made while it is sent."""
    return await package_file(request)


async def decide_study_again(request: web.Request) -> None:
    """Decide all series of a study anew by the rules in force, and process them by that."""
    await deeds.decide_study_again(request, await study_of(request))


async def fetch_missing(request: web.Request) -> Ordered:
    """Order what is missing of a study; what is here is not asked for."""
    return Ordered(number=await deeds.fetch_missing(request, await study_of(request)))


def _day(day: date | None) -> str:
    return "" if day is None else f"{day:%Y%m%d}"


_WORKBOOK = Files(("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",))

OPERATIONS = (
    Operation("GET", "/studies", list_studies, StudyPage, StudiesAsked),
    Operation("POST", "/studies/search", find_studies_here, StudyPage, SearchedStudies),
    Operation("GET", f"/studies/{NUMBER}", get_study, StudyInFull),
    Operation("GET", f"/studies/{NUMBER}/instances", list_instances, InstancesOfStudy),
    Operation("GET", f"/studies/{NUMBER}/report", get_study_report, Files(("text/html",))),
    Operation("GET", f"/studies/{NUMBER}/workbook", get_study_workbook, _WORKBOOK),
    Operation(
        "GET",
        f"/studies/{NUMBER}/package",
        get_study_package,
        Files(("application/zip",)),
        refuses=(409,),
    ),
    Operation("POST", f"/studies/{NUMBER}/again", decide_study_again),
    Operation("POST", f"/studies/{NUMBER}/fetch", fetch_missing, Ordered, status=201),
)
