"""What a person starts or stops from the page: the daemon does it, and the audit trail has it.

Forms are posted without JavaScript. Buttons stand in parts of a page that change by themselves;
they belong to one empty form of the page, which has the token.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from http import HTTPStatus

from aiohttp import web

from listener.journal import now
from web_status.access import form_of, record
from web_status.context import CONTEXT, WebContext
from web_status.errors import ActionRefused
from web_status.node import Check
from web_status.threads import in_own_thread

_CHECKS = web.AppKey("checks", set[asyncio.Task[None]])


def add_actions(app: web.Application) -> None:
    """Add the routes; each answers with the page on which the result shows."""
    number = r"{number:\d{1,18}}"
    app.router.add_post(f"/jobs/{number}/resend", _resend)
    app.router.add_post(f"/jobs/{number}/cancel", _cancel)
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
