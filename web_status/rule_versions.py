"""The rules that were in force before: whose they were, what they changed, and the way back."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from ledger.errors import NoLedger
from ledger.rule_reader import RuleVersion
from web_status.access import DOOR, record, render
from web_status.context import CONTEXT
from web_status.diffs import difference
from web_status.drafting import PUT_IN_FORCE, put_in_force
from web_status.errors import ActionRefused
from web_status.languages import msgid
from web_status.ledger_thread import LEDGER


@dataclass(frozen=True)
class ShownVersion:
    """A version; `by` is who put it in force on the page, None where it came otherwise."""

    version: RuleVersion
    by: str | None


def add_rule_versions(app: web.Application) -> None:
    """Add the routes."""
    number = r"{number:\d{1,18}}"
    app.router.add_get("/rules/versions", _list)
    app.router.add_get(f"/rules/versions/{number}", _one)
    app.router.add_post(f"/rules/versions/{number}/force", _again)


async def _list(request: web.Request) -> web.Response:
    try:
        found = await request.app[LEDGER].ask(lambda reader: reader.rules.versions())
    except NoLedger:
        found = ()
    by = await asyncio.to_thread(request.app[DOOR].audit.users_of, PUT_IN_FORCE)
    versions = tuple(ShownVersion(one, by.get(f"version {one.id}")) for one in found)
    values = {
        "title": msgid("Versions of the rules"),
        "versions": versions,
        "mark": await _mark(request),
    }
    return render("versions.html", request, values)


async def _one(request: web.Request) -> web.Response:
    """What a version changed."""
    number = int(request.match_info["number"])
    version, before, latest = await request.app[LEDGER].ask(
        lambda reader: (
            reader.rules.version(number),
            reader.rules.before(number),
            reader.rules.versions(limit=1)[0],
        )
    )
    values = {
        "title": msgid("Version of the rules"),
        "version": version,
        "changes": difference("" if before is None else before.text, version.text),
        "is_in_force": version.id == latest.id,
        "mark": await _mark(request),
    }
    return render("version.html", request, values)


async def _again(request: web.Request) -> web.Response:
    """Put a version in force again."""
    number = int(request.match_info["number"])
    version = await request.app[LEDGER].ask(lambda reader: reader.rules.version(number))
    try:
        await put_in_force(request, version.text, request.query.get("mark", ""))
    except ActionRefused:
        await record(request, "rules not put in force", f"version {number}")
        raise
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/rules/versions"})


async def _mark(request: web.Request) -> str:
    standing = await asyncio.to_thread(request.app[CONTEXT].rules.standing)
    return standing.mark
