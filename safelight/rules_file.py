"""Finds the site's rules: its file or folder, those made on the page, or those that ship."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from processor.registry import KINDS
from rules.model import Rule
from rules.parse import DEFAULT_RULES, parse_rules
from rules.texts import RuleText, read_rule_texts
from safelight.config import Config
from safelight.errors import ConfigError


def rules_path(config: Config) -> Path:
    """Where the rules are read from."""
    if config.rules.file is not None:
        return config.rules.file
    made = page_rules(config)
    with suppress(PermissionError):  # which is told when they are read
        if not made.exists():
            return DEFAULT_RULES
    return made


def page_rules(config: Config) -> Path:
    """Where the page keeps the rules that are made on it, unless the site names a file."""
    return config.storage.data / "rules" / "rules.toml"


def read_texts(path: Path) -> tuple[RuleText, ...]:
    """The texts of the rules, as they lie at `path`.

    Raises
    ------
    ConfigError
        A file cannot be read.
    RuleError
        A file is no text, or the folder has none.
    """
    try:
        return read_rule_texts(path)
    except OSError as error:
        raise ConfigError(f"configuration: [rules] file: {path}: {error.strerror}") from error


def rules_of(texts: Sequence[RuleText]) -> tuple[Rule, ...]:
    """All rules that the texts hold, enabled or not.

    Raises
    ------
    RuleError
        They hold something that is no rule; file, rule and key are named.
    """
    return parse_rules(texts, KINDS)


def in_force(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Those of `rules` that are enabled."""
    return tuple(rule for rule in rules if rule.enabled)


def rule_changes(before: Sequence[Rule], after: Sequence[Rule]) -> str:
    """Which rules are new, gone or not what they were, in words; empty where none is."""
    old, new = ({rule.name: rule for rule in rules} for rules in (before, after))
    changed = [name for name in new if name in old and new[name] != old[name]]
    kinds = {
        "new": [name for name in new if name not in old],
        "gone": [name for name in old if name not in new],
        "changed": changed,
    }
    told = (f"{kind}: {', '.join(map(repr, names))}" for kind, names in kinds.items() if names)
    return "; ".join(told)


def load_site_rules(config: Config) -> tuple[Rule, ...]:
    """The rules that the configuration puts in force; raises as `read_texts` and `rules_of`."""
    return in_force(rules_of(read_texts(rules_path(config))))
