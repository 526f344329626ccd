"""Looking for studies in a PACS, and ordering them: what is looked for comes in the body, and is
in no address and no log.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import BodyPartReader, web
from multidict import MultiMapping

from web_status import deeds
from web_status.access import MULTIPART, TOKEN_FIELD, form_of, in_time, record, render
from web_status.archive import Sought, Wanted
from web_status.context import CONTEXT
from web_status.errors import ActionRefused
from web_status.languages import msgid

_LIST_BYTES_MAX = 4 << 20
_SECONDS = 30.0
_EMPTY = Wanted("")


def add_ordering(app: web.Application) -> None:
    """Add the routes."""
    app.router.add_post("/retrieves", _order)
    app.router.add_post("/retrieves/plan", _plan)
    app.router.add_post("/retrieves/file", _read_file)
    app.router.add_get("/search", _search_form)
    app.router.add_post("/search", _search)


async def _order(request: web.Request) -> web.Response:
    number = await deeds.order_retrieve(request, _wanted(await form_of(request)))
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": f"/retrieves/{number}"})


async def _plan(request: web.Request) -> web.Response:
    """Say what would be fetched, and what is left out."""
    wanted = _wanted(await form_of(request))
    return _form_page(request, wanted, plan=await deeds.plan_retrieve(request, wanted))


async def _read_file(request: web.Request) -> web.Response:
    """Fill the form with the accession numbers of a file."""
    name, numbers = await given_list(request)
    return _form_page(request, Wanted("\n".join(numbers), name[:100]))


async def given_list(request: web.Request) -> tuple[str, tuple[str, ...]]:
    """What the file of a form is called, and the accession numbers in it.

    Raises
    ------
    HTTPUnsupportedMediaType, HTTPRequestEntityTooLarge, ActionRefused
        It is no form, the file is too large, or there are no accession numbers in it.
    """
    if request.content_type != "multipart/form-data":
        raise web.HTTPUnsupportedMediaType
    name, content = await _given_file(request)
    actions = request.app[CONTEXT].actions
    numbers = await asyncio.to_thread(actions.read_list, name, content)
    await record(request, "list read", f"{len(numbers)} accession numbers")
    return name, numbers


async def _given_file(request: web.Request) -> tuple[str, bytes]:
    async with in_time(_SECONDS):
        reader = request.get(MULTIPART) or await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, BodyPartReader) and part.filename and part.name != TOKEN_FIELD:
                return part.filename, await _content(part)
    raise ActionRefused("no file was chosen")


async def _content(part: BodyPartReader) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk():
        content += chunk
        if len(content) > _LIST_BYTES_MAX:
            raise web.HTTPRequestEntityTooLarge(_LIST_BYTES_MAX, len(content))
    return bytes(content)


async def _search_form(request: web.Request) -> web.Response:
    return _search_page(request, Sought())


async def _search(request: web.Request) -> web.Response:
    given = await form_of(request)
    sought = Sought(**{name: _text(given, name) for name in Sought.__dataclass_fields__})
    return _search_page(request, sought, found=await deeds.search_pacs(request, sought))


def _search_page(request: web.Request, sought: Sought, **found: object) -> web.Response:
    pacs = request.app[CONTEXT].actions.pacs
    values = {
        "title": msgid("Search a PACS"),
        "pacs": pacs,
        "sought": sought,
        "found": None,
        **found,
    }
    return render("search.html", request, values)


def _form_page(request: web.Request, wanted: Wanted, **more: object) -> web.Response:
    pacs = request.app[CONTEXT].actions.pacs
    values = {
        "title": msgid("Retrieve studies"),
        "pacs": pacs,
        "wanted": wanted,
        "plan": None,
        **more,
    }
    return render("order.html", request, values)


def _wanted(given: Mapping[str, object]) -> Wanted:
    texts = ("name", "pacs", "method", "modalities", "least")
    return Wanted(
        "\n".join(_all(given, "accessions")),
        **{name: _text(given, name) for name in texts},
        no_derived=bool(_text(given, "no_derived")),
        output_format=_text(given, "format"),
        run=tuple(filter(None, _all(given, "run"))),
    )


def _all(given: Mapping[str, object], name: str) -> list[str]:
    """All values of a field: a form of boxes has one for each that is ticked."""
    found = given.getall(name, []) if isinstance(given, MultiMapping) else [given.get(name, "")]
    return [str(value).strip() for value in found]


def _text(given: Mapping[str, object], name: str) -> str:
    return str(given.get(name, "")).strip()
