"""The rules that were in force before: whose they were, what they changed, and the way back."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from ledger.errors import NoLedger, NotInLedger
from ledger.rule_reader import RuleVersion
from web_status import rule_deeds
from web_status.access import DOOR, render
from web_status.diffs import DiffLine, difference
from web_status.languages import msgid
from web_status.ledger_thread import LEDGER
from web_status.rule_deeds import PUT_IN_FORCE


@dataclass(frozen=True)
class ShownVersion:
    """A version; `by` is who put it in force on the page, None where it came otherwise."""

    version: RuleVersion
    by: str | None


@dataclass(frozen=True)
class ChangedVersion:
    """A version with what it changed of the one before."""

    version: RuleVersion
    changes: tuple[DiffLine, ...]
    is_in_force: bool


def add_rule_versions(app: web.Application) -> None:
    """Add the routes."""
    number = r"{number:\d{1,18}}"
    app.router.add_get("/rules/versions", _list)
    app.router.add_get(f"/rules/versions/{number}", _one)
    app.router.add_post(f"/rules/versions/{number}/force", _again)


async def versions_of(request: web.Request) -> tuple[ShownVersion, ...]:
    """The latest versions, the one in force first."""
    try:
        found = await request.app[LEDGER].ask(lambda reader: reader.rules.versions())
    except NoLedger:
        found = ()
    by = await asyncio.to_thread(request.app[DOOR].audit.users_of, PUT_IN_FORCE)
    return tuple(ShownVersion(one, by.get(f"version {one.id}")) for one in found)


async def version_of(request: web.Request) -> ChangedVersion:
    """The version whose number is in the address.

    Raises
    ------
    NotInLedger
        There is none.
    """
    number = int(request.match_info["number"])
    try:
        version, before, latest = await request.app[LEDGER].ask(
            lambda reader: (
                reader.rules.version(number),
                reader.rules.before(number),
                reader.rules.versions(limit=1)[0],
            )
        )
    except NoLedger:
        raise NotInLedger(f"no version {number} of the rules") from None
    changes = difference("" if before is None else before.text, version.text)
    return ChangedVersion(version, changes, version.id == latest.id)


async def _list(request: web.Request) -> web.Response:
    versions, mark = await versions_of(request), await _mark(request)
    values = {"title": msgid("Versions of the rules"), "versions": versions, "mark": mark}
    return render("versions.html", request, values)


async def _one(request: web.Request) -> web.Response:
    """What a version changed."""
    found = await version_of(request)
    values = {
        "title": msgid("Version of the rules"),
        "version": found.version,
        "changes": found.changes,
        "is_in_force": found.is_in_force,
        "mark": await _mark(request),
    }
    return render("version.html", request, values)


async def _again(request: web.Request) -> web.Response:
    """Put a version in force again."""
    number = int(request.match_info["number"])
    await rule_deeds.force_version(request, number, request.query.get("mark", ""))
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/rules/versions"})


async def _mark(request: web.Request) -> str:
    return (await rule_deeds.standing_of(request)).mark
