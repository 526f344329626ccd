"""The rule that a retrieve list brings along, in place of what the site's rules make."""

from collections.abc import Sequence
from dataclasses import replace

import tomlkit

from ledger.cases import Case
from processor.deidentify import NAME as DEIDENTIFY
from processor.registry import KINDS
from rules.model import Rule
from rules.parse import parse_rules

STEPS = ("convert", "qc", "preview", "metadata")
FORMATS = ("nifti", "npz")


def rule_text(output_format: str, run: Sequence[str]) -> str:
    """The rule of a list, in TOML; empty where nothing was chosen.

    Parameters
    ----------
    output_format
        What conversion writes; empty for NIfTI.
    run
        The processors, of `STEPS`; without any, all of them.

    Raises
    ------
    ValueError
        One is not known, or nothing is converted into the format.

    Examples
    --------
    >>> print(rule_text("npz", ["qc", "convert"]))
    [[rule]]
    name = "Retrieve list"
    <BLANKLINE>
    [rule.run.convert]
    format = "npz"
    <BLANKLINE>
    [rule.run.qc]
    <BLANKLINE>
    """
    if not (output_format or run):
        return ""
    chosen = tuple(run) or STEPS
    for name in chosen:
        if name not in STEPS:
            raise ValueError(f"what to run: {name}: expected some of {', '.join(STEPS)}")
    if output_format and output_format not in FORMATS:
        raise ValueError(f"format: {output_format}: expected one of {', '.join(FORMATS)}")
    if output_format and "convert" not in chosen:
        raise ValueError(f"format: nothing is made in {output_format} without convert")
    options = {"convert": {"format": output_format or "nifti"}}
    steps = {name: options.get(name, {}) for name in STEPS if name in chosen}
    return tomlkit.dumps({"rule": [{"name": "Retrieve list", "run": steps}]})


def rules_on(case: Case, rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """What decides a series: `rules`, with that of its retrieve list for those that process.

    It stands where the first of them stood, so that what is dropped, held or kept above stays so.
    Where a rule de-identifies, none is replaced.

    Raises
    ------
    RuleError
        The rule of the list is none for this version.
    """
    if case.list_rule is None or de_identify(rules):
        return tuple(rules)
    (of_list,) = parse_rules([case.list_rule], KINDS)
    of_list = replace(of_list, name=case.list_rule.name)
    place = next((at for at, rule in enumerate(rules) if _is_replaced(rule)), len(rules))
    below = (rule for rule in rules[place:] if not _is_replaced(rule))
    return (*rules[:place], of_list, *below)


def de_identify(rules: Sequence[Rule]) -> bool:
    """Whether one of the rules in force de-identifies."""
    return any(rule.enabled and DEIDENTIFY in _processors(rule) for rule in rules)


def _is_replaced(rule: Rule) -> bool:
    """Whether a rule makes what a list may choose; one that forwards or ends the trial does not."""
    return rule.enabled and not _processors(rule).isdisjoint(STEPS)


def _processors(rule: Rule) -> set[str]:
    return {step.processor for step in rule.steps}
