"""What the page asks about rules, and what it is told."""

from dataclasses import dataclass
from typing import Protocol

from rules.model import RuleReason
from web_status.errors import ActionRefused


class RulesChanged(ActionRefused):
    """Other rules have come into force, or into their file, since a draft was begun."""


@dataclass(frozen=True)
class Standing:
    """The rules as they stand now.

    Attributes
    ----------
    text
        Those in force, as one text.
    file_text
        What their file says, where that is something else: it was changed and not read again,
        or it was refused; empty where it cannot be read.
    mark
        Different whenever the rules in force or their file have changed.
    place
        The file that is written when a draft is put in force.
    obstacle
        Why no draft can be put in force here, and what to do; empty where one can.
    """

    text: str
    file_text: str | None
    mark: str
    place: str
    obstacle: str = ""


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a draft: the line, from 1, where it can be told, rule and key."""

    line: int | None
    rule: str
    key: str
    problem: str


@dataclass(frozen=True)
class SaidRule:
    """What one rule says of a series; `note` is why it was not asked, where it was not."""

    reason: RuleReason
    note: str


@dataclass(frozen=True)
class Told:
    """What comes of a series by some rules, and what each says."""

    outcome: str
    summary: str
    rules: tuple[SaidRule, ...]


@dataclass(frozen=True)
class Trial:
    """One series, by the draft and by the rules in force."""

    series: int
    name: str
    draft: Told
    in_force: Told


@dataclass(frozen=True)
class Differing:
    """A series that a draft would have decided otherwise."""

    series: int
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """The series that a draft changes in one way: `drop`, `hold`, `keep`, `process`, `same`
    (the same outcome otherwise come to), `wait`, or `unread` (their instances are gone).

    `count` is all of them, `series` the first.
    """

    kind: str
    count: int
    series: tuple[Differing, ...]


@dataclass(frozen=True)
class Replay:
    """What a draft would have changed.

    Attributes
    ----------
    days
        How far back it looked.
    looked_at, of
        How many series it looked at, the latest first, and how many there are.
    unchanged
        Of how many the draft says what was decided.
    """

    days: int
    looked_at: int
    of: int
    unchanged: int
    changes: tuple[Change, ...]


class RuleDesk(Protocol):
    """What the daemon does about rules for the page.

    Raises
    ------
    ActionRefused
        It cannot be done; the message says why.
    """

    def standing(self) -> Standing:
        """The rules as they stand now."""

    def flaw(self, text: str) -> Flaw | None:
        """What is wrong with a draft; None where it could be put in force."""

    def try_on(self, text: str, series: int) -> Trial:
        """What a draft and the rules in force say of a series that is closed."""

    def replay(self, text: str, days: int) -> Replay:
        """What a draft would have changed for the series that closed lately."""

    def put_in_force(self, text: str, mark: str) -> int:
        """Put rules in force; return the number of the version.

        Raises
        ------
        RulesChanged
            `mark` is not that of the rules as they stand.
        """
