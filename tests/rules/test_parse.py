"""Reading rules from TOML. Applying them to a series is tested in test_decide.py."""

import pytest

from rules.errors import RuleError
from rules.parse import DEFAULT_RULES, load_rules, parse_rules


def accept(options):
    pass


def refuse(options):
    raise ValueError("format: expected nifti or npz, got 'nrrd'")


PROCESSORS = {"convert": accept, "qc": accept, "picky": refuse}


def parse(text):
    return parse_rules(text, PROCESSORS, source="rules.toml")


def problem_of(text):
    with pytest.raises(RuleError) as caught:
        parse(text)
    return str(caught.value)


def test_a_rule_keeps_its_name_its_steps_in_order_and_their_options():
    (rule,) = parse('[[rule]]\nname = "A"\nrun = { qc = {}, convert = { format = "nifti" } }')
    assert rule.name == "A"
    assert [(s.processor, s.options) for s in rule.steps] == [
        ("qc", {}),
        ("convert", {"format": "nifti"}),
    ]
    assert rule.drop is None


def test_a_rule_can_drop_with_its_reason():
    (rule,) = parse(
        '[[rule]]\nname = "A"\nmatch = { Modality = "SR" }\nthen = { drop = "a report" }'
    )
    assert rule.drop == "a report"
    assert rule.steps == ()


def test_the_rules_that_ship_are_readable(tmp_path):
    (rule,) = load_rules(
        DEFAULT_RULES, dict.fromkeys(("convert", "qc", "preview", "metadata"), accept)
    )
    assert rule.name == "Everything"


RUN = "run = { qc = {} }\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[[rule]\n", ["rules.toml", "TOML"]),
        ('[[rules]]\nname = "A"', ["rules: unknown key (did you mean rule?)"]),
        ("[[rule]]\n" + RUN, ['rule "number 1"', "a rule needs a name"]),
        ('[[rule]]\nname = "A"', ['rule "A"', "needs either [rule.run] or [rule.then] drop"]),
        ('[[rule]]\nname = "A"\nthen = { drop = "x" }\n' + RUN, ["needs either"]),
        ('[[rule]]\nname = "A"\nthen = { drop = "" }', ["then.drop", "expected the reason"]),
        ('[[rule]]\nname = "A"\nrun = { converf = {} }', ["run.converf", "did you mean convert?"]),
        ('[[rule]]\nname = "A"\nrun = { picky = {} }', ["run.picky", "expected nifti or npz"]),
        ('[[rule]]\nname = "A"\nmatch = { Modalty = "MR" }\n' + RUN, ["did you mean Modality?"]),
        (
            '[[rule]]\nname = "A"\nmatch = { Modality = { is = "MR" } }\n' + RUN,
            ["match.Modality.is"],
        ),
        ('[[rule]]\nname = "A"\nmatch = { Modality = { in = "MR" } }\n' + RUN, ["expected a list"]),
        ('[[rule]]\nname = "A"\nmatch = { Modality = { regex = "(" } }\n' + RUN, ["regular expr"]),
        (
            '[[rule]]\nname = "A"\nmatch = { instances = { min = "x" } }\n' + RUN,
            ["a number, got 'x'"],
        ),
        (
            '[[rule]]\nname = "A"\nmatch = { grade = { at_least = "sure" } }\n' + RUN,
            ["one of forced"],
        ),
        (
            '[[rule]]\nname = "A"\nmatch = { Modality = { at_least = "quiet" } }\n' + RUN,
            ["unknown op"],
        ),
        ('[[rule]]\nname = "A"\nmatch = { any = "x" }\n' + RUN, ["match.any", "list of tables"]),
        ('[[rule]]\nname = "A"\nmatch = { not = "x" }\n' + RUN, ["match.not", "expected a table"]),
        ('[[rule]]\nname = "A"\nmatch = { Modality = { present = 1 } }\n' + RUN, ["true or false"]),
        ('[[rule]]\nname = "A"\nmatch = { Modality = {} }\n' + RUN, ["expected a value or one of"]),
        ('[[rule]]\nname = "A"\nmatch = { Rows = { min = true } }\n' + RUN, ["a number, got True"]),
        (('[[rule]]\nname = "A"\n' + RUN) * 2, ["another rule has this name"]),
    ],
)
def test_an_error_names_file_rule_and_key(text, parts):
    problem = problem_of(text)
    assert problem.startswith("rules.toml: rule ")
    for part in parts:
        assert part in problem
