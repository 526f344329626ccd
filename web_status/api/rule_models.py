"""What programs are told of rules, and ask about them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from web_status.api.models import Answer, Asked
from web_status.api.node import RuleLoad
from web_status.api.series import Condition
from web_status.rule_deeds import TEXT_BYTES_MAX

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
