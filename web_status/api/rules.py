"""The rules for programs: those in force, a draft of others, and those that were before.

A request about a draft has all of it, as on the page, and it is kept before anything is done.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AfterValidator, Field

from web_status import drafts, rule_deeds, rule_desk
from web_status.access import is_veiled
from web_status.api.models import Answer, Asked
from web_status.api.node import RuleLoad
from web_status.api.operation import NUMBER, Operation
from web_status.api.reading import ask_or, number_of
from web_status.api.series import Condition
from web_status.rule_deeds import TEXT_BYTES_MAX, Checked
from web_status.rule_versions import ShownVersion, version_of, versions_of
from web_status.rules_in_force import InForce, rules_in_force
from web_status.veil import HIDDEN

_Days = Literal[1, 7, 30, 365]


def _short(text: str) -> str:
    if len(text.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
        raise ValueError(f"expected at most {TEXT_BYTES_MAX} bytes")
    return text


class Rule(Answer):
    """A rule in force."""

    name: str
    enabled: bool
    toml: str
    """How it is written; values about people are hidden where names of patients are."""
    matched: int
    """How many of the latest series."""


class Rules(Answer):
    """The rules in force, in their order."""

    loaded: RuleLoad | None
    failed: RuleLoad | None
    """A later attempt to load others that failed."""
    items: tuple[Rule, ...]
    is_readable: bool
    """Whether this release can read them."""
    series: int
    """Of how many of the latest series it was counted which rules matched."""


class Flaw(Answer):
    """What is wrong with a draft."""

    line: int | None
    """From 1, where it can be told."""
    rule: str
    key: str
    problem: str


class Line(Answer):
    """A line of a unified difference, with its sign."""

    kind: Literal["same", "added", "removed", "place"]
    text: str


class Standing(Answer):
    """The rules as they stand."""

    text: str
    """Those in force, as one text."""
    file_text: str | None
    """What their file says, where that is something else."""
    mark: str
    """Different whenever the rules in force or their file have changed."""
    place: str
    """The file that is written when a draft is put in force."""
    obstacle: str
    """Why no draft can be put in force here; empty where one can."""


class Draft(Answer):
    """A draft: what is wrong with it, and what it changes of the rules in force."""

    text: str
    mark: str
    """Of the rules that it was begun from."""
    is_stale: bool
    """Whether others have changed the rules since: look what, then send it with their mark."""
    may_force: bool
    """Whether it could be put in force now."""
    flaw: Flaw | None
    changes: tuple[Line, ...]
    standing: Standing


class DraftAsked(Asked):
    """A draft."""

    text: Annotated[str, AfterValidator(_short)]
    """All rules, as TOML."""
    mark: Annotated[str, Field(max_length=100)]
    """Of the rules that it was begun from, as a draft that was answered has it."""


class TryAsked(DraftAsked):
    """A draft, and the series to try it on."""

    series: Annotated[int, Field(ge=0, lt=10**18)]


class ReplayAsked(DraftAsked):
    """A draft, and how far back its replay looks."""

    days: _Days = 7


class MarkAsked(Asked):
    """The mark of the rules that are replaced."""

    mark: Annotated[str, Field(max_length=100)]


class SaidRule(Answer):
    """What one rule says of a series."""

    rule: str
    verdict: str
    conditions: tuple[Condition, ...]
    note: str
    """Why it was not asked, where it was not."""


class Told(Answer):
    """What comes of a series."""

    outcome: str
    summary: str
    rules: tuple[SaidRule, ...]


class Trial(Answer):
    """One series, by the draft and by the rules in force."""

    series: int
    name: str
    draft: Told
    in_force: Told


class Differing(Answer):
    """A series that a draft would have decided otherwise."""

    series: int
    name: str
    before: str
    after: str


class Change(Answer):
    """The series that a draft changes in one way, the first of them by number."""

    kind: str
    count: int
    series: tuple[Differing, ...]


class Replay(Answer):
    """What a draft would have changed."""

    days: int
    looked_at: int
    """How many series, the latest first."""
    of: int
    """How many there are."""
    unchanged: int
    changes: tuple[Change, ...]


class Forced(Answer):
    """The version that is in force now."""

    number: int


class Version(Answer):
    """Rules that were in force."""

    id: int
    at: str
    rules: int
    by: str | None
    """Who put them in force here; null where they came from their file."""
    is_in_force: bool


class Versions(Answer):
    """The latest fifty versions, the one in force first."""

    items: tuple[Version, ...]
    mark: str
    """Of the rules as they stand, to put another version in force."""


class VersionInFull(Answer):
    """Rules that were in force, and what they changed of those before."""

    id: int
    at: str
    rules: int
    is_in_force: bool
    text: str
    changes: tuple[Line, ...]


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
