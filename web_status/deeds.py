"""What a person has the daemon do, each deed once: pages and the interface for programs call it.

A deed returns when the daemon has done it, and is in the audit trail then. What cannot be done
raises `ActionRefused`.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from ledger.rows import StudyRow
from listener.journal import now
from web_status.access import record
from web_status.archive import FoundStudies, PlannedSeries, Sought, Wanted
from web_status.context import CONTEXT, WebContext
from web_status.errors import ActionRefused
from web_status.ledger_thread import LEDGER
from web_status.network import Echo
from web_status.node import Check
from web_status.threads import in_own_thread

_BETWEEN = re.compile(r"[\s,;]")
_CHECKS = web.AppKey("checks", set[asyncio.Task[None]])


async def resend_job(request: web.Request, job: int) -> None:
    """Queue a dead or cancelled job again."""
    await asyncio.to_thread(request.app[CONTEXT].actions.resend, job)
    await record(request, "job sent again", str(job))


async def cancel_job(request: web.Request, job: int) -> None:
    """Take a job out of the queue, or stop it."""
    await asyncio.to_thread(request.app[CONTEXT].actions.cancel, job)
    await record(request, "job cancelled", str(job))


async def decide_series_again(request: web.Request, series: int) -> None:
    """Decide a series anew by the rules in force, and process it by that."""
    await asyncio.to_thread(request.app[CONTEXT].actions.decide_again, (series,))
    await record(request, "series processed again", str(series))


async def decide_study_again(request: web.Request, study: StudyRow) -> None:
    """The same for all series of a study."""
    series = tuple(row.id for row in study.series)
    await asyncio.to_thread(request.app[CONTEXT].actions.decide_again, series)
    await record(request, "study processed again", str(study.id))


async def fetch_missing(request: web.Request, study: StudyRow) -> int:
    """Order what is missing of a study: a retrieve asks for nothing that is here.

    Returns the number of the retrieve list.
    """
    context = request.app[CONTEXT]
    told = await request.app[LEDGER].ask(lambda _: context.told(study.StudyInstanceUID))
    ae_title = "" if told is None else told.pacs
    wanted = Wanted(
        orderable(study),
        f"study {study.id}",
        next((one.name for one in context.network.pacs if one.ae_title == ae_title), ""),
    )
    number = await asyncio.to_thread(context.actions.retrieve, wanted)
    await record(request, "missing instances ordered", f"study {study.id}, list {number}")
    return number


def orderable(study: StudyRow) -> str:
    """The accession number of a study, by which a PACS is asked for it.

    Raises
    ------
    ActionRefused
        It has none, or one that a list would take for several.
    """
    number = study.AccessionNumber
    if not number:
        raise ActionRefused("the study has no accession number to ask a PACS by")
    if _BETWEEN.search(number):
        raise ActionRefused("spaces, commas or semicolons in its accession number part a list")
    return number


async def order_retrieve(request: web.Request, wanted: Wanted) -> int:
    """Order a retrieve list; return its number."""
    number = await asyncio.to_thread(request.app[CONTEXT].actions.retrieve, wanted)
    await record(request, "retrieve ordered", f"list {number}")
    return number


async def plan_retrieve(request: web.Request, wanted: Wanted) -> tuple[PlannedSeries, ...]:
    """Ask the PACS what a retrieve would do."""
    plan = await in_own_thread(partial(request.app[CONTEXT].actions.plan, wanted))
    await record(request, "retrieve tried out", peer=ae_title_of(request, wanted.pacs))
    return plan


async def retrieve_again(request: web.Request, number: int) -> None:
    """Try again what of a list is not whole."""
    await asyncio.to_thread(request.app[CONTEXT].actions.retrieve_again, number)
    await record(request, "retrieve tried again", f"list {number}")


async def cancel_retrieve(request: web.Request, number: int) -> None:
    """Take out what of a list has not ended."""
    await asyncio.to_thread(request.app[CONTEXT].actions.retrieve_cancel, number)
    await record(request, "retrieve cancelled", f"list {number}")


async def search_pacs(request: web.Request, sought: Sought) -> FoundStudies:
    """Look for studies in a PACS."""
    found = await in_own_thread(partial(request.app[CONTEXT].actions.search, sought))
    await record(request, "PACS searched", peer=ae_title_of(request, sought.pacs))
    return found


def ae_title_of(request: web.Request, pacs: str) -> str:
    """The AE title of a PACS by its name; without one, of the first, which is asked then."""
    known = request.app[CONTEXT].network.pacs
    return next((one.ae_title for one in known if pacs in ("", one.name)), "")


async def echo_pacs(request: web.Request, place: int) -> Echo:
    """Ask the PACS of this place in the configuration, from 1, whether it is there.

    Raises
    ------
    HTTPNotFound
        There are fewer.
    """
    context = request.app[CONTEXT]
    if not 1 <= place <= len(context.network.pacs):
        raise web.HTTPNotFound
    name = context.network.pacs[place - 1].name
    echo = await in_own_thread(partial(context.actions.echo, name))
    context.kept.echoes[name] = echo
    await record(request, "echo sent", name)
    return echo


async def pause(request: web.Request, processor: str) -> None:
    """Let no job begin that runs a processor; the empty name stands for every job."""
    await asyncio.to_thread(request.app[CONTEXT].actions.pause, processor)
    await record(request, "processing paused", processor)


async def resume(request: web.Request, processor: str) -> None:
    """End a pause."""
    await asyncio.to_thread(request.app[CONTEXT].actions.resume, processor)
    await record(request, "processing resumed", processor)


async def begin_check(request: web.Request) -> None:
    """Begin to check that nothing is lost, unless that is at work; what came of it is kept."""
    context = request.app[CONTEXT]
    if not context.kept.is_checking:
        context.kept.is_checking = True
        request.app[_CHECKS].add(asyncio.create_task(_checked(context), name="check"))
        await record(request, "ledger checked")


async def _checked(context: WebContext) -> None:
    try:
        context.kept.check = await in_own_thread(context.actions.check)
    except ActionRefused as refusal:
        context.kept.check = Check(now(), False, (str(refusal),))
    finally:
        context.kept.is_checking = False


async def checks_kept(app: web.Application) -> AsyncIterator[None]:
    """Hold on to the checks while the application runs."""
    app[_CHECKS] = set()
    yield
    for task in app[_CHECKS]:
        task.cancel()
