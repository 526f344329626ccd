"""Applies rules to a closed series. Pure: it reads no file and starts nothing."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from rules.model import Decision, Outcome, Rule, RuleReason, SeriesFacts


def decide(series: SeriesFacts, rules: Sequence[Rule], ended: Collection[str] = ()) -> Decision:
    """Decide what happens to `series`, with the reasons for every match and every miss.

    Rules are tried in order. Each match with processors becomes a job. A match that drops or
    holds ends the trial: nothing runs. One that keeps ends it too, but what matched above it
    runs. A rule that cannot be evaluated, because something it needs is absent, holds the
    series for a person to look at: it is neither processed nor dropped on a guess.

    A rule that asks for what a processor finds, or for the whole study, is put off until that
    is known; if it would end the trial, so is every rule below it.

    Parameters
    ----------
    series
        What is known of it.
    rules
        The rules in force.
    ended
        The names of the rules whose jobs on this series have ended. When no other job is to
        be waited for, what has not been found is absent.

    Examples
    --------
    >>> from rules.conditions import All
    >>> from rules.model import Step
    >>> every = Rule("Everything", All(()), steps=(Step("qc", {}),))
    >>> decide(SeriesFacts({}, {}), [every]).summary
    'Everything -> qc'
    """
    decision = _trial(series, rules)
    waits_for_job = any(rule.name not in ended for rule in decision.rules)
    if decision.put_off and not waits_for_job:
        return _trial(replace(series, awaited=series.awaited - {"finding"}), rules)
    return decision


def _trial(series: SeriesFacts, rules: Sequence[Rule]) -> Decision:
    reasons: list[RuleReason] = []
    matched: list[Rule] = []
    kept: str | None = None
    for rule in rules:
        reason = judge(series, rule)
        reasons.append(reason)
        if reason.verdict == "unknown":
            return Decision("hold", _hold_summary(reason), (), tuple(reasons))
        if reason.verdict == "later" and rule.ending:
            break
        if reason.verdict != "yes":
            continue
        if rule.ending is None:
            matched.append(rule)
            continue
        kept = f"{rule.name}: {rule.ending.reason}"
        if rule.ending.outcome != "keep":
            return Decision(rule.ending.outcome, kept, (), tuple(reasons))
        break
    return _outcome(matched, reasons, kept)


def judge(series: SeriesFacts, rule: Rule) -> RuleReason:
    """What one rule says of a series, whatever the others say."""
    verdict, conditions = rule.match.judge(series)
    return RuleReason(rule.name, verdict, conditions)


def _outcome(matched: Sequence[Rule], reasons: Sequence[RuleReason], kept: str | None) -> Decision:
    """The decision when no rule dropped or held the series."""
    waiting = [reason.rule for reason in reasons if reason.verdict == "later"]
    parts = [_process_summary(rule) for rule in matched]
    if waiting:
        parts.append(f"decided later: {', '.join(waiting)}")
    elif kept and not matched:
        parts.append(kept)
    summary = "; ".join(parts) or "no rule matched"
    outcome: Outcome = "process" if matched else "wait" if waiting else "keep"
    return Decision(outcome, summary, tuple(matched), tuple(reasons), bool(waiting))


def _hold_summary(reason: RuleReason) -> str:
    causes = ", ".join(c.text for c in reason.conditions if c.verdict == "unknown")
    return f'held: rule "{reason.rule}" cannot be evaluated: {causes}'


def _process_summary(rule: Rule) -> str:
    return f"{rule.name} -> {', '.join(step.processor for step in rule.steps)}"
