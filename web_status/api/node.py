"""How the node is, and what administrators do with it, for programs."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from ledger.reader import LedgerReader
from web_status import deeds, network
from web_status.access import person_of, token_of
from web_status.alarms import alarms_of
from web_status.api.models import Answer, Asked
from web_status.api.network import Association, Silence
from web_status.api.operation import Operation
from web_status.api.reading import ask_or
from web_status.api.series import Job, Series
from web_status.context import CONTEXT, WebContext
from web_status.errors import NotLoggedIn
from web_status.node import Condition, Queue, RulesState, ShownJob, queue_of
from web_status.now import EMPTY, gather
from web_status.views import disk_of


class Session(Answer):
    """Who is asking.

    A browser's session sends ``csrf_token`` as header X-CSRF-Token to change something; a program
    with a token of its own needs none.
    """

    user: str
    """Empty where nobody needs to log in."""
    role: str
    sees_names: bool
    """Whether names of patients are shown."""
    token: str
    """The name of the token, where a program asks with one."""
    csrf_token: str
    version: str
    identity: str
    """AE title and address of the receiver."""


class Overview(Answer):
    """The node in numbers."""

    studies: int
    series: int
    instances: int
    bytes: int
    open_associations: int
    arriving: int
    queued: int
    running: int
    attention: int
    """Series and jobs that need a person."""
    quarantined: int
    refusals: int
    """Of the last 24 hours."""
    undelivered: int
    """Notifications that were given up."""


class DiskUse(Answer):
    """The disk of the data folder, in bytes."""

    total: int
    free: int


class Alarm(Answer):
    """What is wrong, and what to do about it."""

    tone: Literal["bad", "warn"]
    """``bad`` for what stands still or is lost on the way."""
    what: str
    remedy: str
    link: str
    """Where to look on the page of the node; empty where there is no such place."""


class State(Answer):
    """What a person should know at once."""

    version: str
    """Of Safelight; empty where a ledger alone is read, which does not say."""
    identity: str
    """AE title and address of the receiver; empty likewise."""
    overview: Overview
    last_instance_at: str | None
    """When the latest instance came."""
    alarms: tuple[Alarm, ...]
    """The worst first."""
    disk: DiskUse | None
    forecast: str
    """How long the disk will last, where that can be told."""
    held: tuple[str, ...]
    """What is held up, and why."""
    silent: tuple[Silence, ...]
    """Senders that are missed."""


class RunningJob(Answer):
    """A job at work: its step, and how much of that is done."""

    job: Job
    series: Series
    step: str
    fraction: float


class Fetching(Answer):
    """An accession number that is being retrieved."""

    list_id: int
    accession_number: str
    pacs: str
    stage: str
    fraction: float


class Moving(Answer):
    """What moves now and what needs a person; at most twenty of each."""

    associations: tuple[Association, ...]
    arriving: tuple[Series, ...]
    running: tuple[RunningJob, ...]
    fetching: tuple[Fetching, ...]
    again: tuple[Job, ...]
    """Jobs that failed and will be tried again."""
    attention: tuple[Series, ...]


class Pause(Answer):
    """What keeps jobs waiting."""

    processor: str
    """Empty for every job."""
    cause: str
    reason: str
    at: str
    until: str | None


class WaitingJobs(Answer):
    """What runs, waits and was given up, the first fifty of each, and what is paused."""

    all_queued: int
    all_dead: int
    running: tuple[Job, ...]
    queued: tuple[Job, ...]
    dead: tuple[Job, ...]
    pauses: tuple[Pause, ...]


class ProcessorAsked(Asked):
    """A processor; the empty name stands for every job."""

    processor: Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_]*$")] = ""


class Check(Answer):
    """The last check that nothing is lost."""

    is_checking: bool
    """Whether one is at work."""
    at: str | None
    is_well: bool | None
    lines: tuple[str, ...]


class Log(Answer):
    """The latest lines of the daemon's log, the newest last."""

    lines: tuple[str, ...]


class RuleLoad(Answer):
    """When rules were loaded, how many, or why they were not taken."""

    at: str
    rules: int
    problem: str | None


class Worker(Answer):
    """A worker of the Dask cluster."""

    name: str
    address: str
    capacity: int
    """How many jobs it takes at once."""
    busy: int
    """How many it has."""
    problem: str
    """Why it gets none; empty where it does."""


class About(Answer):
    """Versions, the configuration in force without its secrets, and the rules in force."""

    versions: dict[str, str]
    configuration: str
    """As TOML."""
    workers: int
    """How many jobs can run at once."""
    rules: RuleLoad | None
    failed_rules: RuleLoad | None
    """A later attempt to load others that failed."""
    cluster: tuple[Worker, ...]
    """The workers of the Dask cluster, where jobs run on one."""


async def get_session(request: web.Request) -> Session:
    """Who is asking, and what they may do."""
    person, context = person_of(request), request.app[CONTEXT]
    if person is None:
        raise NotLoggedIn
    return Session(
        user=person.name,
        role=str(person.role),
        sees_names=person.sees_names,
        token=person.token,
        csrf_token="" if person.token else token_of(request),
        version=context.version,
        identity=context.identity,
    )


async def get_state(request: web.Request) -> State:
    """The node in numbers, its disk, its alarms, what is held up and who is missed."""
    context = request.app[CONTEXT]
    return await ask_or(request, lambda reader: state_of(reader, context), state_of(None, context))


def state_of(reader: LedgerReader | None, context: WebContext) -> State:
    """How a node is; less before there is a ledger."""
    condition = Condition() if reader is None else context.condition(reader)
    silent = () if reader is None else network.silences(reader, context.network)
    overview = EMPTY.overview if reader is None else reader.overview()
    latest = () if reader is None else reader.series(limit=1)
    disk = disk_of(context.data)
    is_full = disk is not None and disk.is_full
    return State.model_validate(
        {
            "version": context.version,
            "identity": context.identity,
            "overview": overview,
            "last_instance_at": latest[0].last_arrival_at if latest else None,
            "alarms": alarms_of(overview, condition, silent, is_full=is_full),
            "disk": disk,
            "forecast": condition.forecast,
            "held": condition.held,
            "silent": silent,
        }
    )


async def get_now(request: web.Request) -> Moving:
    """What moves now, and what needs a person."""
    progress = dict(request.app[CONTEXT].progress())
    now = await ask_or(
        request, lambda reader: gather(reader, 1, progress, reader.overview()), EMPTY
    )
    shown = {name: getattr(now, name) for name in Moving.model_fields}
    return Moving.model_validate({**shown, "again": [job for job, _ in now.again]})


async def get_queue(request: web.Request) -> WaitingJobs:
    """What runs, what waits, what was given up and what is paused."""
    queue = await ask_or(request, queue_of, Queue())
    jobs = {name: _jobs(getattr(queue, name)) for name in ("running", "queued", "dead")}
    return WaitingJobs.model_validate({**vars(queue), **jobs})


def _jobs(shown: tuple[ShownJob, ...]) -> list[object]:
    return [each.job for each in shown]


async def pause(request: web.Request, asked: ProcessorAsked) -> None:
    """Let no job begin, or none that runs a processor."""
    await deeds.pause(request, asked.processor)


async def resume(request: web.Request, asked: ProcessorAsked) -> None:
    """End a pause."""
    await deeds.resume(request, asked.processor)


async def get_check(request: web.Request) -> Check:
    """What came of the last check that nothing is lost."""
    kept = request.app[CONTEXT].kept
    if kept.check is None:
        return Check(is_checking=kept.is_checking, at=None, is_well=None, lines=())
    return Check.model_validate({"is_checking": kept.is_checking, **vars(kept.check)})


async def begin_check(request: web.Request) -> Check:
    """Begin to check that nothing is lost; ask for the check until it has ended."""
    await deeds.begin_check(request)
    return await get_check(request)


async def get_log(request: web.Request) -> Log:
    """The latest lines of the log."""
    return Log(lines=tuple(request.app[CONTEXT].log()))


async def get_about(request: web.Request) -> About:
    """Versions, configuration and rules in force."""
    context = request.app[CONTEXT]
    about = context.about
    rules = await ask_or(request, lambda reader: RulesState(*reader.rules_in_force()), RulesState())
    return About.model_validate(
        {
            "versions": dict(about.versions),
            "configuration": about.configuration,
            "workers": about.workers,
            "rules": rules.in_force,
            "failed_rules": rules.failed,
            "cluster": context.cluster(),
        },
    )


OPERATIONS = (
    Operation("GET", "/session", get_session, Session),
    Operation("GET", "/state", get_state, State),
    Operation("GET", "/now", get_now, Moving),
    Operation("GET", "/system/queue", get_queue, WaitingJobs),
    Operation("POST", "/system/pause", pause, None, ProcessorAsked),
    Operation("POST", "/system/resume", resume, None, ProcessorAsked),
    Operation("GET", "/system/check", get_check, Check),
    Operation("POST", "/system/check", begin_check, Check, status=202),
    Operation("GET", "/system/log", get_log, Log),
    Operation("GET", "/system/about", get_about, About),
)
