"""Who rules forward to and tell, and whether the configuration knows them."""

from collections.abc import Sequence

from rules.model import Rule
from safelight.config import Config
from safelight.errors import ConfigError

FORWARD = "forward"


def require_receivers(rules: Sequence[Rule], config: Config) -> None:
    """Check that those whom rules forward to, and tell, are configured.

    Raises
    ------
    ConfigError
        One is not; its rule is named.
    """
    pacs = [one.name for one in config.pacs]
    told = [one.name for one in config.notify]
    for rule in rules:
        for to in receivers_of(rule):
            _require(to, pacs, f'rule "{rule.name}": run.forward: to = "{to}": no [[pacs]]')
        for to in rule.notify.to:
            _require(to, told, f'rule "{rule.name}": notify: "{to}": no [[notify]]')


def _require(name: str, known: Sequence[str], problem: str) -> None:
    if name not in known:
        raise ConfigError(f"{problem} has this name; known: {', '.join(known) or 'none'}")


def receivers_of(rule: Rule) -> tuple[str, ...]:
    """The names of those that a rule forwards to."""
    return tuple(str(step.options["to"]) for step in rule.steps if step.processor == FORWARD)
