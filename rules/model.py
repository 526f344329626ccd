"""The records of the DECIDE step. Reading rules is `rules.parse`, applying them `rules.decide`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from rules.destination import Destination
from rules.keep import Keep
from rules.notify import Notify
from rules.window import Window

Value = str | float
Values = tuple[Value, ...]

Verdict = Literal["yes", "no", "unknown", "later"]
"""What a condition comes to.

unknown  something it needs is absent: it is neither met nor unmet
later    what it needs is not there yet: a processor, or the rest of the study, will bring it
"""

Kind = Literal["element", "fact", "study", "finding"]
"""Where the value that a name stands for comes from.

element  the header of the series' first instance
fact     what is known of the series when it closes
study    what is known of its study, while the study's series arrive
finding  what a processor found
"""


@dataclass(frozen=True)
class SeriesFacts:
    """What rules can see of one closed series.

    Attributes
    ----------
    header
        DICOM keyword, private tag or item path to its values, from the series' first
        instance. An absent or empty element is not in the mapping.
    facts
        Facts, study facts and findings by their name.
    awaited
        The kinds of which more may still come: ``study`` while series of the study are
        arriving, ``finding`` while processors have something to do.
    """

    header: Mapping[str, Values]
    facts: Mapping[str, Values]
    awaited: frozenset[Kind] = frozenset()


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

    def names(self) -> Iterator[tuple[str, Kind]]:
        """Every name that the leaves below ask for."""
        ...


OptionsCheck = Callable[[Mapping[str, object]], None]
"""Raises ValueError with what is wrong with the options of a processor."""


@dataclass(frozen=True)
class ProcessorKind:
    """What rules must know of a processor, which belongs to a later stage.

    Attributes
    ----------
    check_options
        Raises ValueError naming the option and what was expected.
    findings
        The names under which later conditions see what it found.
    uses
        The processors whose results it uses: where a rule runs them too, they stand before it.
    is_alone
        Whether a rule that runs it runs nothing else, since it is tried again by itself.
    """

    check_options: OptionsCheck
    findings: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    is_alone: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Step:
    """One processor that a rule asks for, with the options written in the rule.

    `when` is a table of conditions on what the steps before it found, as `rules.match`
    reads it; without one the step runs whatever they found.
    """

    processor: str
    options: Mapping[str, object]
    when: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Ending:
    """A ``[rule.then]``: the trial ends here, for this reason."""

    outcome: Literal["drop", "hold", "keep"]
    reason: str


@dataclass(frozen=True)
class Rule:
    """One ``[[rule]]`` table. Either it runs `steps`, in their order, or it ends the trial.

    Attributes
    ----------
    destination
        Where its outputs go; None for the folder every job has otherwise.
    priority
        Jobs of a higher one are taken first; 0 unless said otherwise.
    window
        When its jobs may begin; None for at any time.
    enabled
        Whether it is in force.
    keep
        How long what it ran on, and what it made, is kept.
    notify
        Who is told how its jobs end.
    """

    name: str
    match: Condition
    steps: tuple[Step, ...] = ()
    ending: Ending | None = None
    destination: Destination | None = field(default=None, kw_only=True)
    priority: int = field(default=0, kw_only=True)
    window: Window | None = field(default=None, kw_only=True)
    enabled: bool = field(default=True, kw_only=True)
    keep: Keep = field(default=Keep(), kw_only=True)
    notify: Notify = field(default=Notify(), kw_only=True)


@dataclass(frozen=True)
class RuleReason:
    """What one rule said of a series."""

    rule: str
    verdict: Verdict
    conditions: tuple[Reason, ...]


Outcome = Literal["process", "drop", "hold", "keep", "wait"]


@dataclass(frozen=True)
class Decision:
    """What happens to a series, and why.

    Attributes
    ----------
    outcome
        ``process``: `rules` each become a job. ``drop``: a named rule left it out.
        ``hold``: a rule could not be evaluated, or says so: a person must look.
        ``keep``: no rule matched, or one says so; the series stays in the spool.
        ``wait``: what the rules need is not there yet.
    summary
        One line for the ledger and the page.
    rules
        The matching rules whose processors run, in the file's order.
    reasons
        What every rule that was tried said.
    put_off
        Whether a rule waits for something, so that the series is decided anew.
    """

    outcome: Outcome
    summary: str
    rules: tuple[Rule, ...]
    reasons: tuple[RuleReason, ...]
    put_off: bool = False
