"""What is different between two texts, line by line. Pure."""

import difflib
from dataclasses import dataclass
from typing import Literal

_CONTEXT = 3


@dataclass(frozen=True)
class DiffLine:
    """A line of a unified difference, with its sign."""

    kind: Literal["same", "added", "removed", "place"]
    text: str


def difference(before: str, after: str) -> tuple[DiffLine, ...]:
    r"""A unified difference, without its two lines of names.

    >>> [line.text for line in difference("a\nb\n", "a\nc\n")]
    ['@@ -1,2 +1,2 @@', ' a', '-b', '+c']
    """
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=_CONTEXT, lineterm="")
    return tuple(map(_line, list(lines)[2:]))


def _line(text: str) -> DiffLine:
    match text[:1]:
        case "+":
            return DiffLine("added", text)
        case "-":
            return DiffLine("removed", text)
        case "@":
            return DiffLine("place", text)
    return DiffLine("same", text)
