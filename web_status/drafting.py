"""The draft of the rules: written, checked, tried out, replayed and put in force by administrators.

Each button sends the whole draft, which is kept before anything is done with it. Without
JavaScript the answer is the page anew; the script takes the parts of it that have changed.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from aiohttp import BodyPartReader, web

from ledger.errors import NoLedger
from ledger.rows import SeriesRow
from web_status import rule_deeds
from web_status.access import MULTIPART, TOKEN_FIELD, in_time, render
from web_status.context import CONTEXT
from web_status.drafts import Draft, Drafts
from web_status.errors import ActionRefused
from web_status.languages import msgid
from web_status.ledger_thread import LEDGER
from web_status.rule_deeds import DRAFTS, TEXT_BYTES_MAX
from web_status.rule_desk import Replay, RulesChanged, Trial

_Found = TypeVar("_Found")
_FIELD_BYTES_MAX = 1 << 10
_SECONDS = 20.0
_OFFERED = 20
_DAYS = (1, 7, 30, 365)


def add_drafting(app: web.Application) -> None:
    """Add the routes."""
    app[DRAFTS] = Drafts(app[CONTEXT].data)
    app.router.add_get("/rules/draft", _open)
    app.router.add_post("/rules/draft", _check)
    app.router.add_post("/rules/draft/try", _try)
    app.router.add_post("/rules/draft/replay", _replay)
    app.router.add_post("/rules/draft/rebase", _rebase)
    app.router.add_post("/rules/draft/discard", _discard)
    app.router.add_post("/rules/draft/file", _take_file)
    app.router.add_post("/rules/force", _force)


@dataclass(frozen=True)
class Shown:
    """What the page of a draft shows beside its text.

    Attributes
    ----------
    problem
        Why what was asked for was not done.
    series, days
        What the forms hold.
    trial, replay
        What came of trying it out.
    """

    problem: str = ""
    series: str = ""
    days: int = 7
    trial: Trial | None = None
    replay: Replay | None = None


async def _open(request: web.Request) -> web.Response:
    return await _page(request, await rule_deeds.draft_of(request), Shown())


async def _check(request: web.Request) -> web.Response:
    return await _page(request, await _kept(request, await _fields(request)), Shown())


async def _try(request: web.Request) -> web.Response:
    """Try the draft on a series."""
    given = await _fields(request)
    draft, series = await _kept(request, given), given.get("series", "").strip()
    if not (series.isascii() and series.isdecimal() and len(series) <= 18):
        return await _page(request, draft, Shown(msgid("Give the number of a series."), series))
    trying = rule_deeds.try_on(request, draft.text, int(series))
    return await _tried(request, draft, trying, lambda trial: Shown(series=series, trial=trial))


async def _replay(request: web.Request) -> web.Response:
    """Say what the draft would have changed."""
    given = await _fields(request)
    draft = await _kept(request, given)
    days = next((days for days in _DAYS if str(days) == given.get("days")), _DAYS[1])
    replaying = rule_deeds.replay(request, draft.text, days)
    return await _tried(request, draft, replaying, lambda replay: Shown(days=days, replay=replay))


async def _tried(
    request: web.Request,
    draft: Draft,
    trying: Awaitable[_Found],
    shown: Callable[[_Found], Shown],
) -> web.Response:
    try:
        found = await trying
    except ActionRefused as refusal:
        return await _page(request, draft, Shown(str(refusal)))
    return await _page(request, draft, shown(found))


async def _rebase(request: web.Request) -> web.Response:
    """Go on with the draft over rules that have changed meanwhile."""
    given = await _fields(request)
    standing = await rule_deeds.standing_of(request)
    await _kept(request, {**given, "mark": standing.mark})
    return _see("/rules/draft")


async def _discard(request: web.Request) -> web.Response:
    await _fields(request)
    await rule_deeds.discard(request)
    return _see("/rules/draft")


async def _take_file(request: web.Request) -> web.Response:
    await _fields(request)
    await rule_deeds.begin_with_file(request)
    return _see("/rules/draft")


async def _force(request: web.Request) -> web.Response:
    """Put the draft in force."""
    draft = await _kept(request, await _fields(request))
    try:
        await rule_deeds.force_draft(request, draft)
    except ActionRefused as refusal:
        problem = "" if isinstance(refusal, RulesChanged) else str(refusal)
        return await _page(request, draft, Shown(problem), HTTPStatus.CONFLICT)
    return _see("/rules/versions")


async def _kept(request: web.Request, given: Mapping[str, str]) -> Draft:
    return await rule_deeds.keep(request, given.get("text", ""), given.get("mark", ""))


async def _fields(request: web.Request) -> Mapping[str, str]:
    """The fields of the form, which is sent as those with files are: a draft may be long."""
    if request.content_type != "multipart/form-data":
        raise web.HTTPUnsupportedMediaType
    fields: dict[str, str] = {}
    async with in_time(_SECONDS):
        reader = request.get(MULTIPART) or await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, BodyPartReader) and part.name and part.name != TOKEN_FIELD:
                limit = TEXT_BYTES_MAX if part.name == "text" else _FIELD_BYTES_MAX
                fields[part.name] = await _content(part, limit)
    return fields


async def _content(part: BodyPartReader, limit: int) -> str:
    content = bytearray()
    while chunk := await part.read_chunk():
        content += chunk
        if len(content) > limit:
            raise web.HTTPRequestEntityTooLarge(limit, len(content))
    return content.decode("utf-8", "replace")


async def _page(
    request: web.Request, draft: Draft | None, shown: Shown, status: int = HTTPStatus.OK
) -> web.Response:
    checked = await rule_deeds.check(request, draft)
    values: dict[str, object] = {
        "title": msgid("Draft of the rules"),
        "draft": checked.draft,
        "standing": checked.standing,
        "shown": shown,
        "flaw": checked.flaw,
        "offered": await _offered(request),
        "days": _DAYS,
        "changes": checked.changes,
        "is_stale": checked.is_stale,
        "may_force": checked.may_force,
    }
    return render("draft.html", request, values, status)


async def _offered(request: web.Request) -> tuple[SeriesRow, ...]:
    """The latest series, to try the draft on."""
    try:
        return await request.app[LEDGER].ask(lambda reader: reader.series(limit=_OFFERED))
    except NoLedger:
        return ()


def _see(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})
