"""Which series a person wants processed, as rules: the same before a transfer and after it."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit

from processor.registry import KINDS
from rules.decide import decide
from rules.model import Rule, SeriesFacts
from rules.parse import DEFAULT_RULES, parse_rules
from rules.texts import RuleText

Table = dict[str, Any]

_DERIVED = "Derived series"


@dataclass(frozen=True)
class Selection:
    """Leaves series out.

    Attributes
    ----------
    modalities : tuple of str
        All others are left out; empty for none.
    minimum_instances : int
        A series of fewer is left out, unless it holds a multi-frame object.
    derived : bool
        Whether derived series are wanted; False asks the rule of that name of the rules that
        ship with Safelight.
    """

    modalities: tuple[str, ...] = ()
    minimum_instances: int = 1
    derived: bool = True

    def rules(self) -> tuple[Rule, ...]:
        """The rules for series that are here."""
        return _read([*self._tables(), *self._few()])

    def text_before_transfer(self) -> str:
        """The rules for series that a PACS lists, in TOML; empty where there is none.

        It does not tell frames, so that a count of instances proves nothing.
        """
        tables = self._tables()
        return tomlkit.dumps({"rule": tables}) if tables else ""

    def _tables(self) -> list[Table]:
        tables: list[Table] = []
        if self.modalities:
            wanted = {"not": {"Modality": {"in": list(self.modalities)}}}
            drop = f"its modality is none of {', '.join(self.modalities)}"
            tables.append({"name": "Modalities", "match": wanted, "then": {"drop": drop}})
        if not self.derived:
            tables.append(_shipped(_DERIVED))
        return tables

    def _few(self) -> list[Table]:
        if self.minimum_instances < 2:
            return []
        few = {
            "instances": {"max": self.minimum_instances - 1},
            "not": {"NumberOfFrames": {"min": 2, "if_absent": False}},
        }
        drop = f"fewer than {self.minimum_instances} instances"
        return [{"name": "Instances", "match": few, "then": {"drop": drop}}]


def left_out(seen: SeriesFacts, rules: Sequence[Rule]) -> str:
    """The rule that leaves a series out, with the reason; empty where none does."""
    decision = decide(seen, rules)
    return decision.summary if decision.outcome in ("drop", "hold") else ""


def _read(tables: Sequence[Table]) -> tuple[Rule, ...]:
    if not tables:
        return ()
    return parse_rules([RuleText("selection", tomlkit.dumps({"rule": tables}))], KINDS)


def _shipped(name: str) -> Table:
    """A rule that ships with Safelight, enabled."""
    document = tomllib.loads(DEFAULT_RULES.read_text(encoding="utf-8"))
    (table,) = (rule for rule in document["rule"] if rule["name"] == name)
    return {**table, "enabled": True}
