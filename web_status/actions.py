"""What a person starts or stops from the page: the daemon does it, and the audit trail has it.

Forms are posted without JavaScript. Buttons stand in parts of a page that change by themselves;
they belong to one empty form of the page, which has the token.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from web_status.access import form_of, record
from web_status.asking import Wanted
from web_status.context import CONTEXT


def add_actions(app: web.Application) -> None:
    """Add the routes; each answers with the page on which the result shows."""
    number = r"{number:\d{1,18}}"
    app.router.add_post(f"/jobs/{number}/resend", _resend)
    app.router.add_post(f"/jobs/{number}/cancel", _cancel)
    app.router.add_post("/retrieves", _retrieve)
    app.router.add_post(f"/retrieves/{number}/again", _again)
    app.router.add_post(f"/retrieves/{number}/cancel", _cancel_list)


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


async def _retrieve(request: web.Request) -> web.Response:
    given = await form_of(request)
    wanted = Wanted(*(_text(given, name) for name in ("accessions", "name", "pacs", "method")))
    number = await asyncio.to_thread(request.app[CONTEXT].actions.retrieve, wanted)
    await record(request, "retrieve ordered", f"list {number}")
    return _see(f"/retrieves/{number}")


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


def _text(given: Mapping[str, object], name: str) -> str:
    return str(given.get(name, "")).strip()


def _back(request: web.Request) -> web.Response:
    """The page of the series whose job it was, as the form says; the first page without it."""
    series = request.query.get("series", "")
    is_number = series.isascii() and series.isdecimal() and len(series) <= 18
    return _see(f"/series/{series}#jobs" if is_number else "/")


def _see(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})
