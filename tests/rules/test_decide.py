"""Deciding what happens to a series. It reads rules from TOML, as sites write them."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rules.conditions
import rules.decide
from rules.conditions import conjunction, negation
from rules.decide import decide
from rules.model import SeriesFacts
from rules.parse import parse_rules

BRAIN = SeriesFacts(
    {
        "Modality": ("MR",),
        "BodyPartExamined": ("BRAIN",),
        "SeriesDescription": ("t1_mprage_sag",),
        "ImageType": ("ORIGINAL", "PRIMARY", "M", "ND"),
        "RepetitionTime": (2300.0,),
        "PixelSpacing": (0.5, 0.5),
    },
    {"instances": 176.0, "grade": "released", "calling_ae": "PACS1", "called_ae": "SAFELIGHT"},
)


def read(text):
    return parse_rules(text, {"qc": lambda _: None, "convert": lambda _: None}, source="t.toml")


def verdict_of(match, series=BRAIN):
    (rule,) = read(f'[[rule]]\nname = "A"\nmatch = {match}\nrun = {{ qc = {{}} }}')
    decision = decide(series, [rule])
    return decision.reasons[0].verdict


@pytest.mark.parametrize(
    ("match", "verdict"),
    [
        ('{ Modality = "MR" }', "yes"),
        ('{ Modality = "CT" }', "no"),
        ('{ BodyPartExamined = { in = ["BRAIN", "HEAD"] } }', "yes"),
        ('{ BodyPartExamined = { in = ["CHEST"] } }', "no"),
        ('{ SeriesDescription = { regex = "(?i)T1|flair" } }', "yes"),
        ("{ RepetitionTime = { min = 2000, max = 2500 } }", "yes"),
        ("{ RepetitionTime = { min = 2301 } }", "no"),
        ("{ RepetitionTime = 2300 }", "yes"),
        ('{ ImageType = { contains = "PRIMARY" } }', "yes"),
        ('{ ImageType = { contains = "DERIVED" } }', "no"),
        (r"""{ ImageType = 'ORIGINAL\PRIMARY\M\ND' }""", "yes"),
        ('{ ImageType = { equals = ["ORIGINAL", "PRIMARY", "M", "ND"] } }', "yes"),
        ("{ instances = { min = 20 } }", "yes"),
        ("{ instances = { max = 20 } }", "no"),
        ('{ grade = { at_least = "released" } }', "yes"),
        ('{ grade = { at_least = "listed" } }', "no"),
        ('{ calling_ae = "PACS1" }', "yes"),
        ('{ not = { ImageType = { contains = "DERIVED" } } }', "yes"),
        ('{ any = [ { Modality = "CT" }, { Modality = "MR" } ] }', "yes"),
        ('{ all = [ { Modality = "MR" }, { instances = { min = 200 } } ] }', "no"),
        ("{ EchoTime = { min = 10 } }", "unknown"),
        ('{ EchoTime = { min = 10 }, Modality = "CT" }', "no"),
        ('{ any = [ { EchoTime = 3 }, { Modality = "MR" } ] }', "yes"),
        ("{ not = { EchoTime = 3 } }", "unknown"),
        ("{ EchoTime = { min = 10, if_absent = false } }", "no"),
        ("{ EchoTime = { present = false } }", "yes"),
        ("{ Modality = { present = true } }", "yes"),
        ("{ PixelSpacing = { max = 1 } }", "unknown"),
        ("{ Modality = { min = 1 } }", "unknown"),
    ],
)
def test_conditions_judge_what_they_say(match, verdict):
    assert verdict_of(match) == verdict


def test_reasons_show_each_condition_with_the_value_it_saw_for_match_and_miss():
    rules = read(
        """
        [[rule]]
        name = "Derived"
        match = { ImageType = { contains = "DERIVED" } }
        then = { drop = "derived" }
        [[rule]]
        name = "Brain"
        match = { Modality = "MR", instances = { min = 20 } }
        run = { convert = {}, qc = {} }
        """
    )
    decision = decide(BRAIN, rules)
    assert decision.outcome == "process"
    assert decision.summary == "Brain -> convert, qc"
    assert [(r.rule, r.verdict) for r in decision.reasons] == [("Derived", "no"), ("Brain", "yes")]
    assert [c.text for r in decision.reasons for c in r.conditions] == [
        'ImageType = ORIGINAL\\PRIMARY\\M\\ND: contains "DERIVED"',
        'Modality = MR: is "MR"',
        "instances = 176: at least 20",
    ]


def test_a_matching_drop_ends_the_trial_and_nothing_runs():
    rules = read(
        """
        [[rule]]
        name = "First"
        run = { qc = {} }
        [[rule]]
        name = "No MR"
        match = { Modality = "MR" }
        then = { drop = "not for us" }
        [[rule]]
        name = "Never tried"
        run = { qc = {} }
        """
    )
    decision = decide(BRAIN, rules)
    assert (decision.outcome, decision.summary) == ("drop", "No MR: not for us")
    assert decision.rules == ()
    assert [reason.rule for reason in decision.reasons] == ["First", "No MR"]


def test_a_rule_that_cannot_be_evaluated_holds_the_series_even_if_another_matched():
    rules = read(
        """
        [[rule]]
        name = "All"
        run = { qc = {} }
        [[rule]]
        name = "Short echo"
        match = { EchoTime = { max = 10 } }
        then = { drop = "short echo" }
        """
    )
    decision = decide(BRAIN, rules)
    assert decision.outcome == "hold"
    assert decision.summary == 'held: rule "Short echo" cannot be evaluated: EchoTime is absent'
    assert decision.rules == ()


def test_every_matching_rule_becomes_a_job():
    rules = read('[[rule]]\nname = "A"\nrun = { qc = {} }\n[[rule]]\nname = "B"\nrun = { qc = {} }')
    assert [rule.name for rule in decide(BRAIN, rules).rules] == ["A", "B"]


def test_a_series_no_rule_matches_is_kept():
    rules = read('[[rule]]\nname = "A"\nmatch = { Modality = "CT" }\nrun = { qc = {} }')
    decision = decide(BRAIN, rules)
    assert (decision.outcome, decision.summary) == ("keep", "no rule matched")


VERDICTS = st.sampled_from(["yes", "no", "unknown"])


@given(st.lists(VERDICTS), VERDICTS)
def test_resolving_an_unknown_never_turns_a_definite_conjunction(known, resolved):
    before = conjunction([*known, "unknown"])
    after = conjunction([*known, resolved])
    assert before in ("unknown", after)


@given(VERDICTS)
def test_negation_undoes_itself(verdict):
    assert negation(negation(verdict)) == verdict


@pytest.mark.parametrize("module", [rules.conditions, rules.decide])
def test_the_examples_in_the_docstrings_are_true(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
