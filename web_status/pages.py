"""The pages that people read, rendered on the server."""

from dataclasses import replace

from aiohttp import web

from web_status.access import is_veiled, render
from web_status.archive import Wanted
from web_status.context import CONTEXT
from web_status.languages import language_of
from web_status.look import look
from web_status.rendering import html_of
from web_status.views import Topic


def add_pages(app: web.Application) -> None:
    """Add the routes of the pages."""
    app.router.add_get("/", _now)
    app.router.add_get("/alarms", _alarms)
    app.router.add_get("/network", _network)
    app.router.add_get("/system", _system)
    app.router.add_get("/rules", _rules)
    app.router.add_get("/uploads", _uploads)
    app.router.add_get("/retrieves", _retrieves)
    app.router.add_get(r"/retrieves/{number:\d{1,18}}", _retrieve)
    app.router.add_get(r"/studies/{number:\d{1,18}}", _study)
    app.router.add_get(r"/series/{number:\d{1,18}}", _series)


async def _now(request: web.Request) -> web.Response:
    return await _page(request, Topic("now", page_number(request)))


async def _alarms(request: web.Request) -> web.Response:
    return await _page(request, Topic("alarms", 1))


async def _network(request: web.Request) -> web.Response:
    return await _page(request, Topic("network", 1))


async def _system(request: web.Request) -> web.Response:
    return await _page(request, Topic("system", 1))


async def _rules(request: web.Request) -> web.Response:
    return await _page(request, Topic("rules", 1))


async def _uploads(request: web.Request) -> web.Response:
    return await _page(request, Topic("uploads", 1))


async def _retrieves(request: web.Request) -> web.Response:
    return await _page(request, Topic("retrieves", 1))


async def _retrieve(request: web.Request) -> web.Response:
    return await _page(request, Topic("retrieve", int(request.match_info["number"])))


async def _study(request: web.Request) -> web.Response:
    return await _page(request, Topic("study", int(request.match_info["number"])))


async def _series(request: web.Request) -> web.Response:
    return await _page(request, Topic("series", int(request.match_info["number"])))


def page_number(request: web.Request) -> int:
    """The page of the list that was asked for.

    Raises
    ------
    HTTPNotFound
        It is no number from 1.
    """
    given = request.query.get("page", "1")
    if not (given.isascii() and given.isdecimal() and 0 < len(given) <= 9 and int(given)):
        raise web.HTTPNotFound
    return int(given)


async def _page(request: web.Request, topic: Topic) -> web.Response:
    topic = replace(topic, veiled=is_veiled(request))
    view = await look(request.app, topic)
    language = language_of(request)
    parts = {one.id: html_of(request.app, language, one) for one in view.fragments}
    return render(
        f"{topic.kind}.html",
        request,
        {
            "title": view.title,
            "number": topic.number,
            "topic": topic,
            "parts": parts,
            "lists": view.lists,
            "pacs": request.app[CONTEXT].actions.pacs,
            "wanted": Wanted(""),
        },
    )
