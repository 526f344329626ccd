"""Finds the rules in force: the site's file, or those that ship with Safelight."""

from collections.abc import Mapping

from processor.registry import PROCESSORS
from rules.model import Rule
from rules.parse import DEFAULT_RULES, OptionsCheck, load_rules
from safelight.config import Config
from safelight.errors import ConfigError


def load_site_rules(config: Config) -> tuple[Rule, ...]:
    """The rules in force.

    Raises
    ------
    ConfigError
        The file cannot be read.
    RuleError
        It holds something that is no rule; file, rule and key are named.
    """
    path = config.rules.file or DEFAULT_RULES
    checks: Mapping[str, OptionsCheck] = {
        name: processor.check_options for name, processor in PROCESSORS.items()
    }
    try:
        return load_rules(path, checks)
    except OSError as error:
        raise ConfigError(f"configuration: [rules] file: {path}: {error.strerror}") from error
