"""The records of the DECIDE step. Reading rules is `rules.parse`, applying them `rules.decide`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from rules.keep import Keep

Value = str | float
Values = tuple[Value, ...]

Verdict = Literal["yes", "no", "unknown"]
"""Three-valued: a condition on something that is absent is neither met nor unmet."""


@dataclass(frozen=True)
class SeriesFacts:
    """What rules can see of one closed series.

    Attributes
    ----------
    header
        DICOM keyword to its values, from the series' representative instance.
        An absent or empty element is not in the mapping.
    facts
        What Safelight knows beside the header: ``instances``, ``grade``,
        ``calling_ae``, ``called_ae``.
    """

    header: Mapping[str, Values]
    facts: Mapping[str, Value]


@dataclass(frozen=True)
class Reason:
    """Why one condition held or did not: the condition with the value it saw."""

    text: str
    verdict: Verdict


class Condition(Protocol):
    """A node of a rule's match."""

    def judge(self, series: SeriesFacts) -> tuple[Verdict, tuple[Reason, ...]]:
        """Judge `series`, with a reason for every leaf below."""
        ...


@dataclass(frozen=True)
class Step:
    """One processor that a rule asks for, with the options written in the rule."""

    processor: str
    options: Mapping[str, object]


@dataclass(frozen=True)
class Rule:
    """One ``[[rule]]`` table. Either it runs `steps` or it drops for the reason `drop`.

    `keep` says how long what it ran on, and what it made, is kept.
    """

    name: str
    match: Condition
    steps: tuple[Step, ...] = ()
    drop: str | None = None
    keep: Keep = field(default=Keep(), kw_only=True)


@dataclass(frozen=True)
class RuleReason:
    """What one rule said of a series."""

    rule: str
    verdict: Verdict
    conditions: tuple[Reason, ...]


Outcome = Literal["process", "drop", "hold", "keep"]


@dataclass(frozen=True)
class Decision:
    """What happens to a series, and why.

    Attributes
    ----------
    outcome
        ``process``: `rules` each become a job. ``drop``: a named rule left it out.
        ``hold``: a rule could not be evaluated, so a person must look.
        ``keep``: no rule matched; the series stays in the spool and nothing is made of it.
    summary
        One line for the ledger and the page.
    rules
        The matching rules whose processors run, in the file's order.
    reasons
        What every rule that was tried said.
    """

    outcome: Outcome
    summary: str
    rules: tuple[Rule, ...]
    reasons: tuple[RuleReason, ...]
