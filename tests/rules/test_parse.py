"""Reading rules from TOML. Applying them to a series is tested in test_decide.py."""

import pytest

from rules.errors import RuleError
from rules.model import ProcessorKind
from rules.parse import parse_rules, parse_when
from rules.texts import RuleText, read_rule_texts


def accept(options):
    pass


def refuse(options):
    raise ValueError("format: expected nifti or npz, got 'nrrd'")


PROCESSORS = {
    "convert": ProcessorKind(accept, ("convert_state",)),
    "qc": ProcessorKind(accept, ("qc_state", "Low_quality")),
    "picky": ProcessorKind(refuse),
    "metadata": ProcessorKind(accept, uses=("convert", "qc")),
    "forward": ProcessorKind(accept, is_alone=True),
}
RUN = "run = { qc = {} }\n"


def parse(text):
    return parse_rules([RuleText("rules.toml", text)], PROCESSORS)


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
    assert rule.ending is None


@pytest.mark.parametrize("outcome", ["drop", "hold", "keep"])
def test_a_rule_can_end_the_trial_with_its_reason(outcome):
    (rule,) = parse(f'[[rule]]\nname = "A"\nthen = {{ {outcome} = "a report" }}')
    assert (rule.ending.outcome, rule.ending.reason) == (outcome, "a report")
    assert rule.steps == ()


def test_a_rule_says_where_to_when_and_how_urgent():
    (rule,) = parse(
        f"""
        [[rule]]
        name = "A"
        priority = 5
        window = "20:00-06:00"
        {RUN}
        [rule.deliver]
        to = "{{PatientID}}/{{StudyDate}}"
        """
    )
    assert (rule.priority, str(rule.window)) == (5, "20:00-06:00")
    assert rule.destination.folder({"PatientID": ("P1",), "StudyDate": ("20260101",)}) == (
        "P1/20260101"
    )


def test_a_condition_on_an_earlier_step_is_kept_apart_from_the_options():
    (rule,) = parse(
        '[[rule]]\nname = "A"\nrun = { qc = {}, convert = { x = 1, when = { Low_quality = 0 } } }'
    )
    step = rule.steps[1]
    assert (step.options, step.when) == ({"x": 1}, {"Low_quality": 0})
    assert list(parse_when(step.when, ["Low_quality"]).names()) == [("Low_quality", "finding")]


def test_rules_that_are_not_enabled_are_read_and_say_so():
    off, on = parse(f'[[rule]]\nname = "A"\nenabled = false\n{RUN}[[rule]]\nname = "B"\n{RUN}')
    assert (off.enabled, on.enabled) == (False, True)


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path):
    for file, name in (
        ("20-b.toml", "B"),
        ("10-a.toml", "A"),
        ("notes.txt", "C"),
        (".#10-a.toml", "D"),
    ):
        (tmp_path / file).write_text(f'[[rule]]\nname = "{name}"\n{RUN}')
    assert [rule.name for rule in parse_rules(read_rule_texts(tmp_path), PROCESSORS)] == ["A", "B"]


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ('[[rule]]\nname = "A"\n' + RUN, '20.toml: rule "A": name: another rule has this name'),
        ("[[rule]]\n" + RUN, '20.toml: rule "number 1": name: a rule needs a name'),
        (b"\xff", '20.toml: rule "(file)": TOML: not UTF-8 text'),
    ],
)
def test_an_error_names_the_file_of_a_folder_that_it_is_in(tmp_path, second, problem):
    (tmp_path / "10.toml").write_text('[[rule]]\nname = "A"\n' + RUN)
    content = second if isinstance(second, bytes) else second.encode()
    (tmp_path / "20.toml").write_bytes(content)
    with pytest.raises(RuleError) as caught:
        parse_rules(read_rule_texts(tmp_path), PROCESSORS)
    assert str(caught.value).startswith(problem)


def test_a_folder_without_rules_is_an_error(tmp_path):
    with pytest.raises(RuleError, match="no such file in the folder"):
        parse_rules(read_rule_texts(tmp_path), PROCESSORS)


def rule_with(match, rest=RUN):
    return f'[[rule]]\nname = "A"\nmatch = {{ {match} }}\n{rest}'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[[rule]\n", ["rules.toml", "TOML"]),
        (f"a = {'[' * 100_000}", ["TOML: expected tables and lists at most 40 deep"]),
        (rule_with(f"{'not = { ' * 50}Modality = 'MR'{' }' * 50}"), ["at most 40 deep"]),
        (f"{'a.' * 200}a = 1", ["at most 40 deep"]),
        (f"a = {'1' * 5000}", ["TOML: Exceeds the limit"]),
        ('[[rules]]\nname = "A"', ["rules: unknown key (did you mean rule?)"]),
        ('[rule]\nname = "A"', ["rule: expected tables: write [[rule]]"]),
        ("[[rule]]\n" + RUN, ['rule "number 1"', "a rule needs a name"]),
        ('[[rule]]\nname = "A"', ["needs either [rule.run] or [rule.then] drop"]),
        ('[[rule]]\nname = "A"\nthen = { drop = "x" }\n' + RUN, ["needs either"]),
        ('[[rule]]\nname = "A"\nthen = { drop = "" }', ["then.drop", "expected the reason"]),
        ('[[rule]]\nname = "A"\nthen = { drp = "x" }', ["then.drp", "did you mean drop?"]),
        ('[[rule]]\nname = "A"\nthen = { drop = "x", keep = "y" }', ["then: expected one of"]),
        ('[[rule]]\nname = "A"\nmatch = []\n' + RUN, ["match: expected a table"]),
        ('[[rule]]\nname = "A"\nrun = { converf = {} }', ["run.converf", "did you mean convert?"]),
        ('[[rule]]\nname = "A"\nrun = { picky = {} }', ["run.picky", "expected nifti or npz"]),
        (
            '[[rule]]\nname = "A"\nrun = { metadata = {}, qc = {} }',
            ["run.metadata: uses what qc makes: write it below qc"],
        ),
        (
            '[[rule]]\nname = "A"\nrun = { qc = {}, forward = {} }',
            ["run.forward: is tried again by itself: give it its own rule"],
        ),
        (
            '[[rule]]\nname = "A"\nrun = { convert = { when = { Low_quality = 0 } }, qc = {} }',
            ["run.convert.when.Low_quality", "no step stands before it"],
        ),
        (
            '[[rule]]\nname = "A"\nrun = { qc = {}, convert = { when = { Modality = "CT" } } }',
            ["run.convert.when.Modality", "expected what an earlier step finds: qc_state"],
        ),
        (rule_with("Low_quality = 1"), ["match.Low_quality", "no rule above runs qc"]),
        (rule_with('Modalty = "MR"'), ["did you mean Modality?"]),
        (rule_with('study_modality = "MR"'), ["did you mean study_modalities?"]),
        (rule_with('Modality = { is = "MR" }'), ["match.Modality.is"]),
        (rule_with('Modality = { in = "MR" }'), ["expected a list"]),
        (rule_with('Modality = { regex = "(" }'), ["regular expr"]),
        (rule_with('Modality = { regex = "a{99999999999999999999}" }'), ["regular expr"]),
        (rule_with(f"Modality = {{ regex = '{'(' * 2000}{')' * 2000}' }}"), ["regular expr"]),
        (rule_with('instances = { min = "x" }'), ["expected a number, got text"]),
        (rule_with('grade = { at_least = "sure" }'), ["one of forced"]),
        (rule_with('Modality = { at_least = "quiet" }'), ["unknown op"]),
        (rule_with('any = "x"'), ["match.any", "list of tables"]),
        (rule_with('not = "x"'), ["match.not", "expected a table"]),
        (rule_with("Modality = { present = 1 }"), ["true or false"]),
        (rule_with("Modality = {}"), ["expected a value or one of"]),
        (rule_with("Rows = { min = true }"), ["a number, got true or false"]),
        (
            rule_with('RequestAttributesSequence.0.RequestedProcedureDescription = "x"'),
            ["match.RequestAttributesSequence", "name an element of an item, in quotes"],
        ),
        (rule_with("'RequestAttributesSequence.0' = 1"), ["expected an element of the item"]),
        (rule_with("'Modality.0.Rows' = 1"), ["Modality is no sequence"]),
        (rule_with("'RequestAttributesSequence.x.Rows' = 1"), ["x: no such DICOM keyword"]),
        (rule_with("'(0018,0080)' = 1"), ["write its keyword, or a private tag as"]),
        (rule_with("'(0018,SIEMENS,0C)' = 1"), ["the group of a private tag is odd"]),
        (rule_with("'(0019,SIEMENS)' = 1"), ["expected a private tag as"]),
        (rule_with("PixelData = { present = true }"), ["values that rules do not see"]),
        (rule_with("MediaStorageSOPClassUID = 'x'"), ["rules see TransferSyntaxUID only"]),
        ('[[rule]]\nname = "A"\nenabled = 1\n' + RUN, ["enabled: expected true or false"]),
        ('[[rule]]\nname = "A"\npriority = 101\n' + RUN, ["priority", "from -100 to 100"]),
        ('[[rule]]\nname = "A"\npriority = true\n' + RUN, ["priority", "got True"]),
        ('[[rule]]\nname = "A"\nwindow = "night"\n' + RUN, ["window", "such as"]),
        ('[[rule]]\nname = "A"\nnotify = 5\n' + RUN, ["notify: expected the name"]),
        ('[[rule]]\nname = "A"\nnotify = []\n' + RUN, ["notify: expected the name"]),
        ('[[rule]]\nname = "A"\nnotify = { to = [] }\n' + RUN, ["notify: to: expected a text"]),
        ('[[rule]]\nname = "A"\nnotify = { on = "done" }\n' + RUN, ["notify: to: expected"]),
        (
            '[[rule]]\nname = "A"\nnotify = { to = "it", on = "x" }\n' + RUN,
            ["notify: on: expected some of done, failed"],
        ),
        (
            '[[rule]]\nname = "A"\nnotify = { too = "it" }\n' + RUN,
            ["notify: too: unknown key; expected one of to, on"],
        ),
        (
            '[[rule]]\nname = "A"\nnotify = "it"\nthen = { drop = "x" }',
            ["notify: a rule with [rule.then] runs nothing"],
        ),
        ('[[rule]]\nname = "A"\nwindow = "20:00-24:00"\n' + RUN, ["from 00:00 to 23:59"]),
        ('[[rule]]\nname = "A"\nwindow = "20:00-20:00"\n' + RUN, ["the same"]),
        (
            '[[rule]]\nname = "A"\nwindow = "20:00-06:00"\nthen = { drop = "x" }',
            ["window: a rule with [rule.then] runs nothing"],
        ),
        ('[[rule]]\nname = "A"\ndeliver = { too = "x/y" }\n' + RUN, ["deliver.too", "mean to?"]),
        ('[[rule]]\nname = "A"\ndeliver = { to = 5 }\n' + RUN, ["deliver.to: expected text"]),
        (
            '[[rule]]\nname = "A"\ndeliver = { to = "{PatientId}/x" }\n' + RUN,
            ["deliver.to: PatientId: no such DICOM keyword (did you mean PatientID?"],
        ),
        (('[[rule]]\nname = "A"\n' + RUN) * 2, ["another rule has this name"]),
    ],
)
def test_an_error_names_file_rule_and_key(text, parts):
    problem = problem_of(text)
    assert problem.startswith("rules.toml: rule ")
    for part in parts:
        assert part in problem


def test_a_finding_of_a_rule_that_is_not_enabled_cannot_be_asked_for():
    text = f'[[rule]]\nname = "Q"\nenabled = false\n{RUN}' + rule_with("Low_quality = 1")
    assert "no rule above runs qc" in problem_of(text)
