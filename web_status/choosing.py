"""The choice of a language: kept by the browser, for whoever sits before it."""

from http import HTTPStatus

from aiohttp import web

from web_status.access import DOOR, form_of
from web_status.languages import COOKIE, LANGUAGES
from web_status.login import own_path

_KEPT_SECONDS = 365 * 24 * 3600


def add_choosing(app: web.Application) -> None:
    """Add the route."""
    app.router.add_post("/language", _choose)


async def _choose(request: web.Request) -> web.Response:
    """Keep the language that was chosen, and show the same page in it."""
    given = await form_of(request)
    language = str(given.get("language", ""))
    if language not in LANGUAGES:
        raise web.HTTPBadRequest
    path = own_path(str(given.get("next", "/")))
    answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})
    is_secure = request.app[DOOR].is_secure
    answer.set_cookie(
        COOKIE, language, max_age=_KEPT_SECONDS, httponly=True, secure=is_secure, samesite="Lax"
    )
    return answer
