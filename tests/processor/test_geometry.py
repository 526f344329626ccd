"""Affines against ones computed by hand, and every reason the planner refuses with.

Not covered: pixels; that written files agree with the plan is tested with the verifier.
"""

import math

import numpy as np
import pytest

from processor.errors import NotConvertible
from processor.geometry import Plane, closest_ras, missing_slices, plan_stack

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


def test_turning_to_ras_keeps_every_voxel_where_it_was():
    plan = plan_stack(planes((0, 1, 0, 0, 0, -1), [(x, 0, 0) for x in (0, 4, 8)]))
    volume = np.arange(5 * 6 * 3).reshape(5, 6, 3)
    turned, affine = closest_ras(volume, plan.affine_ras)
    assert np.all(np.diag(affine)[:3] > 0)
    for voxel in ((0, 0, 0), (4, 5, 2), (1, 2, 1)):
        place = plan.affine_ras @ (*voxel, 1)
        there = np.rint(np.linalg.inv(affine) @ place).astype(int)[:3]
        assert turned[tuple(there)] == volume[voxel]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (axial(-18, -12, -6 + 6, 6), "1 of 5 slices missing between z = -12.0 mm and 0.0 mm"),
        (axial(0, 3, 12, 15, 18), "2 of 7 slices missing between z = 3.0 mm and 12.0 mm"),
        (axial(0, 3, 3, 6), "duplicate slice positions: 1 repeated, the first at z = 3.0 mm"),
        (axial(0, 3, 7.5), "uneven slice spacing: 3.00 to 4.50 mm"),
        (axial(0, 3) + planes((1, 0, 0, 0, 0, -1), [(0, 0, 0)]), "mixed orientations: 2 stacks"),
        (axial(0) + planes(AXIAL, [(10, 20, 3)], rows=7), "mixed matrix: 2 sizes (5x6, 5x7)"),
        (axial(0) + planes(AXIAL, [(10, 20, 3)], spacing=(2, 1)), "mixed pixel spacing"),
        (planes((1, 0, 0, 0, 2, 0), [(0, 0, 0)]), "not two perpendicular unit vectors"),
        (
            planes(AXIAL, [(0, 3 * math.tan(math.radians(15)) * k, 3 * k) for k in range(3)]),
            "sheared by 15.0 degrees, as with a tilted gantry",
        ),
        (planes(AXIAL, [(0, 0, 0), (0, 2, 3), (0, 0, 6)]), "shift in their plane by up to 2.0 mm"),
    ],
)
def test_irregular_slices_are_refused_with_the_true_reason(given, reason):
    with pytest.raises(NotConvertible) as refusal:
        plan_stack(given)
    assert reason in str(refusal.value)


def test_gaps_that_are_no_multiples_are_not_called_missing():
    assert not missing_slices(np.array([1.0, 1.5, 1.0])).any()
