"""Reads the conditions of a match from their TOML table. It judges nothing."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.tag import Tag

from listener.series import GRADES
from rules.conditions import All, Any, Leaf, Not, Test
from rules.elements import ElementPath, did_you_mean, parse_element
from rules.model import Condition, Kind

FACTS: Mapping[str, Kind] = MappingProxyType(
    {
        "instances": "fact",
        "instances_expected": "fact",
        "instances_missing": "fact",
        "header_findings": "fact",
        "grade": "fact",
        "calling_ae": "fact",
        "called_ae": "fact",
        "study_modalities": "study",
        "study_series": "study",
        "study_instances": "study",
        "study_grade": "study",
    }
)
"""What is known beside the header; findings are the processors' to name."""

TRANSFER_SYNTAX = "TransferSyntaxUID"
_COMBINATIONS = ("any", "all", "not")
_UNSEEN = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "OB or OW", "UN", "UT", "UC"})
_OPERANDS: Mapping[str, tuple[type, ...]] = {
    "equals": (str, int, float, list),
    "in": (list,),
    "contains": (str, int, float),
    "regex": (str,),
    "min": (int, float),
    "max": (int, float),
    "at_least": (str,),
}
_TYPE_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a table",
    bool: "true or false",
}

Fail = Callable[[str, str], Exception]
"""Makes the error for a key and what is wrong with it."""


@dataclass(frozen=True)
class MatchReader:
    """Reads conditions.

    Attributes
    ----------
    findings
        The names of findings that may be asked for here.
    fail
        Makes the error that is raised.
    only_findings
        Whether findings are all that may be asked for.
    """

    findings: Sequence[str]
    fail: Fail
    only_findings: bool = False

    def match(self, table: Mapping[str, object], where: str) -> Condition:
        """The conditions of one table; all must hold."""
        return All(tuple(self._condition(key, value, where) for key, value in table.items()))

    def _condition(self, key: str, value: object, where: str) -> Condition:
        here = f"{where}.{key}"
        if key == "not":
            return Not(self.match(self._table(value, here), here))
        if key in ("any", "all"):
            if not isinstance(value, list):
                raise self.fail(here, f"expected a list of tables, got {_kind_of(value)}")
            parts = tuple(self.match(self._table(part, here), here) for part in value)
            return Any(parts) if key == "any" else All(parts)
        return self._leaf(key, value, here)

    def _table(self, value: object, key: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self.fail(key, f"expected a table, got {_kind_of(value)}")
        return value

    def _leaf(self, name: str, value: object, here: str) -> Leaf:
        kind = self._kind(name, here)
        table = dict(value) if isinstance(value, dict) else {"equals": value}
        present = self._flag(table, "present", here)
        if_absent = self._flag(table, "if_absent", here)
        tests = tuple(self._test(name, op, operand, here) for op, operand in table.items())
        if not tests and present is None:
            raise self.fail(here, f"expected a value or one of {', '.join(_OPERANDS)}, present")
        return Leaf(name, kind, tests, present, if_absent)

    def _kind(self, name: str, here: str) -> Kind:
        if name in self.findings:
            return "finding"
        if self.only_findings:
            known = ", ".join(self.findings) or "nothing, for no step stands before it"
            raise self.fail(here, f"expected what an earlier step finds: {known}")
        if name in FACTS:
            return FACTS[name]
        self._element(name, here)
        return "element"

    def _element(self, name: str, here: str) -> None:
        if "." not in name and not name.startswith("(") and tag_for_keyword(name) is None:
            known = (*FACTS, *self.findings, *_COMBINATIONS)
            raise self.fail(here, f"neither a DICOM keyword nor a fact{did_you_mean(name, known)}")
        try:
            problem = _unseen(parse_element(name))
        except ValueError as error:
            raise self.fail(here, str(error)) from error
        if problem:
            raise self.fail(here, problem)

    def _flag(self, table: dict[str, object], key: str, here: str) -> bool | None:
        value = table.pop(key, None)
        if value is not None and not isinstance(value, bool):
            raise self.fail(f"{here}.{key}", f"expected true or false, got {_kind_of(value)}")
        return value

    def _test(self, name: str, operator: str, operand: object, here: str) -> Test:
        where = f"{here}.{operator}"
        allowed = tuple(op for op in _OPERANDS if (op == "at_least") <= name.endswith("grade"))
        if operator not in allowed:
            expected = (*allowed, "present", "if_absent")
            raise self.fail(where, f"unknown operator{suggestion(operator, expected)}")
        if isinstance(operand, bool) or not isinstance(operand, _OPERANDS[operator]):
            wanted = " or ".join(dict.fromkeys(_TYPE_NAMES[kind] for kind in _OPERANDS[operator]))
            raise self.fail(where, f"expected {wanted}, got {_kind_of(operand)}")
        if operator == "regex":
            self._regex(str(operand), where)
        if operator == "at_least" and operand not in GRADES:
            raise self.fail(where, f"expected one of {', '.join(GRADES)}, got {operand!r}")
        return Test(operator, operand)

    def _regex(self, pattern: str, where: str) -> None:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise self.fail(where, f"not a regular expression: {error}") from error


def _kind_of(value: object) -> str:
    """What a value is, without itself: a rule may name patients, and the message is logged."""
    return _TYPE_NAMES.get(type(value), "something else")


def _unseen(path: ElementPath) -> str | None:
    """Why rules cannot see an element, whatever an instance holds; None where they can."""
    last = path.nodes[-1]
    if not isinstance(last, str):
        return None
    if Tag(last).group == 2 and last != TRANSFER_SYNTAX:
        return f"is file meta information, of which rules see {TRANSFER_SYNTAX} only"
    vr = dictionary_VR(last)
    if vr == "SQ":
        return f'is a sequence: name an element of an item, in quotes: "{path.name}.0.Keyword"'
    return "has values that rules do not see: binary or long text" if vr in _UNSEEN else None


def suggestion(word: str, known: Sequence[str]) -> str:
    """What may have been meant by `word`, or all that is known."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else f"; expected one of {', '.join(known)}"
