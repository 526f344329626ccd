"""Turned stacks against nibabel turning the whole volume at once."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from processor import turning
from processor.turning import (
    turned_affine,
    turned_planes,
    turned_shape,
    turned_spacing,
    turns_to,
)

COLUMNS, ROWS, SLICES = 5, 7, 3
AFFINE = np.array([[2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
TURNS = [
    np.column_stack([order, flips])
    for order in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]
VOLUME = np.arange(COLUMNS * ROWS * SLICES, dtype=np.int16).reshape(COLUMNS, ROWS, SLICES)


@pytest.mark.parametrize("turns", TURNS, ids=str)
@pytest.mark.parametrize("gathered", [2, 64])
def test_every_turn_is_that_of_the_whole_volume(turns, gathered, monkeypatch):
    monkeypatch.setattr(turning, "_GATHERED", gathered)
    expected = nib.orientations.apply_orientation(VOLUME, turns)
    slices = [VOLUME[:, :, k].T for k in range(SLICES)]
    found = np.stack(list(turned_planes(slices, turns)))
    np.testing.assert_array_equal(found, expected.T)
    assert turned_shape(VOLUME.shape, turns) == expected.shape


def test_colour_turns_with_its_samples():
    colour = np.stack([VOLUME, VOLUME + 1, VOLUME + 2], axis=3)
    turns = np.array([[2, -1], [0, 1], [1, -1]])
    slices = [colour[:, :, k].swapaxes(0, 1) for k in range(SLICES)]
    found = np.stack(list(turned_planes(slices, turns)))
    for sample in range(3):
        expected = nib.orientations.apply_orientation(colour[..., sample], turns)
        np.testing.assert_array_equal(found[..., sample], expected.T)


def test_a_turned_voxel_stays_where_it_was():
    """i becomes k, flipped: column 1 of 5 is slice 3. (1, 2, 0) lies at (12, 26, 30)."""
    turns = np.array([[2, -1], [1, 1], [0, 1]])
    affine = turned_affine(AFFINE, turns, VOLUME.shape)
    np.testing.assert_allclose(affine @ [0, 2, 3, 1], [12, 26, 30, 1])
    assert turned_spacing((2.0, 3.0, 4.0), turns) == (4.0, 3.0, 2.0)


def test_an_axis_at_45_degrees_goes_the_same_way_whatever_the_last_digit_says():
    half = np.sqrt(0.5)
    for error in (-1e-12, 0, 1e-12):
        tilted = np.array([[half + error, -half, 0, 0], [half, half + error, 0, 0],
                           [0, 0, 1, 0], [0, 0, 0, 1]])  # fmt: skip
        np.testing.assert_array_equal(turns_to("RAS", tilted), turns_to("RAS", tilted.round(9)))
