"""What a person starts or stops from the page: the routes of the buttons.

Forms are posted without JavaScript. Buttons stand in parts of a page that change by themselves;
they belong to one empty form of the page, which has the token.
"""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from web_status import deeds
from web_status.access import form_of
from web_status.studies import study_of


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
    app.cleanup_ctx.append(deeds.checks_kept)


async def _resend(request: web.Request) -> web.Response:
    await deeds.resend_job(request, _number(request))
    return _back(request)


async def _cancel(request: web.Request) -> web.Response:
    await deeds.cancel_job(request, _number(request))
    return _back(request)


async def _decide_again(request: web.Request) -> web.Response:
    await deeds.decide_series_again(request, _number(request))
    return _see(f"/series/{_number(request)}#jobs")


async def _decide_study_again(request: web.Request) -> web.Response:
    await deeds.decide_study_again(request, await study_of(request))
    return _see(f"/studies/{_number(request)}")


async def _fetch(request: web.Request) -> web.Response:
    number = await deeds.fetch_missing(request, await study_of(request))
    return _see(f"/retrieves/{number}")


async def _again(request: web.Request) -> web.Response:
    await deeds.retrieve_again(request, _number(request))
    return _see(f"/retrieves/{_number(request)}")


async def _cancel_list(request: web.Request) -> web.Response:
    await deeds.cancel_retrieve(request, _number(request))
    return _see(f"/retrieves/{_number(request)}")


async def _echo(request: web.Request) -> web.Response:
    await deeds.echo_pacs(request, _number(request))
    return _see("/network#pacs")


async def _check(request: web.Request) -> web.Response:
    """Begin to check that nothing is lost; the page shows when it has ended."""
    await deeds.begin_check(request)
    return _see("/system#balance")


async def _pause(request: web.Request) -> web.Response:
    await deeds.pause(request, "")
    return _see("/system#queue")


async def _resume(request: web.Request) -> web.Response:
    await deeds.resume(request, _text(await form_of(request), "processor"))
    return _see("/system#queue")


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


def _text(given: Mapping[str, object], name: str) -> str:
    return str(given.get(name, "")).strip()


def _back(request: web.Request) -> web.Response:
    """The page of the series whose job it was, as the form says; the first page without it."""
    series = request.query.get("series", "")
    is_number = series.isascii() and series.isdecimal() and len(series) <= 18
    return _see(f"/series/{series}#jobs" if is_number else "/")


def _see(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})
