"""Each request has an id: in the log lines that it causes, in its answer, on the page of an error.

A proxy may have given it one. What is no UUID and no string of hexadecimal digits is not taken
over: it would stand in the log, and could name a patient.
"""

import re
import uuid

from aiohttp import web
from aiohttp.typedefs import Handler

from listener.log_ids import logged_as

HEADER = "X-Request-ID"
_WELL_FORMED = re.compile(r"(?i:[0-9a-f]{16,64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})")

_ID = web.RequestKey("request id", str)


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give a request its id; it is the outermost of all, so that nothing is logged without."""
    given = request.headers.get(HEADER, "")
    request[_ID] = given if _WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
    with logged_as(request=request[_ID]):
        return await handler(request)


def id_of(request: web.Request) -> str | None:
    """The id of a request; None for one that never came to a handler."""
    return request.get(_ID)


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Tell who asked."""
    known = id_of(request)
    if known is not None:
        response.headers[HEADER] = known
