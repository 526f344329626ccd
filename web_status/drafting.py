"""The draft of the rules: written, checked, tried out, replayed and put in force by administrators.

Each button sends the whole draft, which is kept before anything is done with it. Without
JavaScript the answer is the page anew; the script takes the parts of it that have changed.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from aiohttp import BodyPartReader, web

from ledger.errors import NoLedger
from ledger.rows import SeriesRow
from web_status.access import MULTIPART, TOKEN_FIELD, person_of, record, render
from web_status.context import CONTEXT
from web_status.diffs import DiffLine, difference
from web_status.drafts import Draft, Drafts
from web_status.errors import ActionRefused
from web_status.languages import msgid
from web_status.ledger_thread import LEDGER
from web_status.rule_desk import Flaw, Replay, RuleDesk, RulesChanged, Standing, Trial
from web_status.threads import in_own_thread

PUT_IN_FORCE = "rules put in force"
"""The deed in the audit trail; its target is ``version`` and the number."""

_Found = TypeVar("_Found")
_DRAFTS = web.AppKey("drafts", Drafts)
_TEXT_BYTES_MAX = 1 << 20
_FIELD_BYTES_MAX = 1 << 10
_SECONDS = 20.0
_OFFERED = 20
_DAYS = (1, 7, 30, 365)


def add_drafting(app: web.Application) -> None:
    """Add the routes."""
    app[_DRAFTS] = Drafts(app[CONTEXT].data)
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
    draft = await asyncio.to_thread(request.app[_DRAFTS].read, _user(request))
    return await _page(request, draft, Shown())


async def _check(request: web.Request) -> web.Response:
    return await _page(request, await _kept(request, await _fields(request)), Shown())


async def _try(request: web.Request) -> web.Response:
    """Try the draft on a series."""
    given = await _fields(request)
    draft, series = await _kept(request, given), given.get("series", "").strip()
    if not (series.isascii() and series.isdecimal() and len(series) <= 18):
        return await _page(request, draft, Shown(msgid("Give the number of a series."), series))
    work = partial(_desk(request).try_on, draft.text, int(series))
    return await _tried(request, draft, work, lambda trial: Shown(series=series, trial=trial))


async def _replay(request: web.Request) -> web.Response:
    """Say what the draft would have changed."""
    given = await _fields(request)
    draft = await _kept(request, given)
    days = next((days for days in _DAYS if str(days) == given.get("days")), _DAYS[1])
    work = partial(_desk(request).replay, draft.text, days)
    await record(request, "rules replayed", f"{days} d")
    return await _tried(request, draft, work, lambda replay: Shown(days=days, replay=replay))


async def _tried(
    request: web.Request,
    draft: Draft,
    work: Callable[[], _Found],
    shown: Callable[[_Found], Shown],
) -> web.Response:
    try:
        found = await in_own_thread(work)
    except ActionRefused as refusal:
        return await _page(request, draft, Shown(str(refusal)))
    return await _page(request, draft, shown(found))


async def _rebase(request: web.Request) -> web.Response:
    """Go on with the draft over rules that have changed meanwhile."""
    given = await _fields(request)
    standing = await asyncio.to_thread(_desk(request).standing)
    await _kept(request, {**given, "mark": standing.mark})
    return _see("/rules/draft")


async def _discard(request: web.Request) -> web.Response:
    """Begin again from the rules in force."""
    await _fields(request)
    await asyncio.to_thread(request.app[_DRAFTS].discard, _user(request))
    await record(request, "rules draft discarded")
    return _see("/rules/draft")


async def _take_file(request: web.Request) -> web.Response:
    """Begin again from what the file of the rules says."""
    await _fields(request)
    standing = await asyncio.to_thread(_desk(request).standing)
    draft = Draft(standing.file_text or standing.text, standing.mark)
    await asyncio.to_thread(request.app[_DRAFTS].write, _user(request), draft)
    await record(request, "rules draft begun")
    return _see("/rules/draft")


async def _force(request: web.Request) -> web.Response:
    """Put the draft in force."""
    draft = await _kept(request, await _fields(request))
    try:
        await put_in_force(request, draft.text, draft.mark)
    except ActionRefused as refusal:
        await record(request, "rules not put in force")
        problem = "" if isinstance(refusal, RulesChanged) else str(refusal)
        return await _page(request, draft, Shown(problem), HTTPStatus.CONFLICT)
    await asyncio.to_thread(request.app[_DRAFTS].discard, _user(request))
    return _see("/rules/versions")


async def put_in_force(request: web.Request, text: str, mark: str) -> None:
    """Have the daemon take rules.

    Raises
    ------
    ActionRefused
        It does not; the message says why.
    """
    number = await in_own_thread(partial(_desk(request).put_in_force, text, mark))
    await record(request, PUT_IN_FORCE, f"version {number}")


def _desk(request: web.Request) -> RuleDesk:
    return request.app[CONTEXT].rules


def _user(request: web.Request) -> str:
    person = person_of(request)
    return "" if person is None else person.name


async def _kept(request: web.Request, given: Mapping[str, str]) -> Draft:
    """Keep what was sent as the draft of who sent it; what is in force already is none."""
    draft = Draft(_normal(given.get("text", "")), given.get("mark", ""))
    drafts, user = request.app[_DRAFTS], _user(request)
    standing = await asyncio.to_thread(_desk(request).standing)
    if draft.text == standing.text:
        await asyncio.to_thread(drafts.discard, user)
        return Draft(standing.text, standing.mark)
    is_new = await asyncio.to_thread(drafts.read, user) is None
    await asyncio.to_thread(drafts.write, user, draft)
    if is_new:
        await record(request, "rules draft begun")
    return draft


def _normal(text: str) -> str:
    """A text with the ends of lines that files have; browsers send others."""
    lines = text.replace("\r\n", "\n").rstrip()
    return f"{lines}\n" if lines else ""


async def _fields(request: web.Request) -> Mapping[str, str]:
    """The fields of the form, which is sent as those with files are: a draft may be long."""
    if request.content_type != "multipart/form-data":
        raise web.HTTPUnsupportedMediaType
    reader = request.get(MULTIPART) or await request.multipart()
    fields: dict[str, str] = {}
    async with asyncio.timeout(_SECONDS):
        while (part := await reader.next()) is not None:
            if isinstance(part, BodyPartReader) and part.name and part.name != TOKEN_FIELD:
                limit = _TEXT_BYTES_MAX if part.name == "text" else _FIELD_BYTES_MAX
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
    desk = _desk(request)
    standing = await asyncio.to_thread(desk.standing)
    draft = draft or Draft(standing.text, standing.mark)
    flaw = await asyncio.to_thread(desk.flaw, draft.text)
    values: dict[str, object] = {
        "title": msgid("Draft of the rules"),
        "draft": draft,
        "standing": standing,
        "shown": shown,
        "flaw": flaw,
        "offered": await _offered(request),
        "days": _DAYS,
        **await asyncio.to_thread(_compared, standing, draft, flaw),
    }
    return render("draft.html", request, values, status)


def _compared(standing: Standing, draft: Draft, flaw: Flaw | None) -> Mapping[str, object]:
    lines: tuple[DiffLine, ...] = difference(standing.text, draft.text)
    is_stale = draft.mark != standing.mark
    may_force = flaw is None and not is_stale and not standing.obstacle
    is_other = bool(lines) or standing.file_text is not None
    return {"changes": lines, "is_stale": is_stale, "may_force": may_force and is_other}


async def _offered(request: web.Request) -> tuple[SeriesRow, ...]:
    """The latest series, to try the draft on."""
    try:
        return await request.app[LEDGER].ask(lambda reader: reader.series(limit=_OFFERED))
    except NoLedger:
        return ()


def _see(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})
