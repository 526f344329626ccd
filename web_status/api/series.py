"""Series and jobs for programs."""

from typing import Any, Literal

from aiohttp import web

from ledger.errors import NotInLedger
from ledger.reader import LedgerReader
from ledger.rows import JobRow, SeriesRow
from web_status import deeds
from web_status.api.models import Answer, PageAnswer, PageAsked
from web_status.api.operation import NUMBER, Operation
from web_status.api.reading import ask, ask_or, number_of

State = Literal["arriving", "waiting", "processing", "done", "kept", "dropped", "attention"]
JobState = Literal["queued", "running", "done", "dead", "cancelled"]
_JOB_STATES: tuple[JobState, ...] = ("queued", "running", "done", "dead", "cancelled")


class Series(Answer):
    """A series with its study. Names in capitals are DICOM keywords."""

    id: int
    study_id: int
    PatientID: str
    PatientName: str
    AccessionNumber: str
    StudyDate: str
    StudyDescription: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    Modality: str
    SeriesNumber: int | None
    SeriesDescription: str
    calling_ae: str
    """Who sent it."""
    instances: int
    bytes: int
    revision: int
    state: State
    grade: str | None
    """How good the evidence is that it is whole; null while instances arrive."""
    evidence: str | None
    missing: int | None
    """How many instances are known to be missing."""
    first_seen_at: str
    last_arrival_at: str
    closed_at: str | None
    results: dict[str, str]
    """What each processor that ran says in a line."""
    preview_id: int | None
    """The output that is its picture."""


class SeriesPage(PageAnswer):
    """A part of the list of series."""

    items: tuple[Series, ...]


class Condition(Answer):
    """One condition of a rule, with the value that it saw."""

    text: str
    verdict: str


class RuleVerdict(Answer):
    """What one rule said."""

    rule: str
    verdict: str
    conditions: tuple[Condition, ...]


class Decision(Answer):
    """What the rules said of the latest revision of a series."""

    revision: int
    outcome: str
    summary: str
    reasons: tuple[RuleVerdict, ...]
    decided_at: str


class Event(Answer):
    """One thing that happened to a series."""

    at: str
    what: str


class History(Answer):
    """All that happened to a series, in order."""

    items: tuple[Event, ...]


class Step(Answer):
    """What one processor said; the details are its own."""

    processor: str
    state: str
    summary: str
    details: dict[str, Any]


class Output(Answer):
    """A published file."""

    id: int
    job_id: int
    processor: str
    path: str
    """Below the results folder; a neutral name where names of patients are hidden."""
    kind: str
    bytes: int
    sha256: str


class Job(Answer):
    """A job with its steps and outputs."""

    id: int
    key: str
    series_id: int
    revision: int
    rule: str
    state: JobState
    priority: int
    tries: int
    queued_at: str
    not_before: str
    started_at: str | None
    ended_at: str | None
    seconds: float | None
    folder: str | None
    """Below the results folder; null where names of patients are hidden."""
    error: str | None
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]


class Jobs(Answer):
    """Jobs of a series, the newest first."""

    items: tuple[Job, ...]


class JobsAsked(PageAsked):
    """Which jobs are asked for."""

    state: JobState | None = None
    """Only those in this state."""


class JobsPage(PageAnswer):
    """A part of the list of jobs."""

    items: tuple[Job, ...]


async def list_series(request: web.Request, asked: PageAsked) -> SeriesPage:
    """Series, those that moved last first."""

    def question(reader: LedgerReader) -> tuple[tuple[SeriesRow, ...], int]:
        rows = reader.series(limit=asked.size, offset=asked.offset)
        return rows, reader.overview().series

    rows, total = await ask_or(request, question, ((), 0))
    items = tuple(map(Series.model_validate, rows))
    return SeriesPage(page=asked.page, size=asked.size, total=total, items=items)


async def get_series(request: web.Request) -> Series:
    """One series."""
    number = number_of(request)
    return Series.model_validate(await ask(request, lambda reader: reader.one_series(number)))


async def get_decision(request: web.Request) -> Decision:
    """Why a series is processed or not: every rule, condition and value.

    Not found while the rules have not been asked.
    """
    number = number_of(request)
    found = await ask(request, lambda reader: (reader.one_series(number), reader.decision(number)))
    if found[1] is None:
        raise NotInLedger(f"series {number} is not decided yet")
    return Decision.model_validate(found[1])


async def get_history(request: web.Request) -> History:
    """All that happened to a series."""
    number = number_of(request)
    found = await ask(request, lambda reader: (reader.one_series(number), reader.history(number)))
    return History(items=tuple(map(Event.model_validate, found[1])))


async def list_series_jobs(request: web.Request) -> Jobs:
    """The jobs of a series, with their steps and outputs."""
    number = number_of(request)
    found = await ask(request, lambda reader: (reader.one_series(number), reader.jobs_of(number)))
    return Jobs(items=tuple(map(Job.model_validate, found[1])))


async def decide_series_again(request: web.Request) -> None:
    """Decide a series anew by the rules in force, and process it by that."""
    await deeds.decide_series_again(request, number_of(request))


async def list_jobs(request: web.Request, asked: JobsAsked) -> JobsPage:
    """Jobs, those that began last first."""
    states = _JOB_STATES if asked.state is None else (asked.state,)

    def question(reader: LedgerReader) -> tuple[tuple[tuple[JobRow, SeriesRow], ...], int]:
        rows = reader.jobs(states, limit=asked.size, offset=asked.offset)
        shown = tuple((row, reader.one_series(row.series_id)) for row in rows)
        return shown, reader.count_jobs(*states)

    shown, total = await ask_or(request, question, ((), 0))
    items = tuple(Job.model_validate(job) for job, _ in shown)
    return JobsPage(page=asked.page, size=asked.size, total=total, items=items)


async def get_job(request: web.Request) -> Job:
    """One job, with its steps and outputs."""
    number = number_of(request)

    def question(reader: LedgerReader) -> tuple[JobRow, SeriesRow]:
        job = reader.job(number)
        return job, reader.one_series(job.series_id)

    return Job.model_validate((await ask(request, question))[0])


async def resend_job(request: web.Request) -> None:
    """Queue a job again that was given up or cancelled."""
    await deeds.resend_job(request, number_of(request))


async def cancel_job(request: web.Request) -> None:
    """Take a job out of the queue, or stop it."""
    await deeds.cancel_job(request, number_of(request))


OPERATIONS = (
    Operation("GET", "/series", list_series, SeriesPage, PageAsked),
    Operation("GET", f"/series/{NUMBER}", get_series, Series),
    Operation("GET", f"/series/{NUMBER}/decision", get_decision, Decision),
    Operation("GET", f"/series/{NUMBER}/history", get_history, History),
    Operation("GET", f"/series/{NUMBER}/jobs", list_series_jobs, Jobs),
    Operation("POST", f"/series/{NUMBER}/again", decide_series_again),
    Operation("GET", "/jobs", list_jobs, JobsPage, JobsAsked),
    Operation("GET", f"/jobs/{NUMBER}", get_job, Job),
    Operation("POST", f"/jobs/{NUMBER}/resend", resend_job),
    Operation("POST", f"/jobs/{NUMBER}/cancel", cancel_job),
)
