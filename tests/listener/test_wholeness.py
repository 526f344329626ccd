"""What headers say against a series being whole; and that ordinary series have nothing said."""

import pytest

from listener.wholeness import Slice, findings_of

AXIAL, SAGITTAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def stack(positions, orientation=AXIAL, **more):
    return [Slice(n, orientation, float(p), **more) for n, p in enumerate(positions, 1)]


@pytest.mark.parametrize(
    "slices",
    [
        [],
        [Slice()],
        [Slice(number=7)],
        stack(range(0, 40, 2)),
        stack([*range(3), *range(3)]),  # two volumes
        stack([0.0, 2.004, 3.998]),
        [*stack([0, 5, 10]), *[Slice(9, SAGITTAL, 3.0)]],  # a localiser
        [Slice(number=1), Slice(number=1), Slice(number=9)],  # numbers that do not count
        [Slice(number=n) for n in (1, 100)],  # numbers that are no counting either
        stack([0, 1, 2], temporal_positions=1),
        stack([0, 1, 0, 1], temporal_positions=2),
        stack([0, 1, 0, 1, 0, 1, 0, 1], temporal_positions=2),  # two echoes of each
        stack([0, 1], in_acquisition=2, acquisition=1),
        stack([0, 1, 2], in_acquisition=2, acquisition=1),
    ],
)
def test_ordinary_series_have_no_findings(slices):
    assert findings_of(slices) == ()


@pytest.mark.parametrize(
    ("slices", "finding"),
    [
        ([Slice(number=n) for n in (1, 2, 4)], "no InstanceNumber 3"),
        ([Slice(number=n) for n in (4, 1, 6, 7)], "no InstanceNumber 2, 3 and 5"),
        (
            [Slice(number=n) for n in range(1, 30, 2)],
            "no InstanceNumber 2, 4, 6, 8, 10 and 9 more",
        ),
        (stack([0, 2, 4, 8, 10]), "1 gap along the normal, the first behind 4.0 mm"),
        (stack([0, 4, 6, 8, 12]), "2 gaps along the normal, the first behind 0.0 mm"),
        (
            stack([0, 2, 4.3, 6.3]),
            "uneven positions along the normal: 2.00 to 2.30 mm apart",
        ),
        (stack([0, 1, 2, 0, 1]), "1 of 3 positions hold fewer than 2 images"),
        (
            stack([0, 1, 0, 1, 0, 1], temporal_positions=4),
            "NumberOfTemporalPositions is 4, a position holds 3",
        ),
        (
            stack([0, 1, 2], in_acquisition=5, acquisition=1),
            "ImagesInAcquisition says 5, 3 are here",
        ),
        (
            [
                *stack([0, 1], in_acquisition=3, acquisition=1),
                *stack([2, 3], in_acquisition=3, acquisition=2),
            ],
            "ImagesInAcquisition says 3, 2 are here, and 1 more are short",
        ),
    ],
)
def test_what_does_not_fit_is_found(slices, finding):
    assert finding in findings_of(slices)
