"""Rules that leave series out before the transfer, judged on what a PACS tells.

The rules of docs/retrieve.md are the ones that are tried here.
"""

import re
from pathlib import Path

import pytest

from query.matches import InstanceMatch, SeriesMatch, StudyMatch
from rules.errors import RuleError
from safelight.retrieve_filters import TOLD, Filter, read_filter

DOCUMENT = (Path(__file__).parents[2] / "docs" / "retrieve.md").read_text()
(DOCUMENTED,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)


def study(**more):
    values = dict.fromkeys(StudyMatch.__dataclass_fields__, "")
    values |= {"StudyInstanceUID": "1.2", "ModalitiesInStudy": ("CT",)}
    values |= {"NumberOfStudyRelatedSeries": None, "NumberOfStudyRelatedInstances": None}
    return StudyMatch(**{**values, **more})


def series(modality="CT", description="Thorax", count=40):
    return SeriesMatch("1.2", "1.2.1", 3, modality, description, "", count)


def instances(*image_type, count=40):
    return [InstanceMatch("", f"1.2.1.{n}", "", n, image_type) for n in range(1, count + 1)]


@pytest.fixture
def documented():
    return read_filter([("retrieve.md", DOCUMENTED)])


@pytest.mark.parametrize(
    ("told", "listed", "left_out"),
    [
        (series(), instances("ORIGINAL", "PRIMARY"), ""),
        (series("SR"), [], "Modalities of the study: neither CT nor MR"),
        (series(count=19), [], "At least 20 instances: fewer than 20 instances"),
        (series(count=None), instances(count=5), "At least 20 instances: fewer than 20 instances"),
        (series(), instances("DERIVED", "MPR"), "No reconstructions: reconstruction or scout"),
        (series(description="MPR cor"), [], "No reconstructions: reconstruction or scout"),
        (series(description=""), instances("ORIGINAL"), ""),
        (series(description="", count=None), [], ""),  # what is not told leaves nothing out
    ],
)
def test_the_documented_rules_do_as_they_say(documented, told, listed, left_out):
    assert documented.judge(study(), told, listed) == left_out


def test_the_derived_type_of_a_projection_image_does_not_count():
    rules = read_filter([("r", DOCUMENTED.replace('"CT", "MR"', '"CT", "MR", "MG"'))])
    assert rules.judge(study(), series("MG"), instances("DERIVED", "PRIMARY")) == ""


def test_a_rule_that_keeps_is_an_exception_from_those_below_it():
    keep = (
        '[[rule]]\nname = "k"\nmatch = { SeriesDescription = "Thorax" }\nthen = { keep = "yes" }\n'
    )
    rules = read_filter([("r", f"{keep}\n{DOCUMENTED}")])
    assert rules.judge(study(), series(count=3)) == ""
    assert rules.judge(study(), series(description="Knee", count=3))


def test_the_image_type_is_asked_for_only_where_a_rule_needs_it(documented):
    assert documented.asks_for_image_type
    assert not read_filter(
        [("r", DOCUMENTED.replace("ImageType", "BodyPartExamined"))]
    ).asks_for_image_type
    assert Filter().judge(study(), series()) == ""


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("match = { EchoTime = 3 }\nthen = { drop = 'x' }", "match.EchoTime: no PACS tells it"),
        ("match = { grade = 'listed' }\nthen = { drop = 'x' }", "match.grade: no PACS tells it"),
        ("run = { qc = {} }", "run: before a transfer a series is left out or fetched"),
        ("then = { hold = 'x' }", "then: before a transfer a series is left out or fetched"),
    ],
)
def test_a_rule_that_cannot_be_judged_before_the_transfer_is_refused(rule, said):
    with pytest.raises(RuleError, match=f'f.toml: rule "n": {said}'):
        read_filter([("f.toml", f'[[rule]]\nname = "n"\n{rule}\n')])


@pytest.mark.parametrize("name", TOLD)
def test_every_name_that_may_be_asked_for_is_documented(name):
    assert f"`{name}`" in DOCUMENT
