"""What every request and answer passes: who may ask, what a browser may do, how errors look."""

import logging
import traceback
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp_jinja2
from aiohttp import web
from aiohttp.typedefs import Handler

from ledger.errors import NotInLedger
from web_status.context import CONTEXT
from web_status.errors import FileGone, LedgerUnavailable, OutsideResults

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 1 << 16
"""The largest request body; no route takes one yet."""

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    )
)
_HEADERS = (
    ("Content-Security-Policy", _CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Cache-Control", "no-store"),
)

_TEXTS = {
    HTTPStatus.FORBIDDEN: "Another site sent this request. Nothing was done.",
    HTTPStatus.NOT_FOUND: "There is no such page, or no such study, series or result.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This page can only be read.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request carries more than this page takes.",
    HTTPStatus.MISDIRECTED_REQUEST: "This page is reached as 127.0.0.1 or localhost only, so that"
    " no other site can read it under a name of its own.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The ledger cannot be read at the moment. Load the page again"
    " in a few seconds; if it stays so, look into the log of the service.",
}
_GENERAL_TEXT = "The page could not be made. The log of the service says where it went wrong."
_GONE_TEXT = (
    "The ledger knows this result, but its file is no longer in the results folder: somebody"
    " moved or removed it. The instances it was made from are still in the spool."
)


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser what it may do with an answer; a handler's own headers stay."""
    for name, value in _HEADERS:
        response.headers.setdefault(name, value)


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
    except (NotInLedger, OutsideResults):
        return _error_page(request, HTTPStatus.NOT_FOUND)
    except FileGone:
        return _error_page(request, HTTPStatus.NOT_FOUND, _GONE_TEXT)
    except LedgerUnavailable as error:
        log_failure(error, "page not made")
        return _error_page(request, HTTPStatus.SERVICE_UNAVAILABLE)
    except Exception as error:  # noqa: BLE001 - the HTTP middleware is one of four boundaries
        log_failure(error, "page not made")
        return _error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def _error_page(request: web.Request, status: int, text: str = "") -> web.Response:
    known = HTTPStatus(status)
    shown = {"title": known.phrase, "text": text or _TEXTS.get(known, _GENERAL_TEXT)}
    return aiohttp_jinja2.render_template("error.html", request, shown, status=status)


def log_failure(error: BaseException, what: str) -> None:
    """Log the type of an error and where it was raised; its message could name a patient."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    logger.error("%s: %s at %s", what, type(error).__name__, place)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only proper requests pass.

    Refused are forged hosts (421), what another site sends to change something (403), and
    bodies that are large or compressed (413).
    """
    hosts = request.app[CONTEXT].allowed_hosts
    if _host_name(f"//{request.headers.get('Host', '')}") not in hosts:
        raise web.HTTPMisdirectedRequest
    origin = request.headers.get("Origin")
    if request.method not in ("GET", "HEAD") and origin and _host_name(origin) not in hosts:
        raise web.HTTPForbidden
    too_large = (request.content_length or 0) > BODY_BYTES_MAX
    if too_large or "Content-Encoding" in request.headers:
        raise web.HTTPRequestEntityTooLarge(BODY_BYTES_MAX, request.content_length or 0)
    return await handler(request)


def _host_name(url: str) -> str:
    """The host of a URL in lower case without port or brackets; empty where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
