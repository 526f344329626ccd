"""Reads TOML rules into frozen objects. It judges nothing and touches no series.

Processors belong to a later stage, so what rules must know of them is passed in.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rules.destination import Destination, parse_destination
from rules.errors import RuleError
from rules.keep import Keep
from rules.match import MatchReader, suggestion
from rules.model import Condition, Ending, ProcessorKind, Rule, Step
from rules.notify import Notify
from rules.texts import RuleText
from rules.window import Window

DEFAULT_RULES = Path(__file__).with_name("default.toml")

Processors = Mapping[str, ProcessorKind]

_WORK_KEYS = ("deliver", "keep", "priority", "window", "notify")
RULE_KEYS = ("name", "enabled", "match", "run", "then", *_WORK_KEYS)
_ENDINGS = ("drop", "hold", "keep")
_PRIORITIES = range(-100, 101)
_DEPTH_MAX = 40
_TOO_DEEP = f"expected tables and lists at most {_DEPTH_MAX} deep"


def parse_rules(texts: Sequence[RuleText], processors: Processors) -> tuple[Rule, ...]:
    """Read rules from TOML texts, in their order; those not enabled too.

    Raises
    ------
    RuleError
        Names file, rule and key, and what was expected there.
    """
    rules: list[Rule] = []
    for source, text in texts:
        for number, table in enumerate(_tables(source, text), start=1):
            name = str(table.get("name", f"number {number}"))
            rules.append(_Reader(source, name, processors, tuple(rules)).rule(table))
    return tuple(rules)


def _tables(source: str, text: str) -> Sequence[Mapping[str, object]]:
    """The ``[[rule]]`` tables of one text."""
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of more digits than Python reads
        raise RuleError(source, "(file)", "TOML", str(error)) from error
    except RecursionError as error:
        raise RuleError(source, "(file)", "TOML", _TOO_DEEP) from error
    if _is_deeper(document, _DEPTH_MAX):
        raise RuleError(source, "(file)", "TOML", _TOO_DEEP)
    tables = document.pop("rule", [])
    for key in document:
        raise RuleError(source, "(file)", key, f"unknown key{suggestion(key, ('rule',))}")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RuleError(source, "(file)", "rule", "expected tables: write [[rule]], twice the [")
    return tables


def _is_deeper(value: object, depth: int) -> bool:
    """Whether tables and lists are in each other more than `depth` times."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deeper(part, depth - 1) for part in parts)


def parse_when(table: Mapping[str, object], findings: Sequence[str]) -> Condition:
    """Read the `when` of a step, which was read with its rule before.

    Raises
    ------
    ValueError
        It asks for something that is not among `findings`.
    """
    reader = MatchReader(
        findings, lambda key, text: ValueError(f"{key}: {text}"), only_findings=True
    )
    return reader.match(table, "when")


@dataclass(frozen=True)
class _Reader:
    """Reads one rule; knows where it is, so that every error can say so."""

    source: str
    name: str
    processors: Processors
    above: tuple[Rule, ...]

    def fail(self, key: str, problem: str) -> RuleError:
        return RuleError(self.source, self.name, key, problem)

    def only(self, table: Mapping[str, object], allowed: Sequence[str], where: str = "") -> None:
        for key in table:
            if key not in allowed:
                raise self.fail(f"{where}{key}", f"unknown key{suggestion(key, allowed)}")

    def table(self, of: Mapping[str, object], key: str, where: str = "") -> Mapping[str, object]:
        value = of.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(f"{where}{key}", f"expected a table, got {value!r}")
        return value

    def rule(self, table: Mapping[str, object]) -> Rule:
        self.only(table, RULE_KEYS)
        self.require_name(table)
        match = self.match(self.table(table, "match"))
        steps = self.steps(self.table(table, "run"))
        ending = self.ending(self.table(table, "then"))
        if bool(steps) == bool(ending):
            raise self.fail("run", "a rule needs either [rule.run] or [rule.then] drop, hold, keep")
        for key in _WORK_KEYS:
            if ending and key in table:
                raise self.fail(key, "a rule with [rule.then] runs nothing, so this says nothing")
        return Rule(
            self.name,
            match,
            steps,
            ending,
            destination=self.destination(self.table(table, "deliver")),
            priority=self.priority(table.get("priority", 0)),
            window=self.window(table.get("window")),
            enabled=self.enabled(table.get("enabled", True)),
            keep=self.keep(self.table(table, "keep")),
            notify=self.notify(table.get("notify")),
        )

    def require_name(self, table: Mapping[str, object]) -> None:
        if not (isinstance(table.get("name"), str) and self.name.strip()):
            raise self.fail("name", "a rule needs a name")
        if any(rule.name == self.name for rule in self.above):
            raise self.fail("name", "another rule has this name already")

    def keep(self, table: Mapping[str, object]) -> Keep:
        try:
            return Keep.parse(table)
        except ValueError as error:
            key, _, problem = str(error).partition(": ")
            raise self.fail(f"keep.{key}", problem) from error

    def notify(self, value: object) -> Notify:
        try:
            return Notify() if value is None else Notify.parse(value)
        except ValueError as error:
            raise self.fail("notify", str(error)) from error

    def enabled(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise self.fail("enabled", f"expected true or false, got {value!r}")
        return value

    def priority(self, value: object) -> int:
        if type(value) is not int or value not in _PRIORITIES:
            span = f"{_PRIORITIES[0]} to {_PRIORITIES[-1]}"
            raise self.fail("priority", f"expected a whole number from {span}, got {value!r}")
        return value

    def window(self, value: object) -> Window | None:
        if value is None:
            return None
        try:
            return Window.parse(str(value))
        except ValueError as error:
            raise self.fail("window", str(error)) from error

    def destination(self, table: Mapping[str, object]) -> Destination | None:
        self.only(table, ("to",), "deliver.")
        if "to" not in table:
            return None
        if not isinstance(table["to"], str):
            raise self.fail("deliver.to", f"expected text, got {table['to']!r}")
        try:
            return parse_destination(table["to"])
        except ValueError as error:
            raise self.fail("deliver.to", str(error)) from error

    def ending(self, table: Mapping[str, object]) -> Ending | None:
        self.only(table, _ENDINGS, "then.")
        if len(table) > 1:
            raise self.fail("then", f"expected one of {', '.join(_ENDINGS)}")
        for outcome in _ENDINGS:
            reason = table.get(outcome)
            if isinstance(reason, str) and reason.strip():
                return Ending(outcome, reason)  # type: ignore[arg-type]  # one of _ENDINGS
            if outcome in table:
                raise self.fail(f"then.{outcome}", f"expected the reason as text, got {reason!r}")
        return None

    def match(self, table: Mapping[str, object]) -> Condition:
        every = tuple(self.findings(self.processors))
        condition = MatchReader(every, self.fail).match(table, "match")
        above = (step.processor for rule in self.above if rule.enabled for step in rule.steps)
        found = set(self.findings(above))
        for name, kind in condition.names():
            if kind == "finding" and name not in found:
                raise self.fail(f"match.{name}", f"no rule above runs {self.finder(name)}")
        return condition

    def findings(self, names: Iterable[str]) -> Iterable[str]:
        return chain.from_iterable(self.processors[name].findings for name in names)

    def finder(self, finding: str) -> str:
        finders = (name for name, kind in self.processors.items() if finding in kind.findings)
        return f"{' or '.join(finders)}, which finds it"

    def steps(self, table: Mapping[str, object]) -> tuple[Step, ...]:
        before: list[str] = []
        steps = []
        for name, options in table.items():
            steps.append(self.step(name, options, before))
            before.append(name)
        for name in before:
            if self.processors[name].is_alone and len(before) > 1:
                raise self.fail(f"run.{name}", "is tried again by itself: give it its own rule")
        for place, name in enumerate(before):
            for used in self.processors[name].uses:
                if used in before[place:]:
                    raise self.fail(f"run.{name}", f"uses what {used} makes: write it below {used}")
        return tuple(steps)

    def step(self, name: str, options: object, before: Sequence[str]) -> Step:
        here = f"run.{name}"
        if name not in self.processors:
            raise self.fail(here, f"unknown processor{suggestion(name, tuple(self.processors))}")
        table = dict(self.table({name: options}, name, "run."))
        when = self.table(table, "when", f"{here}.") if "when" in table else None
        table.pop("when", None)
        try:
            self.processors[name].check_options(table)
        except ValueError as error:
            raise self.fail(here, str(error)) from error
        if when is not None:
            known = tuple(self.findings(before))
            MatchReader(known, self.fail, only_findings=True).match(when, f"{here}.when")
        return Step(name, table, when)
