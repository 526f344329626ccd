"""The rules for programs: those in force, a draft of others, and those that were before.

A request about a draft has all of it, as on the page, and it is kept before anything is done.
"""

from collections.abc import Mapping

from aiohttp import web

from web_status import drafts, rule_deeds, rule_desk
from web_status.access import is_veiled
from web_status.api.operation import NUMBER, Operation
from web_status.api.reading import ask_or, number_of
from web_status.api.rule_models import (
    Draft,
    DraftAsked,
    Forced,
    MarkAsked,
    Replay,
    ReplayAsked,
    Rule,
    Rules,
    SaidRule,
    Told,
    Trial,
    TryAsked,
    Version,
    VersionInFull,
    Versions,
)
from web_status.rule_deeds import Checked
from web_status.rule_versions import ShownVersion, version_of, versions_of
from web_status.rules_in_force import InForce, rules_in_force
from web_status.veil import HIDDEN


async def get_rules(request: web.Request) -> Rules:
    """The rules in force, and how many of the latest series each matched."""
    found = await ask_or(request, rules_in_force, InForce())
    items = tuple(
        Rule(
            name=one.name,
            enabled=one.rule.enabled,
            toml=one.toml,
            matched=found.matches.by_rule.get(one.name, 0),
        )
        for one in found.shown.rules
    )
    return Rules.model_validate(
        {
            "loaded": found.state.in_force,
            "failed": _failed(request, found),
            "items": items,
            "is_readable": found.shown.is_readable,
            "series": found.matches.series,
        }
    )


async def get_draft(request: web.Request) -> Draft:
    """The draft of who asks; where there is none, the rules in force, to begin with."""
    return _draft(await rule_deeds.check(request, await rule_deeds.draft_of(request)))


async def write_draft(request: web.Request, asked: DraftAsked) -> Draft:
    """Keep and check a draft; what is in force already is none."""
    return _draft(await rule_deeds.check(request, await _kept(request, asked)))


async def begin_draft_with_file(request: web.Request) -> Draft:
    """Begin the draft again with what the file of the rules says."""
    return _draft(await rule_deeds.check(request, await rule_deeds.begin_with_file(request)))


async def discard_draft(request: web.Request) -> None:
    """Throw the draft away."""
    await rule_deeds.discard(request)


async def try_draft(request: web.Request, asked: TryAsked) -> Trial:
    """Say what a draft and the rules in force make of a series; nothing is done."""
    draft = await _kept(request, asked)
    found = await rule_deeds.try_on(request, draft.text, asked.series)
    told = {"draft": _told(found.draft), "in_force": _told(found.in_force)}
    return Trial.model_validate({**vars(found), **told})


async def replay_draft(request: web.Request, asked: ReplayAsked) -> Replay:
    """Say what a draft would have changed for the series of some days; nothing is done."""
    draft = await _kept(request, asked)
    return Replay.model_validate(await rule_deeds.replay(request, draft.text, asked.days))


async def force_draft(request: web.Request, asked: DraftAsked) -> Forced:
    """Put a draft in force; refused where the rules have another mark by now."""
    draft = await _kept(request, asked)
    return Forced(number=await rule_deeds.force_draft(request, draft))


async def list_versions(request: web.Request) -> Versions:
    """The rules that were in force."""
    versions = await versions_of(request)
    standing = await rule_deeds.standing_of(request)
    items = tuple(_version(one, is_in_force=number == 0) for number, one in enumerate(versions))
    return Versions(items=items, mark=standing.mark)


async def get_version(request: web.Request) -> VersionInFull:
    """One version with its text, and what it changed."""
    found = await version_of(request)
    version = found.version
    return VersionInFull.model_validate(
        {
            **vars(version),
            "text": version.text,
            "changes": found.changes,
            "is_in_force": found.is_in_force,
        }
    )


async def force_version(request: web.Request, asked: MarkAsked) -> Forced:
    """Put a version in force again; refused where the rules have another mark by now."""
    return Forced(number=await rule_deeds.force_version(request, number_of(request), asked.mark))


async def _kept(request: web.Request, asked: DraftAsked) -> drafts.Draft:
    return await rule_deeds.keep(request, asked.text, asked.mark)


def _failed(request: web.Request, found: InForce) -> Mapping[str, object] | None:
    """A later attempt that failed; why, it says in values that rules have, which may be names."""
    failed = found.state.failed
    if failed is None:
        return None
    return {**vars(failed), "problem": HIDDEN if is_veiled(request) else failed.problem}


def _draft(checked: Checked) -> Draft:
    return Draft.model_validate(
        {
            "text": checked.draft.text,
            "mark": checked.draft.mark,
            "is_stale": checked.is_stale,
            "may_force": checked.may_force,
            "flaw": checked.flaw,
            "changes": checked.changes,
            "standing": checked.standing,
        }
    )


def _told(told: rule_desk.Told) -> Told:
    rules = [SaidRule.model_validate({**vars(one.reason), "note": one.note}) for one in told.rules]
    return Told(outcome=told.outcome, summary=told.summary, rules=tuple(rules))


def _version(shown: ShownVersion, *, is_in_force: bool) -> Version:
    return Version.model_validate(
        {**vars(shown.version), "by": shown.by, "is_in_force": is_in_force}
    )


OPERATIONS = (
    Operation("GET", "/rules", get_rules, Rules),
    Operation("GET", "/rules/draft", get_draft, Draft, refuses=(409,)),
    Operation("POST", "/rules/draft", write_draft, Draft, DraftAsked),
    Operation("POST", "/rules/draft/discard", discard_draft),
    Operation("POST", "/rules/draft/file", begin_draft_with_file, Draft),
    Operation("POST", "/rules/draft/try", try_draft, Trial, TryAsked),
    Operation("POST", "/rules/draft/replay", replay_draft, Replay, ReplayAsked),
    Operation("POST", "/rules/force", force_draft, Forced, DraftAsked),
    Operation("GET", "/rules/versions", list_versions, Versions, refuses=(409,)),
    Operation("GET", f"/rules/versions/{NUMBER}", get_version, VersionInFull),
    Operation("POST", f"/rules/versions/{NUMBER}/force", force_version, Forced, MarkAsked),
)
