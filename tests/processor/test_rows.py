"""Rows and summaries of series built in code: frames, levels, private tags, geometry."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from processor.cells import cell_of
from processor.geometry import plane_of
from processor.rows import SeriesRecord, metadata_rows
from processor.series_checks import standard_orientation
from processor.source import HeaderSource
from processor.summary import summary_row
from processor.templates import parse_entry


@pytest.fixture
def record(job):
    """The series of datasets, read from files as the command does."""
    return lambda source: SeriesRecord(HeaderSource(job(source).files), "A1/7")


def entry(keyword, **more):
    return parse_entry("t.json", {"keyword": keyword, **more})


def macro(**elements):
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return Sequence([item])


def enhanced(instance):
    """Two frames of 6 x 5 with echo times of 10 and 20 ms and b-values of 0 and 1000."""
    groups = []
    for echo, b_value in ((10.0, 0.0), (20.0, 1000.0)):
        direction = macro(DiffusionGradientOrientation=[1.0, 0.0, 0.0])
        group = Dataset()
        group.MREchoSequence = macro(EffectiveEchoTime=echo)
        group.MRDiffusionSequence = macro(
            DiffusionBValue=b_value, DiffusionGradientDirectionSequence=direction
        )
        groups.append(group)
    ds = instance(SOPClassUID=EnhancedMRImageStorage, Modality="MR", NumberOfFrames=2)
    ds.PixelData = np.zeros((2, 6, 5), np.uint16).tobytes()
    ds.SharedFunctionalGroupsSequence = macro(
        MRTimingAndRelatedParametersSequence=macro(RepetitionTime=2000.0)
    )
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return ds


def test_an_enhanced_object_fills_the_columns_of_others(record, instance):
    columns = ("RepetitionTime", "EchoTime", "DiffusionGradientOrientation", "b_value")
    (row,) = metadata_rows(record([enhanced(instance)]), [entry(name) for name in columns])
    assert [row[name] for name in columns] == [2000, 10, r"1.0\0.0\0.0", 0]


def test_an_aggregate_is_over_the_frames_of_an_enhanced_object(record, instance):
    asked = [
        entry("EchoTime", column="echoes", agg="distinct"),
        entry("b_value", column="b", agg="min_max"),
        entry("EchoTime", column="n", agg="count"),
    ]
    (row,) = metadata_rows(record([enhanced(instance)]), asked)
    assert [row[name] for name in ("echoes", "b", "n")] == ["10; 20", "0 to 1000", 2]


def test_a_row_an_instance_has_its_own_values_and_those_of_the_series(record, stack):
    asked = [
        entry("InstanceNumber", level="instance"),
        entry("InstanceNumber", column="all", agg="min_max"),
        entry("InstanceNumber", column="own", agg="count", level="instance"),
    ]
    rows = metadata_rows(record(stack(3)), asked)
    found = [(row["InstanceNumber"], row["all"], row["own"]) for row in rows]
    assert found == [(1, "1 to 3", 1), (2, "1 to 3", 1), (3, "1 to 3", 1)]


@pytest.mark.parametrize(
    ("vr", "value", "cell"),
    [
        ("LO", "GE", "GE"),
        ("DS", "1.5", 1.5),
        ("UN", b"abc ", "abc"),
        ("UN", b"\x01\x02", "2 bytes"),
    ],
)
def test_a_private_element_is_shown_as_far_as_it_can_be(vr, value, cell):
    header = Dataset()
    header.add_new(0x00191010, vr, value)
    assert cell_of(header, parse_entry("t.json", "(0019,1010)").key) == cell


def test_whole_numbers_that_a_workbook_would_round_are_text():
    header = Dataset()
    header.add_new(0x00191010, "UV", 2**60 + 1)
    assert cell_of(header, 0x00191010) == str(2**60 + 1)


def test_the_summary_judges_an_even_stack_without_conversion_or_quality_control(record, stack):
    row = summary_row(record(stack(3)))
    assert (row["standardOrientation"], row["obliquityDeg"], row["Stacks"]) == ("AX", 0, 1)
    names = ("isSingleOrientation", "isEvenlySpaced", "hasUniquePositions", "hasAllPositions")
    assert [row[name] for name in names] == [True] * 4
    assert (row["FileCount"], row["UnreadableFiles"], row["FramesVerified"]) == (3, 0, None)


def test_the_summary_sees_a_gap_and_two_slices_in_one_place(record, stack):
    slices = stack(6)
    slices[1].ImagePositionPatient = slices[0].ImagePositionPatient
    row = summary_row(record([*slices[:3], slices[5]]))
    # Positions 0, 0, 6 and 15 mm: gaps of 6 and 9 mm are neither even nor all of one spacing.
    assert (row["hasUniquePositions"], row["isEvenlySpaced"]) == (False, False)


def test_the_positions_of_an_enhanced_object_are_those_of_its_frames(record, instance):
    ds = enhanced(instance)
    del ds.ImagePositionPatient, ds.ImageOrientationPatient
    names = ("standardOrientation", "hasUniquePositions", "DuplicatePositions")
    assert [summary_row(record([ds]))[name] for name in names] == [None] * 3
    ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence = macro(
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1]
    )
    for z, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        group.PlanePositionSequence = macro(ImagePositionPatient=[3.0 * z, 0, 0])
    assert [summary_row(record([ds]))[name] for name in names] == ["SAG", True, 0]


def test_a_projection_has_no_orientation(record, instance):
    row = summary_row(record([instance(Modality="DX")]))
    assert (row["standardOrientation"], row["isEvenlySpaced"]) == (None, None)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ([0, 1, 0, 0, 0, -1], "SAG"),
        ([1, 0, 0, 0, 0, -1], "COR"),
        # A normal turned by 18 degrees: cos(18)^2 = 0.905; by 19: 0.894.
        ([1, 0, 0, 0, np.cos(np.radians(18)), np.sin(np.radians(18))], "AX"),
        ([1, 0, 0, 0, np.cos(np.radians(19)), np.sin(np.radians(19))], "OBL"),
    ],
)
def test_the_orientation_is_that_of_the_largest_part_of_the_normal(instance, orientation, expected):
    plane = plane_of(instance(ImageOrientationPatient=orientation))
    assert standard_orientation(plane.normal_lps) == expected
