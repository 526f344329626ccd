"""Rules as a page tells them: outlines of what they match on and do, and their text. Pure."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any as Anything
from typing import Literal

import tomlkit

from processor.registry import KINDS
from rules.conditions import All, Any, Leaf, Not, quoted
from rules.errors import RuleError
from rules.model import Condition, Rule, Step
from rules.parse import parse_rules
from rules.places import sections
from rules.texts import RuleText

IsHidden = Callable[[str], bool]
"""Whether the values of a name, such as ``PatientID``, are hidden."""

Says = Literal[
    "all",
    "any",
    "not",
    "present",
    "absent",
    "equals",
    "in",
    "contains",
    "regex",
    "min",
    "max",
    "at_least",
]


@dataclass(frozen=True)
class Clause:
    """One condition of a rule: a test of a name, or `parts` that are combined.

    Attributes
    ----------
    says
        The operator, or how the parts are combined.
    if_absent
        Whether it holds where the name has no value; None where that is not known then.
    """

    says: Says
    name: str = ""
    value: str = ""
    if_absent: bool | None = None
    parts: tuple["Clause", ...] = ()

    def hiding(self, is_hidden: IsHidden, word: str) -> "Clause":
        """The same with `word` for the values of what is hidden."""
        parts = tuple(part.hiding(is_hidden, word) for part in self.parts)
        value = word if self.value and is_hidden(self.name) else self.value
        return replace(self, value=value, parts=parts)


@dataclass(frozen=True)
class ShownStep:
    """A processor of a rule, with its options as TOML."""

    processor: str
    options: str


@dataclass(frozen=True)
class ShownRule:
    """A rule as a person reads it.

    Attributes
    ----------
    conditions
        All must hold.
    rule
        What it does.
    table, toml
        How it is written: read, and as text.
    """

    name: str
    conditions: tuple[Clause, ...]
    steps: tuple[ShownStep, ...]
    rule: Rule
    table: Mapping[str, Anything]
    toml: str

    def hiding(self, is_hidden: IsHidden, word: str) -> "ShownRule":
        """The same with `word` for the values of what is hidden, and without comments."""
        table = _hidden(self.table, is_hidden, word)
        conditions = tuple(one.hiding(is_hidden, word) for one in self.conditions)
        return replace(self, conditions=conditions, table=table, toml=_written(table))


def shown_rules(texts: tuple[RuleText, ...]) -> tuple[ShownRule, ...]:
    """The rules of texts that were in force.

    Raises
    ------
    RuleError
        They cannot be read: a release since then has changed what is a rule.
    """
    rules = parse_rules(texts, KINDS)
    tables = [(table, toml) for _, text in texts for table, toml in _tables(text)]
    return tuple(
        ShownRule(rule.name, _conditions(rule.match), _steps(rule), rule, table, toml)
        for rule, (table, toml) in zip(rules, tables, strict=True)
    )


def _tables(text: str) -> Iterator[tuple[Mapping[str, Anything], str]]:
    """Each rule of a text, read and as it is written."""
    tables = tomllib.loads(text).get("rule", [])
    written = sections(text)
    for number, table in enumerate(tables):
        if len(written) == len(tables):
            yield table, "\n".join(written[number].lines).rstrip() + "\n"
        else:
            yield table, _written(table)


def _written(table: Mapping[str, Anything]) -> str:
    return tomlkit.dumps({"rule": [table]})


def _hidden(value: Anything, is_hidden: IsHidden, word: str) -> Anything:
    match value:
        case dict():
            return {
                key: word if is_hidden(key) else _hidden(each, is_hidden, word)
                for key, each in value.items()
            }
        case list():
            return [_hidden(each, is_hidden, word) for each in value]
    return value


def _conditions(match: Condition) -> tuple[Clause, ...]:
    clause = outline(match)
    return clause.parts if clause.says == "all" else (clause,)


def outline(condition: Condition) -> Clause:
    """What a condition asks for.

    >>> from rules.conditions import Test
    >>> outline(Leaf("Modality", "element", (Test("equals", "MR"),)))
    Clause(says='equals', name='Modality', value='"MR"', if_absent=None, parts=())
    """
    match condition:
        case All(parts):
            return _every(tuple(map(outline, parts)))
        case Any(parts):
            return Clause("any", parts=tuple(map(outline, parts)))
        case Not(part):
            return Clause("not", parts=_conditions(part))
        case Leaf():
            return _every(tuple(_tests(condition)))
    raise TypeError(f"{type(condition).__name__} is no condition of rules")


def _every(parts: tuple[Clause, ...]) -> Clause:
    return parts[0] if len(parts) == 1 else Clause("all", parts=parts)


def _tests(leaf: Leaf) -> Iterator[Clause]:
    if leaf.present is not None:
        yield Clause("present" if leaf.present else "absent", leaf.name)
    for test in leaf.tests:
        says: Says = test.operator  # type: ignore[assignment]  # one of `rules.conditions.OPERATORS`
        yield Clause(says, leaf.name, quoted(test.operand), leaf.if_absent)


def _steps(rule: Rule) -> tuple[ShownStep, ...]:
    return tuple(ShownStep(step.processor, _options(step)) for step in rule.steps)


def _options(step: Step) -> str:
    given = {**step.options, **({"when": step.when} if step.when is not None else {})}
    return ", ".join(f"{key} = {_toml(value)}" for key, value in given.items())


def _toml(value: Anything) -> str:
    match value:
        case Mapping():
            return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
        case list():
            return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class RulesShown:
    """Rules, or why texts that were in force cannot be read any more."""

    rules: tuple[ShownRule, ...] = ()
    is_readable: bool = True

    @classmethod
    def of(cls, texts: tuple[RuleText, ...]) -> "RulesShown":
        """The rules of texts that were in force."""
        try:
            return cls(shown_rules(texts))
        except RuleError:
            return cls(is_readable=False)
