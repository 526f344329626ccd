"""Affines against ones computed by hand, gaps and shear, and what is no regular stack.

Not covered: pixels; that written files agree with the plan is tested with the verifier.
"""

import math

import numpy as np
import pytest

from processor.errors import NotConvertible
from processor.geometry import Plane, missing_slices
from processor.stacks import missing_words, plan_stack, regular_runs

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def planes(orientation, positions, rows=6, spacing=(2.0, 0.5)):
    return [Plane(rows, 5, tuple(p), tuple(orientation), spacing, 3.0) for p in positions]


def axial(*z):
    return planes(AXIAL, [(10.0, 20.0, value) for value in z])


def test_an_axial_stack_has_the_affine_computed_by_hand():
    # i runs along +x LPS at 0.5 mm: -0.5 in RAS x. Rows are stored from the bottom, so j runs
    # along -y LPS at 2 mm: +2 in RAS y. k runs along +z at 3 mm. Voxel (0, 0, 0) is column 0 of
    # row 5 of the lowest slice: LPS (10, 20 + 5 * 2, 0) = (10, 30, 0), RAS (-10, -30, 0).
    plan = plan_stack(axial(3, 0, 6))
    expected = [[-0.5, 0, 0, -10], [0, 2, 0, -30], [0, 0, 3, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(plan.affine_ras, expected, atol=1e-12)
    assert plan.order == (1, 0, 2)
    assert plan.obliquity_degrees == 0


def test_a_coronal_stack_has_the_affine_computed_by_hand():
    # Row direction +x, column direction -z; normal = x cross -z = +y LPS, -y in RAS.
    # Voxel (0, 0, 0): LPS (0, 0, 0 - 5 * 2) = RAS (0, 0, -10). j runs along +z.
    plan = plan_stack(planes((1, 0, 0, 0, 0, -1), [(0, y, 0) for y in (0, 4, 8)]))
    expected = [[-0.5, 0, 0, 0], [0, 0, -4, 0], [0, 2, 0, -10], [0, 0, 0, 1]]
    np.testing.assert_allclose(plan.affine_ras, expected, atol=1e-12)


def test_a_sagittal_stack_has_the_affine_computed_by_hand():
    # Row direction +y, column direction -z; normal = y cross -z = -x LPS, +x in RAS: slices are
    # stored from x = 8 LPS (RAS -8) to x = 0. i runs along +y LPS, -y in RAS.
    plan = plan_stack(planes((0, 1, 0, 0, 0, -1), [(x, 0, 0) for x in (0, 4, 8)]))
    expected = [[0, 0, 4, -8], [-0.5, 0, 0, 0], [0, 2, 0, -10], [0, 0, 0, 1]]
    np.testing.assert_allclose(plan.affine_ras, expected, atol=1e-12)
    assert plan.order == (2, 1, 0)


def test_an_oblique_stack_has_the_affine_computed_by_hand():
    # Axial turned by 30 degrees about x: column direction (0, cos, sin), normal (0, -sin, cos).
    # j = -2 * column LPS = (0, -2 cos, -2 sin), in RAS (0, 2 cos, -2 sin). k = 3 * normal LPS =
    # (0, -3 sin, 3 cos), in RAS (0, 3 sin, 3 cos). Voxel 0: 5 rows * 2 mm down the column:
    # LPS (0, 10 cos, 10 sin), in RAS (0, -10 cos, 10 sin).
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    plan = plan_stack(planes((1, 0, 0, 0, c, s), [(0, -3 * s * k, 3 * c * k) for k in range(3)]))
    expected = [
        [-0.5, 0, 0, 0],
        [0, 2 * c, 3 * s, -10 * c],
        [0, -2 * s, 3 * c, 10 * s],
        [0, 0, 0, 1],
    ]
    np.testing.assert_allclose(plan.affine_ras, expected, atol=1e-12)
    assert plan.obliquity_degrees == pytest.approx(30)


def test_a_single_slice_takes_its_depth_from_the_header():
    assert plan_stack(axial(0)).spacing_mm == (0.5, 2.0, 3.0)


@pytest.mark.parametrize(
    ("given", "order", "words"),
    [
        (
            axial(-18, -12, 0, 6),
            (0, 1, None, 2, 3),
            "1 of 5 slices missing between z = -12.0 mm and 0.0 mm",
        ),
        (
            axial(0, 3, 12, 15, 24),
            (0, 1, None, None, 2, 3, None, None, 4),
            (
                "4 of 9 slices missing between z = 3.0 mm and 12.0 mm, "
                "and between z = 15.0 mm and 24.0 mm"
            ),
        ),
    ],
)
def test_slices_that_are_missing_keep_their_place(given, order, words):
    plan = plan_stack(given)
    assert plan.order == order
    assert missing_words(plan, given[0].rows) == words
    for k, index in enumerate(order):
        if index is not None:
            place = plan.affine_ras @ [0, given[0].rows - 1, k, 1]
            x, y, z = given[index].position_lps
            np.testing.assert_allclose(place[:3], [-x, -y, z])


def test_a_tilted_stack_keeps_its_shear():
    """15 degrees: each slice lies 3 tan 15 mm further along y, and 3 / cos 15 mm from the last."""
    shift = 3 * math.tan(math.radians(15))
    plan = plan_stack(planes(AXIAL, [(0, shift * k, 3 * k) for k in range(3)]))
    np.testing.assert_allclose(plan.affine_ras[:3, 2], [0, -shift, 3])
    assert plan.tilt_degrees == pytest.approx(15)
    assert plan.spacing_mm[2] == pytest.approx(3 / math.cos(math.radians(15)))


def test_slices_whose_distance_changes_once_are_two_regular_runs():
    given = axial(0, 4, 8, 12, 19, 26, 33)
    assert regular_runs(given) == [[0, 1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (axial(0, 3, 3, 6), "duplicate slice positions: 1 repeated, the first at z = 3.0 mm"),
        (axial(0, 3, 7.5), "uneven slice spacing: 3.00 to 4.50 mm"),
        (planes((1, 0, 0, 0, 2, 0), [(0, 0, 0)]), "not two perpendicular unit vectors"),
        (planes(AXIAL, [(0, 0, 0), (0, 2, 3), (0, 0, 6)]), "shift in their plane by up to 2.0 mm"),
    ],
)
def test_irregular_slices_are_refused_with_the_true_reason(given, reason):
    with pytest.raises(NotConvertible) as refusal:
        plan_stack(given)
    assert reason in str(refusal.value)


def test_gaps_that_are_no_multiples_are_not_called_missing():
    assert not missing_slices(np.array([1.0, 1.5, 1.0])).any()
