"""The page of all nodes: how each is, and their studies in one list."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus

from aiohttp import web

from ledger.study_reader import StudyFilter
from web_status.access import form_of, is_veiled, render
from web_status.context import CONTEXT
from web_status.languages import msgid
from web_status.nodes import NODES, Gathered, Nodes
from web_status.studies import PAGE_SIZE, Asked, form_values, note_search
from web_status.veil import without_names

_PLACE = re.compile(r"([A-Za-z0-9_.-]{1,32})~(\d{1,18})")
_PLACES_MAX = 100


def add_nodes(app: web.Application) -> None:
    """Add the routes, and the connections to the other nodes."""
    app.cleanup_ctx.append(_nodes_known)
    app.router.add_get("/nodes", _list)
    app.router.add_post("/nodes", _search)


async def _nodes_known(app: web.Application) -> AsyncIterator[None]:
    app[NODES] = Nodes(app[CONTEXT])
    yield
    await app[NODES].close()


async def find_everywhere(
    request: web.Request,
    wanted: StudyFilter,
    before: Mapping[str, int],
    limit: int,
) -> Gathered:
    """A page of the studies of all nodes, without names where they are hidden from who asks.

    Raises
    ------
    NamesHidden
        A patient is looked for by somebody who may not see who they are.
    """
    await note_search(request, wanted)
    found = await request.app[NODES].studies(wanted, before, limit)
    return without_names(found) if is_veiled(request) else found


async def _list(request: web.Request) -> web.Response:
    """Page through the studies; an address that says whom it is about is refused."""
    if {"patient", "accession"} & set(request.query):
        raise web.HTTPBadRequest
    return await _page(request, request.query)


async def _search(request: web.Request) -> web.Response:
    """Search; what tells of nobody is answered by the address of it."""
    given = await form_of(request)
    asked = Asked.of(given)
    if asked.is_personal:
        return await _page(request, given)
    where = asked.address("/nodes")
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": where})


async def _page(request: web.Request, given: Mapping[str, object]) -> web.Response:
    asked = Asked.of(given)
    before = _places(str(given.get("older", "")))
    states, found = await asyncio.gather(
        request.app[NODES].states(),
        find_everywhere(request, asked.filter(), before, PAGE_SIZE),
    )
    values = {
        "title": msgid("Nodes"),
        "nodes": states,
        "found": found,
        "older": _text(found.older),
        "is_older": bool(before),
        **form_values(request, asked),
    }
    return render("nodes.html", request, values)


def _places(text: str) -> dict[str, int]:
    """From where the list of each node goes on.

    Raises
    ------
    HTTPBadRequest
        It is no text of ours.

    Examples
    --------
    >>> _places("here~7,b~12"), _places("")
    ({'here': 7, 'b': 12}, {})
    """
    found = [_PLACE.fullmatch(place) for place in text.split(",", _PLACES_MAX) if text]
    if not all(found):
        raise web.HTTPBadRequest
    return {place[1]: int(place[2]) for place in found if place}


def _text(places: Mapping[str, int]) -> str:
    return ",".join(f"{node}~{number}" for node, number in places.items())
