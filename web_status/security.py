"""What every request and answer passes: who may ask, what a browser may do, how errors look."""

import logging
import math
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from ledger.errors import NotInLedger
from web_status.access import is_of_programs, render
from web_status.api.problems import problem
from web_status.context import CONTEXT
from web_status.errors import (
    ActionRefused,
    BadToken,
    FileGone,
    LedgerUnavailable,
    NamesHidden,
    NoRoom,
    NotAllowed,
    NotLoggedIn,
    NotViewable,
    OutsideResults,
    TooManyTries,
    UsersUnreadable,
)
from web_status.languages import msgid
from web_status.login import login_page, own_path
from web_status.request_ids import id_of
from web_status.roles import needs_of

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 1 << 18
"""The largest request body that is no upload: 5,000 accession numbers of 16 characters, encoded."""

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        *("base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"),
    )
)
_HEADERS = (
    ("Content-Security-Policy", _CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),  # under no-referrer our own forms would send Origin: null
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Cache-Control", "no-store"),
)

# RFC 9110 15.5.2 has every 401 name a scheme; browsers know none of this name and show the page.
_ASK = {"WWW-Authenticate": 'Form realm="Safelight"'}

_ASK_FOR_TOKEN = {"WWW-Authenticate": 'Bearer realm="Safelight"'}
_PROGRAM_TEXT = (
    "Log in, or send a token: Authorization: Bearer safelight_... (safelight user token makes one)."
)

_TEXTS = {
    HTTPStatus.BAD_REQUEST: msgid("What was asked for cannot be read."),
    HTTPStatus.FORBIDDEN: msgid("Another site sent this request. Nothing was done."),
    HTTPStatus.NOT_FOUND: msgid("There is no such page, or no such study, series or result."),
    HTTPStatus.METHOD_NOT_ALLOWED: msgid("This page can only be read."),
    HTTPStatus.REQUEST_TIMEOUT: msgid("The request did not come to its end."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: msgid("The request carries more than this page takes."),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: msgid("Files are sent here as a form."),
    HTTPStatus.MISDIRECTED_REQUEST: msgid(
        "This page is reached as 127.0.0.1 or localhost, and by the names of [web] hosts in the"
        " configuration, so that no other site can read it under a name of its own."
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: msgid(
        "The ledger cannot be read at the moment. Load the page again"
        " in a few seconds; if it stays so, look into the log of the service."
    ),
}
_ROLE_TEXT = msgid(
    "Your role does not include this. Nothing was done; an administrator can change roles."
)
_NAMES_TEXT = msgid("This file names patients, who are hidden from your role.")
_STALE_TEXT = msgid(
    "The page this was sent from is too old, or another site sent it. Nothing was done: go back,"
    " load the page again and repeat."
)
_USERS_TEXT = msgid(
    "The file of the users cannot be read, so nobody is let in. The log of the service says why."
)
_NO_ROOM_TEXT = msgid(
    "The disk has no room for this. Nothing was taken; what was sent is still where it was."
)
_GENERAL_TEXT = msgid(
    "The page could not be made. The log of the service says where it went wrong."
)
_GONE_TEXT = msgid(
    "The ledger knows this result, but its file is no longer in the results folder: somebody"
    " moved or removed it. The instances it was made from are still in the spool."
)
_REFUSED_TEXT = msgid("%(reason)s. Nothing was done.")
_NOT_VIEWABLE_TEXT = msgid("This volume cannot be shown: %(reason)s.")


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser what it may do with an answer; a handler's own headers stay."""
    for name, value in _HEADERS:
        response.headers.setdefault(name, value)


# Which page stands for which refusal; an empty text is that of the status.
_REFUSALS: Mapping[type[Exception], tuple[HTTPStatus, str]] = MappingProxyType(
    {
        NotInLedger: (HTTPStatus.NOT_FOUND, ""),
        OutsideResults: (HTTPStatus.NOT_FOUND, ""),
        FileGone: (HTTPStatus.NOT_FOUND, _GONE_TEXT),
        NamesHidden: (HTTPStatus.FORBIDDEN, _NAMES_TEXT),
        NotAllowed: (HTTPStatus.FORBIDDEN, _ROLE_TEXT),
        BadToken: (HTTPStatus.FORBIDDEN, _STALE_TEXT),
        NoRoom: (HTTPStatus.INSUFFICIENT_STORAGE, _NO_ROOM_TEXT),
    }
)


@web.middleware
async def friendly_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure with a page; log where it was, and no value that led to it."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        page = _error_page(request, error.status)
        if "Allow" in error.headers:
            page.headers["Allow"] = error.headers["Allow"]
        return page
    except (NotLoggedIn, TooManyTries) as error:
        return _login_first(request, error)
    except tuple(_REFUSALS) as error:
        kind = next(kind for kind in _REFUSALS if isinstance(error, kind))
        return _error_page(request, *_REFUSALS[kind])
    except ConnectionError:
        return web.Response()  # the browser has gone away: nobody reads it
    except Exception as error:  # noqa: BLE001 - the HTTP middleware is one of four boundaries
        return _failure_page(request, error)


def _failure_page(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, ActionRefused):  # told to who asked, and not logged
        return _error_page(request, HTTPStatus.CONFLICT, _REFUSED_TEXT, str(error))
    if isinstance(error, NotViewable):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return _error_page(request, status, _NOT_VIEWABLE_TEXT, str(error))
    if isinstance(error, UsersUnreadable):
        logger.error("%s", error)  # it names a file of ours, and no patient
        return _error_page(request, HTTPStatus.SERVICE_UNAVAILABLE, _USERS_TEXT)
    log_failure(error, "page not made")
    if isinstance(error, LedgerUnavailable):
        return _error_page(request, HTTPStatus.SERVICE_UNAVAILABLE)
    return _error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def _error_page(
    request: web.Request, status: int, text: str = "", reason: str = ""
) -> web.Response:
    known = HTTPStatus(status)
    told = text or _TEXTS.get(known, _GENERAL_TEXT)
    if is_of_programs(request):
        return problem(status, told % {"reason": reason} if reason else told)
    logged = id_of(request) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
    shown = {"title": known.phrase, "text": told, "reason": reason, "logged": logged}
    return render("error.html", request, shown, status)


def _login_first(request: web.Request, error: NotLoggedIn | TooManyTries) -> web.Response:
    """The form to log in, where a person reads the answer; it leads on to what was asked for."""
    if isinstance(error, NotLoggedIn) and is_of_programs(request):
        answer = problem(HTTPStatus.UNAUTHORIZED, _PROGRAM_TEXT)
        answer.headers.update(_ASK_FOR_TOKEN)
        return answer
    if isinstance(error, TooManyTries):
        page = login_page(request, "/", "throttled", HTTPStatus.TOO_MANY_REQUESTS)
        page.headers["Retry-After"] = str(math.ceil(error.seconds))
        return page
    is_page = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    if request.method == "GET" and is_page:
        page = login_page(request, own_path(request.path_qs), "", HTTPStatus.UNAUTHORIZED)
    else:
        page = web.Response(status=HTTPStatus.UNAUTHORIZED, text="Log in first.\n")
    page.headers.update(_ASK)
    return page


def log_failure(error: BaseException, what: str) -> None:
    """Log the type of an error and where it was raised; its message could name a patient."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    logger.error("%s: %s at %s", what, type(error).__name__, place)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only proper requests pass.

    Refused are forged hosts (421), what another site sends to change something (403), and
    bodies that are large or compressed (413). A browser tells by two headers where a request comes
    from; a program sends neither.
    """
    hosts = request.app[CONTEXT].settings.allowed_hosts
    if _host_name(f"//{request.headers.get('Host', '')}") not in hosts:
        raise web.HTTPMisdirectedRequest
    if request.method not in ("GET", "HEAD") and _is_from_elsewhere(request, hosts):
        raise web.HTTPForbidden
    needs, length = needs_of(request), request.content_length or 0
    is_upload = needs is not None and needs.is_upload
    limit = request.app[CONTEXT].settings.upload_bytes_max if is_upload else BODY_BYTES_MAX
    if length > limit or "Content-Encoding" in request.headers:
        raise web.HTTPRequestEntityTooLarge(limit, length)
    return await handler(request)


def _is_from_elsewhere(request: web.Request, hosts: frozenset[str]) -> bool:
    origin = request.headers.get("Origin")
    if origin and _host_name(origin) not in hosts:
        return True
    return request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")


def _host_name(url: str) -> str:
    """The host of a URL in lower case without port or brackets; empty where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
