"""Where in a text of rules something stands. Pure: it reads no rule and judges nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rules.errors import RuleError

_HEADER = re.compile(r"\s*\[\[\s*rule\s*\]\]")
_NAME = re.compile(r"""\s*name\s*=\s*(?:"(.*)"|'(.*)')\s*(?:#.*)?""")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_AT_END = "(at end of document)"
_IN_FILE = "(file)"


@dataclass(frozen=True)
class Section:
    """The lines of one rule: `first` is the number of its ``[[rule]]``, from 1."""

    first: int
    lines: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the rule is called; empty where that cannot be told."""
        found = next((match for line in self.lines if (match := _NAME.fullmatch(line))), None)
        return "" if found is None else found[1] or found[2] or ""

    def line_of(self, key: str) -> int:
        """The line of a key such as ``match.Modality.regex``; of the rule where it has none."""
        for part in reversed(key.split(".")):
            written = re.compile(rf"(?:^|[\s{{,.\[\"']){re.escape(part)}[\"']?\s*[=.\]]")
            for number, line in enumerate(self.lines):
                if written.search(line):
                    return self.first + number
        return self.first


def sections(text: str) -> tuple[Section, ...]:
    """The rules of a text that are written as ``[[rule]]`` tables, in their order."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _HEADER.match(line)]
    ends = [*(_above(lines, start) for start in starts), len(lines)][1:]
    return tuple(
        Section(start + 1, tuple(lines[start:end])) for start, end in zip(starts, ends, strict=True)
    )


def _above(lines: Sequence[str], start: int) -> int:
    """Where the comment begins that stands right above a line."""
    while start and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return start


def line_of(text: str, error: RuleError) -> int | None:
    r"""The line that an error is about, from 1; None where it cannot be told.

    >>> line_of('[[rule]]\nname = "A"\nthem = 1\n', RuleError("a.toml", "A", "them", "unknown"))
    3
    """
    if error.rule == _IN_FILE:
        return _line_in_file(text, error)
    found = [
        section
        for number, section in enumerate(sections(text), start=1)
        if error.rule in (section.name, f"number {number}")
    ]
    return found[-1].line_of(error.key) if found else None


def _line_in_file(text: str, error: RuleError) -> int | None:
    at = _AT_LINE.search(error.problem)
    if at is not None:
        return int(at[1])
    lines = text.splitlines()
    if _AT_END in error.problem:
        return len(lines)
    key = re.compile(rf"\s*\[*\s*{re.escape(error.key)}\b")
    return next((number for number, line in enumerate(lines, start=1) if key.match(line)), None)
