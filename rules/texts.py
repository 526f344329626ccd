"""The files of rules, as text. What stands in them is read by `rules.parse`."""

from pathlib import Path
from typing import NamedTuple

from rules.errors import RuleError


class RuleText(NamedTuple):
    """A file of rules: its name, for errors, and what it holds."""

    name: str
    text: str


def read_rule_texts(path: Path) -> tuple[RuleText, ...]:
    """The texts of a rule file, or of the ``*.toml`` files of a folder, by their names.

    Raises
    ------
    RuleError
        A file is no UTF-8 text, or the folder holds none.
    OSError
        A file cannot be read.
    """
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise RuleError(path.name, "(folder)", "*.toml", "there is no such file in the folder")
    return tuple(RuleText(file.name, _text(file)) for file in files)


def _files(folder: Path) -> list[Path]:
    """The rule files of a folder; what an editor hides beside them is none."""
    return sorted(file for file in folder.glob("*.toml") if not file.name.startswith("."))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RuleError(file.name, "(file)", "TOML", "not UTF-8 text") from error
