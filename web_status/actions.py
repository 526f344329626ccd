"""What a person starts or stops from the page: the daemon does it, and the audit trail has it.

Forms are posted without JavaScript. Buttons stand in parts of a page that change by themselves;
they belong to one empty form of the page, which has the token.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from functools import partial
from http import HTTPStatus

from aiohttp import web

from ledger.rows import StudyRow
from listener.journal import now
from web_status.access import form_of, record
from web_status.archive import Wanted
from web_status.context import CONTEXT, WebContext
from web_status.errors import ActionRefused
from web_status.ledger_thread import LEDGER
from web_status.node import Check
from web_status.studies import study_of
from web_status.threads import in_own_thread

_BETWEEN = re.compile(r"[\s,;]")
_CHECKS = web.AppKey("checks", set[asyncio.Task[None]])


def add_actions(app: web.Application) -> None:
    """Add the routes; each answers with the page on which the result shows."""
    number = r"{number:\d{1,18}}"
    app.router.add_post(f"/jobs/{number}/resend", _resend)
    app.router.add_post(f"/jobs/{number}/cancel", _cancel)
    app.router.add_post(f"/series/{number}/again", _decide_again)
    app.router.add_post(f"/studies/{number}/again", _decide_study_again)
    app.router.add_post(f"/studies/{number}/fetch", _fetch)
    app.router.add_post(f"/retrieves/{number}/again", _again)
    app.router.add_post(f"/retrieves/{number}/cancel", _cancel_list)
    app.router.add_post(f"/network/{number}/echo", _echo)
    app.router.add_post("/system/check", _check)
    app.router.add_post("/system/pause", _pause)
    app.router.add_post("/system/resume", _resume)
    app.cleanup_ctx.append(_checks_ended)


async def _resend(request: web.Request) -> web.Response:
    job = int(request.match_info["number"])
    await asyncio.to_thread(request.app[CONTEXT].actions.resend, job)
    await record(request, "job sent again", str(job))
    return _back(request)


async def _cancel(request: web.Request) -> web.Response:
    job = int(request.match_info["number"])
    await asyncio.to_thread(request.app[CONTEXT].actions.cancel, job)
    await record(request, "job cancelled", str(job))
    return _back(request)


async def _decide_again(request: web.Request) -> web.Response:
    series = int(request.match_info["number"])
    await asyncio.to_thread(request.app[CONTEXT].actions.decide_again, (series,))
    await record(request, "series processed again", str(series))
    return _see(f"/series/{series}#jobs")


async def _decide_study_again(request: web.Request) -> web.Response:
    study = await study_of(request)
    series = tuple(row.id for row in study.series)
    await asyncio.to_thread(request.app[CONTEXT].actions.decide_again, series)
    await record(request, "study processed again", str(study.id))
    return _see(f"/studies/{study.id}")


async def _fetch(request: web.Request) -> web.Response:
    """Order what is missing of a study: a retrieve asks for nothing that is here."""
    context = request.app[CONTEXT]
    study = await study_of(request)
    told = await request.app[LEDGER].ask(lambda _: context.told(study.StudyInstanceUID))
    ae_title = "" if told is None else told.pacs
    wanted = Wanted(
        orderable(study),
        f"study {study.id}",
        next((one.name for one in context.network.pacs if one.ae_title == ae_title), ""),
    )
    number = await asyncio.to_thread(context.actions.retrieve, wanted)
    await record(request, "missing instances ordered", f"study {study.id}, list {number}")
    return _see(f"/retrieves/{number}")


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


async def _again(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    await asyncio.to_thread(request.app[CONTEXT].actions.retrieve_again, number)
    await record(request, "retrieve tried again", f"list {number}")
    return _see(f"/retrieves/{number}")


async def _cancel_list(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    await asyncio.to_thread(request.app[CONTEXT].actions.retrieve_cancel, number)
    await record(request, "retrieve cancelled", f"list {number}")
    return _see(f"/retrieves/{number}")


async def _echo(request: web.Request) -> web.Response:
    """Ask the PACS of this place in the configuration, from 1, whether it is there."""
    context = request.app[CONTEXT]
    place = int(request.match_info["number"])
    if not 1 <= place <= len(context.network.pacs):
        raise web.HTTPNotFound
    name = context.network.pacs[place - 1].name
    context.kept.echoes[name] = await in_own_thread(partial(context.actions.echo, name))
    await record(request, "echo sent", name)
    return _see("/network#pacs")


async def _check(request: web.Request) -> web.Response:
    """Begin to check that nothing is lost; the page shows when it has ended."""
    context = request.app[CONTEXT]
    if not context.kept.is_checking:
        context.kept.is_checking = True
        request.app[_CHECKS].add(asyncio.create_task(_checked(context), name="check"))
        await record(request, "ledger checked")
    return _see("/system#balance")


async def _checked(context: WebContext) -> None:
    try:
        context.kept.check = await in_own_thread(context.actions.check)
    except ActionRefused as refusal:
        context.kept.check = Check(now(), False, (str(refusal),))
    finally:
        context.kept.is_checking = False


async def _checks_ended(app: web.Application) -> AsyncIterator[None]:
    """Hold on to the checks while the application runs."""
    app[_CHECKS] = set()
    yield
    for task in app[_CHECKS]:
        task.cancel()


async def _pause(request: web.Request) -> web.Response:
    await asyncio.to_thread(request.app[CONTEXT].actions.pause, "")
    await record(request, "processing paused")
    return _see("/system#queue")


async def _resume(request: web.Request) -> web.Response:
    processor = _text(await form_of(request), "processor")
    await asyncio.to_thread(request.app[CONTEXT].actions.resume, processor)
    await record(request, "processing resumed", processor)
    return _see("/system#queue")


def _text(given: Mapping[str, object], name: str) -> str:
    return str(given.get(name, "")).strip()


def _back(request: web.Request) -> web.Response:
    """The page of the series whose job it was, as the form says; the first page without it."""
    series = request.query.get("series", "")
    is_number = series.isascii() and series.isdecimal() and len(series) <= 18
    return _see(f"/series/{series}#jobs" if is_number else "/")


def _see(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})
