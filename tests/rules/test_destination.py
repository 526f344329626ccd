"""Folders from templates: whatever a header holds, the folder stays below the results folder."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.destination import parse_destination

TEMPLATE = "{PatientID}/{StudyDate}/{SeriesNumber:03d}_{SeriesDescription}"
HEADER = {
    "PatientID": ("0042",),
    "StudyDate": ("20261103",),
    "SeriesNumber": (5.0,),
    "SeriesDescription": ("t1_mprage sag",),
    "PixelSpacing": (0.5, 0.5),
}


def folder(template, **elements):
    return parse_destination(template).folder({**HEADER, **elements})


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (TEMPLATE, "0042/20261103/005_t1_mprage_sag"),
        ("study-a/{PatientID}", "study-a/0042"),
        ("x/{PixelSpacing}", "x/0.5_0.5"),
        ("x/{SeriesNumber}", "x/5"),
        ("x/{EchoTime:03d}", "x/no_EchoTime"),
        ("x/{PatientID:06d}", "x/000042"),
        ("x/{RequestAttributesSequence.0.StudyID}", "x/no_RequestAttributesSequence.0.StudyID"),
    ],
)
def test_a_template_is_filled_from_the_header(template, expected):
    assert folder(template) == expected


@pytest.mark.parametrize("value", ["..", "/", "../../etc", "", "\x00", "増強", " . "])
def test_what_makes_no_safe_name_is_named_for_the_element(value):
    assert folder("{PatientID}/x", PatientID=(value,)) in ("no_PatientID/x", "etc/x")


@given(st.text(), st.text(), st.one_of(st.floats(), st.text()))
def test_a_folder_has_the_names_of_its_template_and_never_leaves_the_results(a, b, number):
    path = PurePosixPath(folder(TEMPLATE, PatientID=(a,), StudyDate=(b,), SeriesNumber=(number,)))
    assert len(path.parts) == 3
    assert not path.is_absolute()
    for part in path.parts:
        assert part not in (".", "..")
        assert 0 < len(part.encode()) <= 255
        assert part.isascii()
        assert part.isprintable()


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("/data/{PatientID}", "below the results folder"),
        ("~/{PatientID}", "below the results folder"),
        ("{PatientID}", "a folder in a folder"),
        ("../{PatientID}", "is no name of a folder"),
        ("a//b", "is no name of a folder"),
        ("a/b/", "is no name of a folder"),
        ("a/{PatientID", "expected letters"),
        ("a/{SeriesNumber:.2f}", "expected letters"),
        ("a/b c", "expected letters"),
        ("a/{PatientName.x}", "x: no such DICOM keyword"),
    ],
)
def test_a_wrong_template_is_refused_with_what_was_expected(template, problem):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at below
        parse_destination(template)
    assert problem in str(caught.value)
