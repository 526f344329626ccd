"""Deciding what happens to a series. It reads rules from TOML, as sites write them."""

import doctest
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rules.conditions
import rules.decide
import rules.destination
import rules.elements
import rules.window
from rules.conditions import conjunction, negation
from rules.decide import decide
from rules.model import Ending, ProcessorKind, Reason, Rule, SeriesFacts, Step
from rules.parse import parse_rules
from rules.texts import RuleText

BRAIN = SeriesFacts(
    {
        "Modality": ("MR",),
        "BodyPartExamined": ("BRAIN",),
        "SeriesDescription": ("t1_mprage_sag",),
        "ImageType": ("ORIGINAL", "PRIMARY", "M", "ND"),
        "RepetitionTime": (2300.0,),
        "PixelSpacing": (0.5, 0.5),
    },
    {
        "instances": (176.0,),
        "grade": ("released",),
        "calling_ae": ("PACS1",),
        "called_ae": ("SAFELIGHT",),
        "study_modalities": ("CT", "MR"),
    },
)
KINDS = {
    "qc": ProcessorKind(lambda _: None, ("Low_quality",)),
    "mr_clean": ProcessorKind(lambda _: None, ("sequenceClass",)),
    "convert": ProcessorKind(lambda _: None),
}


def read(text):
    return parse_rules([RuleText("t.toml", text)], KINDS)


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
        ('{ study_modalities = { contains = "MR" } }', "yes"),
        ('{ study_modalities = { contains = "PT" } }', "no"),
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


VERDICTS = st.sampled_from(["yes", "no", "unknown", "later"])


@given(st.lists(VERDICTS), st.sampled_from(["unknown", "later"]), VERDICTS)
def test_resolving_what_is_not_known_never_turns_a_definite_conjunction(known, open_one, resolved):
    before = conjunction([*known, open_one])
    after = conjunction([*known, resolved])
    assert before in ("unknown", "later", after)


@given(st.lists(VERDICTS))
def test_a_conjunction_waits_for_what_may_still_turn_it(verdicts):
    expected = "later" if "no" not in verdicts else "no"
    assert conjunction([*verdicts, "later"]) == expected


def awaiting(*kinds, **facts):
    """BRAIN, of which more may come; `facts` came already."""
    return replace(BRAIN, facts={**BRAIN.facts, **facts}, awaited=frozenset(kinds))


BY_CLASS = """
[[rule]]
name = "Classify"
match = { Modality = "MR" }
run = { mr_clean = {} }
[[rule]]
name = "T1 only"
match = { sequenceClass = "T1_SE" }
run = { convert = {} }
"""


def test_a_rule_that_asks_for_a_finding_is_put_off_until_the_job_that_finds_it_has_ended():
    rules = read(BY_CLASS)
    first = decide(awaiting("finding"), rules)
    assert (first.outcome, first.put_off) == ("process", True)
    assert first.summary == "Classify -> mr_clean; decided later: T1 only"
    assert [rule.name for rule in first.rules] == ["Classify"]
    then = decide(awaiting("finding", sequenceClass=("T1_SE",)), rules, {"Classify"})
    assert [rule.name for rule in then.rules] == ["Classify", "T1 only"]
    assert (then.outcome, then.put_off) == ("process", False)
    other = decide(awaiting("finding", sequenceClass=("DWI",)), rules, {"Classify"})
    assert [rule.name for rule in other.rules] == ["Classify"]


def test_a_finding_that_never_came_holds_the_series_once_its_job_has_ended():
    decision = decide(awaiting("finding"), read(BY_CLASS), {"Classify"})
    assert decision.outcome == "hold"
    assert "sequenceClass is absent" in decision.summary


def test_a_finding_no_job_will_bring_to_this_series_is_absent_at_once():
    ct = replace(awaiting("finding"), header={"Modality": ("CT",)})
    assert decide(ct, read(BY_CLASS)).outcome == "hold"
    told = BY_CLASS.replace(
        'sequenceClass = "T1_SE"', 'sequenceClass = { equals = "T1_SE", if_absent = false }'
    )
    assert decide(ct, read(told)).outcome == "keep"


def test_what_stands_below_a_drop_that_is_put_off_waits_for_it():
    rules = read(
        """
        [[rule]]
        name = "Check"
        run = { qc = {} }
        [[rule]]
        name = "Not the bad ones"
        match = { Low_quality = 1 }
        then = { drop = "low quality" }
        [[rule]]
        name = "Convert"
        run = { convert = {} }
        """
    )
    first = decide(awaiting("finding"), rules)
    assert [rule.name for rule in first.rules] == ["Check"]
    good = decide(awaiting("finding", Low_quality=(0.0,)), rules, {"Check"})
    assert [rule.name for rule in good.rules] == ["Check", "Convert"]
    bad = decide(awaiting("finding", Low_quality=(1.0,)), rules, {"Check"})
    assert (bad.outcome, bad.summary) == ("drop", "Not the bad ones: low quality")


def test_a_rule_about_the_study_waits_while_the_study_is_arriving():
    rules = read(
        '[[rule]]\nname = "A"\nmatch = { study_modalities = { contains = "MR" } }\n'
        "run = { qc = {} }"
    )
    waiting = decide(awaiting("study", "finding"), rules)
    assert (waiting.outcome, waiting.put_off) == ("wait", True)
    assert waiting.summary == "decided later: A"
    assert decide(awaiting("finding"), rules).outcome == "process"


def test_what_is_settled_without_the_finding_does_not_wait_for_it():
    rules = read(
        '[[rule]]\nname = "C"\nmatch = { Modality = "CT" }\nrun = { qc = {} }\n'
        '[[rule]]\nname = "A"\nmatch = { Modality = "CT", Low_quality = 0 }\n'
        "run = { convert = {} }"
    )
    decision = decide(awaiting("finding"), rules)
    assert (decision.outcome, decision.put_off) == ("keep", False)


@pytest.mark.parametrize("outcome", ["hold", "drop"])
def test_a_rule_can_hold_or_drop_and_then_nothing_runs(outcome):
    rules = read(
        f"""
        [[rule]]
        name = "First"
        run = {{ qc = {{}} }}
        [[rule]]
        name = "Look at it"
        match = {{ Modality = "MR" }}
        then = {{ {outcome} = "why" }}
        """
    )
    decision = decide(BRAIN, rules)
    assert (decision.outcome, decision.summary) == (outcome, "Look at it: why")
    assert decision.rules == ()


KEEP = """
[[rule]]
name = "Keep MR"
match = { Modality = "MR" }
then = { keep = "as it came" }
[[rule]]
name = "Drop all"
then = { drop = "the rest" }
"""


def test_a_rule_that_keeps_shields_from_the_rules_below_it():
    decision = decide(BRAIN, read(KEEP))
    assert (decision.outcome, decision.summary) == ("keep", "Keep MR: as it came")


def test_what_matched_above_a_rule_that_keeps_runs():
    rules = read('[[rule]]\nname = "Check"\nrun = { qc = {} }\n' + KEEP)
    decision = decide(BRAIN, rules)
    assert (decision.outcome, decision.summary) == ("process", "Check -> qc")


@given(VERDICTS)
def test_negation_undoes_itself(verdict):
    assert negation(negation(verdict)) == verdict


@pytest.mark.parametrize(
    "module",
    [rules.conditions, rules.decide, rules.destination, rules.elements, rules.window],
)
def test_the_examples_in_the_docstrings_are_true(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


@dataclass(frozen=True)
class Says:
    """A condition that comes to a verdict by itself."""

    verdict: str

    def judge(self, series):
        return self.verdict, (Reason("it says so", self.verdict),)

    def names(self):
        return iter(())


ENDINGS = st.sampled_from(["drop", "hold", "keep", None])


@given(st.lists(st.tuples(VERDICTS, ENDINGS), max_size=6))
def test_only_a_match_with_nothing_open_above_it_drops_and_what_is_unknown_never_does(said):
    rules = [
        Rule(
            str(n),
            Says(verdict),
            () if ending else (Step("qc", {}),),
            ending and Ending(ending, "x"),
        )
        for n, (verdict, ending) in enumerate(said)
    ]
    decision = decide(BRAIN, rules, ended=[rule.name for rule in rules])
    if decision.outcome == "drop":
        above = said[: len(decision.reasons) - 1]
        assert said[len(above)] == ("yes", "drop")
        assert all(verdict != "unknown" for verdict, _ in above)
        assert all(verdict == "no" for verdict, ending in above if ending)
    if decision.outcome in ("drop", "hold", "keep", "wait"):
        assert decision.rules == ()
    asked = said[: len(decision.reasons)]
    if any(verdict == "unknown" for verdict, _ in asked):
        assert decision.outcome == "hold"
