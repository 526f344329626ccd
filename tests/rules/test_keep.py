"""The table ``[rule.keep]``, as a rule has it."""

import pytest

from rules.errors import RuleError
from rules.keep import Keep
from rules.model import ProcessorKind
from rules.parse import parse_rules
from rules.texts import RuleText

RULE = '[[rule]]\nname = "A"\n'
RUN = "run = { qc = {} }\n"


def parse(text):
    kinds = {"qc": ProcessorKind(lambda _: None)}
    (rule,) = parse_rules([RuleText("rules.toml", text)], kinds)
    return rule


def test_a_rule_keeps_everything_for_ever_unless_it_says_otherwise():
    assert parse(RULE + RUN).keep == Keep(None, None)
    assert parse(RULE + RUN + "keep = { instances_days = 90 }").keep == Keep(90.0, None)
    assert parse(RULE + RUN + "keep = { results_days = 0.5 }").keep == Keep(None, 0.5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (RUN + "keep = { days = 1 }", "keep.days: unknown key; expected one of instances_days"),
        (RUN + "keep = { results_days = -1 }", "keep.results_days: expected a number of days"),
        (RUN + "keep = { results_days = true }", "keep.results_days: expected a number of days"),
        (RUN + "keep = { results_days = inf }", "keep.results_days: expected a number of days"),
        (RUN + 'keep = { results_days = "90d" }', "expected a number of days, got '90d'"),
        (
            'then = { drop = "x" }\nkeep = { instances_days = 1 }',
            "keep: a rule with [rule.then] runs nothing",
        ),
    ],
)
def test_a_wrong_table_is_an_error_that_names_the_key(text, problem):
    with pytest.raises(RuleError) as caught:
        parse(RULE + text)
    assert problem in str(caught.value)
