"""Who rules forward to, and whether the configuration knows them."""

from collections.abc import Sequence

from rules.model import Rule
from safelight.config import Config
from safelight.errors import ConfigError

FORWARD = "forward"


def require_receivers(rules: Sequence[Rule], config: Config) -> None:
    """Check that the receivers which rules forward to are configured.

    Raises
    ------
    ConfigError
        One is not; its rule is named.
    """
    known = [pacs.name for pacs in config.pacs]
    for rule in rules:
        for to in receivers_of(rule):
            if to not in known:
                raise ConfigError(
                    f'rule "{rule.name}": run.forward: to = "{to}": no [[pacs]] has this name; '
                    f"known: {', '.join(known) or 'none'}"
                )


def receivers_of(rule: Rule) -> tuple[str, ...]:
    """The names of those that a rule forwards to."""
    return tuple(str(step.options["to"]) for step in rule.steps if step.processor == FORWARD)
