"""The rules that ship: what they leave out once a site enables them, and what they must not."""

import tomllib

import pytest

from processor.registry import KINDS
from rules.decide import decide
from rules.model import SeriesFacts
from rules.parse import DEFAULT_RULES, parse_rules
from rules.texts import RuleText, read_rule_texts

TEXT = DEFAULT_RULES.read_text()
ALL_ENABLED = parse_rules([RuleText("d", TEXT.replace("enabled = false\n", ""))], KINDS)


def outcome(instances=30, **header):
    series = SeriesFacts(
        {
            "Modality": ("MR",),
            "ImageType": ("ORIGINAL", "PRIMARY"),
            **{
                name: value if isinstance(value, tuple) else (value,)
                for name, value in header.items()
            },
        },
        {"instances": (float(instances),)},
    )
    return decide(series, ALL_ENABLED).summary.partition(":")[0]


KEPT = "Everything -> convert, qc, preview, metadata"


def test_as_shipped_only_everything_is_in_force():
    shipped = parse_rules(read_rule_texts(DEFAULT_RULES), KINDS)
    assert [rule.name for rule in shipped if rule.enabled] == ["Everything"]


def test_they_fit_on_one_screen():
    assert len(TEXT.splitlines()) <= 50
    assert len(tomllib.loads(TEXT)["rule"]) == len(ALL_ENABLED)


@pytest.mark.parametrize(
    "header",
    [
        {"ImageType": ("DERIVED", "SECONDARY", "MPR")},
        {"ImageType": ("DERIVED", "PRIMARY")},
        {"ImageType": ("SECONDARY",), "SeriesDescription": "MPR cor"},
        {"ImageType": ("SECONDARY",), "SeriesDescription": "t1_mip_sag"},
        {"ImageType": ("SECONDARY",), "SeriesDescription": "Aorta VRT"},
        {"ImageType": ("SECONDARY",), "SeriesDescription": "3D_VR"},
        {"ImageType": ("SECONDARY",), "SeriesDescription": "KEY_IMAGES"},
        {"ImageType": ("SECONDARY",), "SeriesDescription": "LOC"},
        {"ImageType": ("DERIVED", "PRIMARY"), "Modality": "DX", "SeriesDescription": "KEY IMAGES"},
    ],
)
def test_reconstructions_are_derived_series(header):
    assert outcome(**header) == "Derived series"


@pytest.mark.parametrize(
    "header",
    [
        {"SeriesDescription": "t1_mprage_sag"},
        {"SeriesDescription": "Ax 3D VIBRANT Mph+C"},
        {"SeriesDescription": "MPR cor"},
        *(
            {"ImageType": ("SECONDARY",), "SeriesDescription": name}
            for name in ("iDose 4", "MRCP 3D", "veLOCity", "KEYHOLE dyn", "REFLEX", "t1_mprage")
        ),
        *(
            {"ImageType": ("DERIVED", "PRIMARY"), "Modality": modality, "SeriesDescription": "PA"}
            for modality in ("DX", "CR", "MG")
        ),
    ],
)
def test_acquisitions_and_images_for_presentation_are_not_derived_series(header):
    assert outcome(**header) == KEPT


def test_a_series_without_image_type_and_description_is_not_called_derived():
    series = SeriesFacts({"Modality": ("CT",)}, {"instances": (30.0,)})
    assert decide(series, ALL_ENABLED).summary == KEPT


def test_too_few_instances_are_left_out_but_never_an_image_that_holds_many_frames():
    assert outcome(instances=9) == "Too few instances"
    assert outcome(instances=10) == KEPT
    assert outcome(instances=1, NumberOfFrames=120.0) == KEPT
    assert outcome(instances=1, Modality="DX") == KEPT


def test_only_wanted_modalities_pass_and_objects_without_pixels_do_not():
    assert outcome(Modality="US") == "Only these modalities"
    modalities = TEXT.replace('"CT", "MR", "PT", "CR"', '"SR"')
    rules = parse_rules([RuleText("d", modalities.replace("enabled = false\n", ""))], KINDS)
    sr = SeriesFacts({"Modality": ("SR",)}, {"instances": (1.0,)})
    assert decide(sr, rules).summary == "No pixels to convert: an object without pixels"
