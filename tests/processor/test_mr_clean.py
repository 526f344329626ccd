"""MR normalisation: classes, evidence, and tables that are not as they should be.

Not covered: how often it is right on real scans, which `make bench-mr-clean` measures.
"""

import csv
import json
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.errors import MrConfigError
from processor.mr_clean import COLUMNS, clean_rows, process_mri_dataframe
from processor.mr_clean.config import CLASSES, SCHEMA_FILE, SHIPPED, load_config, schema
from processor.mr_clean.reading import READ
from processor.mr_clean.wording import normalised

LABELLED = Path(__file__).parents[2] / "benchmarks" / "mr_clean"
AXIAL, OBLIQUE = r"1\0\0\0\1\0", r"1\0\0\0\0.7071\0.7071"


def clean(**row):
    ((_, cleaned),) = clean_rows([row])
    return cleaned


def named(name, **row):
    return clean(SeriesDescription=name, **row)


@pytest.mark.parametrize(
    ("name", "label", "row"),
    [
        pytest.param(
            one["name"],
            one["label"],
            {
                "RepetitionTime": one["TR"],
                "EchoTime": one["TE"],
                "InversionTime": one["TI"],
                "ScanningSequence": one["scanning"],
            },
            id=one["name"],
        )
        for one in csv.DictReader((LABELLED / "names.csv").read_text(encoding="utf-8").splitlines())
    ],
)
def test_a_labelled_name_is_what_its_label_says(name, label, row):
    assert named(name, **row)["sequenceClass"] in label.split("|")


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"ImageType": r"DERIVED\PRIMARY\DIFFUSION\ADC"}, "ADC"),
        ({"ImageType": "['ORIGINAL', 'PRIMARY', 'LOCALIZER']"}, "LOCALIZER"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.2"}, "MRS"),
        ({"b_value": "0; 500; 1500", "ScanningSequence": "EP", "EchoTime": 80}, "DWI"),
        ({"AcquisitionContrast": "PERFUSION", "EchoTime": 30}, "PWI"),
        ({"AcquisitionContrast": "T2_STAR", "EchoTime": 90}, "T2*"),
        ({"AngioFlag": "Y", "ScanningSequence": "GR"}, "MRA"),
        ({"ImageType": r"DERIVED\SECONDARY"}, "DERIVED"),
        ({"ImageType": r"DERIVED\SECONDARY\MPR", "SeriesDescription": "loc_MPR"}, "LOCALIZER"),
        ({}, "EXCLUDED"),
        ({"SeriesDescription": "Series 5"}, "UNKNOWN"),
    ],
)
def test_image_type_and_elements_decide_before_times(row, found):
    assert clean(**row)["sequenceClass"] == found


@pytest.mark.parametrize(
    ("tesla", "tr", "te", "found"),
    [
        (1.5, 900, 12, "UNKNOWN"),
        (3, 900, 12, "T1_SE"),
        ("30000", 900, 12, "T1_SE"),  # gauss
        (0.5, 1600, 72, "T2_SE"),
        (None, 1600, 72, "UNKNOWN"),
        (7, 2600, 52, "T2_SE"),
        (1.5, 1900, 40, "PD_SE"),
    ],
)
def test_times_are_judged_by_the_nearest_field_strength(tesla, tr, te, found):
    row = {"MagneticFieldStrength": tesla, "RepetitionTime": tr, "EchoTime": te}
    assert clean(ScanningSequence="SE", **row)["sequenceClass"] == found


def test_a_decision_has_its_rule_its_evidence_and_what_was_next():
    cleaned = named("t1_tse", ScanningSequence="SE", RepetitionTime=4000, EchoTime=100)
    assert (cleaned["sequenceClass"], cleaned["runnerUp"]) == ("T1_TSE", "T2_TSE")
    assert (cleaned["ruleId"], cleaned["confidence"]) == ("A-t1", 0.7)
    assert "name 't1 tse'" in cleaned["evidence"]
    agreed = named("t1_tse", ScanningSequence="SE", RepetitionTime=500, EchoTime=10)
    assert agreed["confidence"] == 0.9


@pytest.mark.parametrize(
    ("name", "row", "method"),
    [
        ("t2_tse_fs", {}, "CHESS"),
        ("T2W_SPAIR", {}, "SPAIR"),
        ("t2_tse", {"ScanOptions": r"PFP\FS"}, "FS"),
        ("t2_tse", {"ScanOptions": r"PFF\FSS"}, ""),
        ("Sag STIR", {}, "STIR"),
        ("T1 压脂", {}, "CHESS"),
        ("t1_vibe_dixon_W", {"ImageType": r"DERIVED\PRIMARY\DIXON\WATER"}, "DIXON"),
        ("t1_vibe_fs_dixon_F", {"ImageType": r"DERIVED\PRIMARY\DIXON\FAT"}, ""),
        ("t1_vibe_fs_in", {"ImageType": r"DERIVED\PRIMARY\DIXON\IN_PHASE"}, ""),
        ("t2_tse", {"SpectrallySelectedSuppression": "FAT"}, "SPECTRAL"),
    ],
)
def test_fat_suppression_is_seen_and_how(name, row, method):
    cleaned = named(name, **row)
    assert (cleaned["isFatSuppressed"], cleaned["fatSuppressionMethod"]) == (bool(method), method)


@pytest.mark.parametrize(
    ("name", "agent", "is_enhanced"),
    [
        ("T1 +C", "", True),
        ("T1 Gd", None, True),
        ("T1 增强", math.nan, True),
        ("T1", "Dotarem", True),
        ("T1", "NONE", False),
        ("T1", 0, False),
        ("T1 pre", "Dotarem", False),
        ("T1 w/o", "Dotarem", False),
        ("T1 平扫", "Dotarem", False),
    ],
)
def test_contrast_agent_is_seen_and_words_that_say_before_win(name, agent, is_enhanced):
    cleaned = named(name, ContrastBolusAgent=agent)
    assert cleaned["isContrastEnhanced"] is is_enhanced
    assert ("ContrastBolusAgent is filled" in cleaned["evidence"]) is (
        agent == "Dotarem" and not is_enhanced
    )


def test_what_else_is_normalised():
    cleaned = named(
        "ax T2 PROPELLER",
        ImageOrientationPatient=AXIAL,
        MRAcquisitionType="2D",
        ImageType=r"ORIGINAL\PRIMARY\M\ND",
        MagneticFieldStrength=30000,
        Manufacturer="GE MEDICAL SYSTEMS",
        ManufacturerModelName="DISCOVERY_MR750",
        EchoNumbers=2,
    )
    assert cleaned["sequenceClass"] == "T2_TSE_ECHO2_MC"
    told = [cleaned[name] for name in COLUMNS[1:15]]
    assert told == [
        *("T2_anatomic", "AX", "2D", 0.0, False, "", False, True, "ORIGINAL", "MAGNITUDE"),
        *("3.0T", "GE", "DISCOVERY MR750", ""),
    ]
    oblique = clean(ImageOrientationPatient=OBLIQUE)
    assert (oblique["standardOrientation"], oblique["obliquityDeg"]) == ("OBL", 45.0)
    assert named("t2_tse_sag")["standardOrientation"] == "SAG"


def study(rows, **same):
    frame = pd.DataFrame([{"SeriesDescription": "t1_vibe", **same, **row} for row in rows])
    frame["ScanningSequence"], frame["SequenceVariant"], frame["StudyInstanceUID"] = "GR", "SP", "1"
    return process_mri_dataframe(frame)


def test_labelled_dynamics_have_the_phases_of_their_labels():
    frame = pd.read_csv(LABELLED / "dynamics.csv", dtype=str, keep_default_na=False)
    frame = frame.sample(frac=1, random_state=1)  # in no order
    found = process_mri_dataframe(frame.assign(ScanningSequence="GR", SequenceVariant="SP"))
    assert list(found.index) == list(frame.index)
    assert list(found["dynamicPhase"]) == list(frame["label"])
    after = found[found["dynamicPhase"].str.startswith("POST")]
    assert after["isContrastEnhanced"].all()
    assert not found[found["dynamicPhase"] == "PRE"]["isContrastEnhanced"].any()


@pytest.mark.parametrize(
    "other",
    [
        {"RepetitionTime": 4.2},
        {"ImagePositionPatient": r"0\0\50"},
        {"FrameOfReferenceUID": "9"},
        {"Rows": 256},
        {"SeriesDescription": "t1_vibe_W", "ImageType": "DERIVED\\PRIMARY\\W"},
        {"EchoNumbers": 2},
        {"TriggerTime": 100, "NominalInterval": 800},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_is_no_dynamic(other):
    same = {"RepetitionTime": 4.0, "ImagePositionPatient": r"0\0\0", "Rows": 320}
    rows = [{"AcquisitionTime": "100000"}, {"AcquisitionTime": "100100", **other}]
    assert set(study(rows, **same)["dynamicGroup"]) == {""}


def test_times_within_two_percent_are_one_dynamic():
    rows = [{"RepetitionTime": 4.0, "AcquisitionTime": "100000"}]
    rows += [{"RepetitionTime": 4.07, "AcquisitionTime": "100100"}]
    assert set(study(rows)["dynamicGroup"]) == {"DYN_1"}


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.lists(st.one_of(st.floats(), st.text(max_size=5)), max_size=7),
    st.just(pd.NA),
    st.just(pd.NaT),
)


@settings(max_examples=150)
@given(st.lists(st.dictionaries(st.sampled_from(sorted(READ)), CELLS), min_size=1, max_size=4))
def test_no_cell_makes_it_fail(rows):
    for row, cleaned in clean_rows(rows):
        assert list(cleaned) == list(COLUMNS)
        base = cleaned["sequenceClass"]
        assert any(base == name or base.startswith(f"{name}_") for name in CLASSES), row


def test_a_table_keeps_its_rows_columns_and_index():
    frame = pd.DataFrame(
        {"Modality": ["CT", "MR", None], "note": ["a", "b", "c"], "sequenceClass": "old"},
        index=[7, 8, 9],
    )
    found = process_mri_dataframe(frame)
    assert (list(found.index), list(found["note"])) == ([8], ["b"])
    assert list(found.columns) == ["Modality", "note", *COLUMNS]
    assert len(process_mri_dataframe(frame.head(0))) == 0
    assert len(process_mri_dataframe(pd.DataFrame({"note": ["a"]}))) == 1


def test_only_the_named_columns_are_read():
    asked = set()

    class Row(dict):
        def get(self, key, default=None):
            asked.add(key)
            return super().get(key, default)

    list(clean_rows([Row(SeriesDescription="t1_vibe", ScanningSequence="GR", ScanOptions="a")] * 2))
    assert asked <= READ


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["classification"]["ruleA"][3].update(pattern="("), "A-breath.*regular exp"),
        (lambda c: c["classification"]["ruleA"][1].update({"class": "T9"}), "A-localizer"),
        (lambda c: c["classification"]["ruleA"][0].update(typo=1), "A-screen.*typo"),
        (lambda c: c["classification"]["ruleA"][0].update(weight="T1"), "A-screen.*either"),
        (lambda c: c["thresholds"].update(field_strength={"x": {}}), "thresholds"),
        (lambda c: c["classification"]["families"].pop("DWI"), "missing DWI"),
        (lambda c: c["dynamic"].update(tolerance=2), "tolerance"),
        (lambda c: c.pop("contrast"), "contrast"),
    ],
)
def test_a_wrong_rule_is_named(change, message):
    rules = json.loads(SHIPPED.read_text(encoding="utf-8"))
    change(rules)
    with pytest.raises(MrConfigError, match=message):
        process_mri_dataframe(pd.DataFrame(), cfg=rules)


def test_a_rule_of_the_users_own_is_obeyed(tmp_path):
    rules = json.loads(SHIPPED.read_text(encoding="utf-8"))
    rule = {"id": "A-ours", "class": "DWI", "pattern": "\\bzoomit\\b"}
    rules["classification"]["ruleA"].insert(0, rule)
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(rules))
    found = process_mri_dataframe(pd.DataFrame({"ProtocolName": ["Zoomit_t2"]}), config_path=path)
    assert (found["sequenceClass"][0], found["ruleId"][0]) == ("DWI", "A-ours")


def test_the_schema_is_that_of_the_code_and_ids_are_unique():
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == schema()
    assert load_config().thresholds.at(None) == load_config().thresholds.at(1.4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("REST1 w SMS", "rest1 w sms"),
        ("T2WTSE", "t2 tse"),
        ("SWI_mIP", "swi mip"),
        ("eT1W_mDIXON", "e t1 m dixon"),
        ("3DT1", "3d t1"),
        ("ep2d_b1000", "ep 2d b1000"),
        ("T2* GRE", "t2star gre"),
    ],
)
def test_names_are_split_where_words_begin(text, words):
    assert normalised(text) == words
