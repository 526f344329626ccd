"""Errors of the DECIDE step."""


class RulesError(Exception):
    """Base of all errors of this package."""


class RuleError(RulesError, ValueError):
    """A rule cannot be read: file, rule and key are named, and what was expected."""

    def __init__(self, source: str, rule: str, key: str, problem: str) -> None:
        super().__init__(f'{source}: rule "{rule}": {key}: {problem}')
        self.source = source
        self.rule = rule
        self.key = key
        self.problem = problem
