"""Reads which rules were in force, and what series they matched."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.errors import NotInLedger
from rules.texts import RuleText

_LATELY = 1000  # series, over which the matches of rules are counted

# Every start of the daemon records the rules again: those are no other version.
_VERSIONS = """
SELECT id, at, rules, texts FROM (
    SELECT id, at, rules, texts, lag(texts) OVER (ORDER BY id) AS texts_before
    FROM rule_loads WHERE problem IS NULL
) WHERE texts_before IS NOT texts
"""
_LATEST = """
SELECT id, revision FROM series WHERE closed_at IS NOT NULL ORDER BY closed_at DESC LIMIT ?
"""
_MATCHED = f"""
SELECT json_extract(reason.value, '$.rule')
FROM ({_LATEST}) AS latest
JOIN decisions ON series_id = latest.id AND decisions.revision = latest.revision,
    json_each(reasons) AS reason
WHERE json_extract(reason.value, '$.verdict') = 'yes'
"""


@dataclass(frozen=True)
class RuleVersion:
    """Rules that came into force: when, how many, and the files they were written in."""

    id: int
    at: str
    rules: int
    texts: tuple[RuleText, ...]

    @property
    def text(self) -> str:
        """All files as one text."""
        return one_text(self.texts)


@dataclass(frozen=True)
class Matches:
    """How many of the latest series each rule matched, by its name."""

    series: int = 0
    by_rule: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RuleLoad:
    """The latest attempt to load rules; `problem` says why they were not taken."""

    id: int
    problem: str | None


class RuleReader:
    """What the ledger knows of rules."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def in_force(self) -> RuleVersion | None:
        """The rules in force, as they were read last; None while none are."""
        row = self._connection.execute(
            "SELECT id, at, rules, texts FROM rule_loads WHERE problem IS NULL"
            " ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return None if row is None else _version(*row)

    def versions(self, limit: int = 50) -> tuple[RuleVersion, ...]:
        """The rules that came into force, the latest first; the first is in force."""
        return self._versions("ORDER BY id DESC LIMIT ?", [limit])

    def version(self, number: int) -> RuleVersion:
        """One of `versions`.

        Raises
        ------
        NotInLedger
            There is none of this number.
        """
        for found in self._versions("AND id = ?", [number]):
            return found
        raise NotInLedger(f"no version {number} of the rules")

    def before(self, number: int) -> RuleVersion | None:
        """The version that was in force before another."""
        found = self._versions("AND id < ? ORDER BY id DESC LIMIT 1", [number])
        return found[0] if found else None

    def latest_load(self) -> RuleLoad:
        """The latest attempt to load rules, whether they were taken or not.

        Raises
        ------
        NotInLedger
            There was none.
        """
        row = self._connection.execute(
            "SELECT id, problem FROM rule_loads ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if row is None:
            raise NotInLedger("no rules were loaded")
        return RuleLoad(*row)

    def matches(self) -> Matches:
        """How many of the series that closed last each rule matched."""
        counted = f"SELECT count(*) FROM ({_LATEST})"
        (series,) = self._connection.execute(counted, [_LATELY]).fetchone()
        found = self._connection.execute(_MATCHED, [_LATELY])
        return Matches(series, Counter(rule for (rule,) in found))

    def _versions(self, which: str, values: Sequence[Any]) -> tuple[RuleVersion, ...]:
        rows = self._connection.execute(f"{_VERSIONS} {which}", values)
        return tuple(_version(*row) for row in rows)


def _version(number: int, at: str, rules: int, texts: str) -> RuleVersion:
    return RuleVersion(number, at, rules, tuple(RuleText(*text) for text in json.loads(texts)))


def one_text(texts: Iterable[RuleText]) -> str:
    r"""The rules of several files, as they stand in one.

    >>> one_text([RuleText("a.toml", "# A"), RuleText("b.toml", "# B\n")])
    '# A\n# B\n'
    """
    return "".join(text if text.endswith("\n") or not text else f"{text}\n" for _, text in texts)
