"""Applies rules to a closed series. Pure: it reads no file and starts nothing."""

from collections.abc import Sequence

from rules.model import Decision, Rule, RuleReason, SeriesFacts


def decide(series: SeriesFacts, rules: Sequence[Rule]) -> Decision:
    """Decide what happens to `series`, with the reasons for every match and every miss.

    Rules are tried in order. Each match with processors becomes a job. A match that drops
    ends the trial: later rules are not tried, and nothing that matched before it runs.
    A rule that cannot be evaluated, because something it needs is absent, holds the series
    for a person to look at: it is neither processed nor dropped on a guess.

    Examples
    --------
    >>> from rules.conditions import All
    >>> from rules.model import Step
    >>> every = Rule("Everything", All(()), steps=(Step("qc", {}),))
    >>> decide(SeriesFacts({}, {}), [every]).summary
    'Everything -> qc'
    """
    reasons: list[RuleReason] = []
    matched: list[Rule] = []
    for rule in rules:
        verdict, conditions = rule.match.judge(series)
        reasons.append(RuleReason(rule.name, verdict, conditions))
        if verdict == "unknown":
            return Decision("hold", _hold_summary(reasons[-1]), (), tuple(reasons))
        if verdict == "yes" and rule.drop:
            return Decision("drop", f"{rule.name}: {rule.drop}", (), tuple(reasons))
        if verdict == "yes":
            matched.append(rule)
    if not matched:
        return Decision("keep", "no rule matched", (), tuple(reasons))
    return Decision("process", _process_summary(matched), tuple(matched), tuple(reasons))


def _hold_summary(reason: RuleReason) -> str:
    causes = ", ".join(c.text for c in reason.conditions if c.verdict == "unknown")
    return f'held: rule "{reason.rule}" cannot be evaluated: {causes}'


def _process_summary(rules: Sequence[Rule]) -> str:
    return "; ".join(f"{r.name} -> {', '.join(s.processor for s in r.steps)}" for r in rules)
