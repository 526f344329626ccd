"""Reads TOML rules into frozen objects. It judges nothing and touches no series.

Processors belong to a later stage, so their names and the checks of their options are
passed in.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import tag_for_keyword

from listener.series import GRADES
from rules.conditions import All, Any, Leaf, Not, Test
from rules.errors import RuleError
from rules.keep import Keep
from rules.model import Condition, Rule, Step

OptionsCheck = Callable[[Mapping[str, object]], None]
"""Raises ValueError with what is wrong with the options of a processor."""

DEFAULT_RULES = Path(__file__).with_name("default.toml")

FACTS = (
    *("instances", "instances_expected", "instances_missing", "header_findings"),
    *("grade", "calling_ae", "called_ae"),
)
_COMBINATIONS = ("any", "all", "not")
_OPERANDS: Mapping[str, tuple[type, ...]] = {
    "equals": (str, int, float, list),
    "in": (list,),
    "contains": (str, int, float),
    "regex": (str,),
    "min": (int, float),
    "max": (int, float),
    "at_least": (str,),
}


def load_rules(path: Path, processors: Mapping[str, OptionsCheck]) -> tuple[Rule, ...]:
    """Read the rules of one TOML file.

    Raises
    ------
    RuleError
        Names file, rule and key, and what was expected there.
    OSError
        The file cannot be read.
    """
    return parse_rules(path.read_text(encoding="utf-8"), processors, source=path.name)


def parse_rules(
    text: str, processors: Mapping[str, OptionsCheck], *, source: str
) -> tuple[Rule, ...]:
    """Read rules from TOML `text`; `source` names it in errors."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(source, "(file)", "TOML", str(error)) from error
    tables = document.pop("rule", [])
    reader = _Reader(source, "(file)", processors)
    reader.only(document, ("rule",), "")
    rules = tuple(
        _Reader(source, str(table.get("name", f"number {number}")), processors).rule(table)
        for number, table in enumerate(tables, start=1)
    )
    _require_unique(source, [rule.name for rule in rules])
    return rules


def _require_unique(source: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise RuleError(source, name, "name", "another rule has this name already")


@dataclass(frozen=True)
class _Reader:
    """Reads one rule; knows where it is, so that every error can say so."""

    source: str
    name: str
    processors: Mapping[str, OptionsCheck]

    def fail(self, key: str, problem: str) -> RuleError:
        return RuleError(self.source, self.name, key, problem)

    def only(self, table: Mapping[str, object], allowed: Sequence[str], where: str) -> None:
        for key in table:
            if key not in allowed:
                raise self.fail(f"{where}{key}", f"unknown key{_suggestion(key, allowed)}")

    def table(self, value: object, key: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self.fail(key, f"expected a table, got {value!r}")
        return value

    def rule(self, table: Mapping[str, object]) -> Rule:
        self.only(table, ("name", "match", "run", "then", "keep"), "")
        if not isinstance(table.get("name"), str):
            raise self.fail("name", "a rule needs a name")
        match = self.match(self.table(table.get("match", {}), "match"), "match")
        steps = self.steps(self.table(table.get("run", {}), "run"))
        drop = self.drop(self.table(table.get("then", {}), "then"))
        if bool(steps) == bool(drop):
            raise self.fail("run", "a rule needs either [rule.run] or [rule.then] drop")
        if drop and "keep" in table:
            raise self.fail("keep", "what a rule drops is always kept")
        keep = self.keep(self.table(table.get("keep", {}), "keep"))
        return Rule(self.name, match, steps, drop, keep=keep)

    def keep(self, table: Mapping[str, object]) -> Keep:
        try:
            return Keep.parse(table)
        except ValueError as error:
            key, _, problem = str(error).partition(": ")
            raise self.fail(f"keep.{key}", problem) from error

    def drop(self, table: Mapping[str, object]) -> str | None:
        self.only(table, ("drop",), "then.")
        reason = table.get("drop")
        if reason is not None and not (isinstance(reason, str) and reason.strip()):
            raise self.fail("then.drop", f"expected the reason as text, got {reason!r}")
        return reason

    def steps(self, table: Mapping[str, object]) -> tuple[Step, ...]:
        return tuple(self.step(name, options) for name, options in table.items())

    def step(self, name: str, options: object) -> Step:
        if name not in self.processors:
            suggestion = _suggestion(name, tuple(self.processors))
            raise self.fail(f"run.{name}", f"unknown processor{suggestion}")
        table = self.table(options, f"run.{name}")
        try:
            self.processors[name](table)
        except ValueError as error:
            raise self.fail(f"run.{name}", str(error)) from error
        return Step(name, dict(table))

    def match(self, table: Mapping[str, object], where: str) -> Condition:
        return All(tuple(self.condition(key, value, where) for key, value in table.items()))

    def condition(self, key: str, value: object, where: str) -> Condition:
        here = f"{where}.{key}"
        if key == "not":
            return Not(self.match(self.table(value, here), here))
        if key in ("any", "all"):
            if not isinstance(value, list):
                raise self.fail(here, f"expected a list of tables, got {value!r}")
            parts = tuple(self.match(self.table(part, here), here) for part in value)
            return Any(parts) if key == "any" else All(parts)
        return self.leaf(key, value, here)

    def leaf(self, name: str, value: object, here: str) -> Leaf:
        is_fact = name in FACTS
        if not is_fact and tag_for_keyword(name) is None:
            known = (*FACTS, *_COMBINATIONS)
            raise self.fail(
                here, f"neither a DICOM keyword nor a fact{_keyword_suggestion(name, known)}"
            )
        table = dict(value) if isinstance(value, dict) else {"equals": value}
        present = self.flag(table, "present", here)
        if_absent = self.flag(table, "if_absent", here)
        tests = tuple(self.test(name, op, operand, here) for op, operand in table.items())
        if not tests and present is None:
            raise self.fail(here, f"expected a value or one of {', '.join(_OPERANDS)}, present")
        return Leaf(name, is_fact, tests, present, if_absent)

    def flag(self, table: dict[str, object], key: str, here: str) -> bool | None:
        value = table.pop(key, None)
        if value is not None and not isinstance(value, bool):
            raise self.fail(f"{here}.{key}", f"expected true or false, got {value!r}")
        return value

    def test(self, name: str, operator: str, operand: object, here: str) -> Test:
        where = f"{here}.{operator}"
        allowed = tuple(op for op in _OPERANDS if (op == "at_least") <= (name == "grade"))
        if operator not in allowed:
            expected = (*allowed, "present", "if_absent")
            raise self.fail(where, f"unknown operator{_suggestion(operator, expected)}")
        if isinstance(operand, bool) or not isinstance(operand, _OPERANDS[operator]):
            expected_types = " or ".join(_TYPE_NAMES[kind] for kind in _OPERANDS[operator])
            raise self.fail(where, f"expected {expected_types}, got {operand!r}")
        if operator == "regex":
            self.regex(str(operand), where)
        if operator == "at_least" and operand not in GRADES:
            raise self.fail(where, f"expected one of {', '.join(GRADES)}, got {operand!r}")
        return Test(operator, operand)

    def regex(self, pattern: str, where: str) -> None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise self.fail(where, f"not a regular expression: {error}") from error


_TYPE_NAMES: Mapping[type, str] = {str: "text", int: "a number", float: "a number", list: "a list"}


def _suggestion(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else f"; expected one of {', '.join(known)}"


def _keyword_suggestion(word: str, facts: Sequence[str]) -> str:
    from pydicom._dicom_dict import DicomDictionary  # noqa: PLC0415 - only for an error's hint

    keywords = [entry[4] for entry in DicomDictionary.values() if entry[4]]
    close = difflib.get_close_matches(word, [*facts, *keywords], n=1)
    return f" (did you mean {close[0]}?)" if close else ""
