"""Turned stacks against nibabel turning the whole volume at once."""

import itertools
from functools import partial

import nibabel as nib
import numpy as np
import pytest

from processor import planes
from processor.planes import turned_affine, turned_planes, turned_shape, upright_planes

COLUMNS, ROWS, SLICES = 5, 7, 3
AFFINE = np.array([[2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
TURNS = [
    np.column_stack([order, flips])
    for order in itertools.permutations(range(3))
    for flips in itertools.product((1.0, -1.0), repeat=3)
]


@pytest.fixture
def images():
    return np.arange(COLUMNS * ROWS * SLICES, dtype=np.int16).reshape(SLICES, ROWS, COLUMNS)


def calls(images):
    return [partial(lambda image: image, image) for image in images]


def volume_of(images):
    """Voxel (i, j, k) is column i of row (rows - 1 - j) of slice k."""
    return images[:, ::-1].transpose(2, 1, 0)


def test_upright_planes_begin_at_the_bottom_row(images):
    found = np.stack(list(upright_planes(calls(images))))
    np.testing.assert_array_equal(found, volume_of(images).T)


@pytest.mark.parametrize("turns", TURNS, ids=str)
@pytest.mark.parametrize("widest", [2, 64])
def test_every_turn_is_that_of_the_whole_volume(images, turns, widest, monkeypatch):
    monkeypatch.setattr(planes, "_WIDEST_BLOCK", widest)
    expected = nib.orientations.apply_orientation(volume_of(images), turns)
    found = np.stack(list(turned_planes(calls(images), turns)))
    np.testing.assert_array_equal(found, expected.T)
    assert turned_shape((COLUMNS, ROWS, SLICES), turns) == expected.shape


def test_a_turned_voxel_stays_where_it_was():
    """i becomes k, flipped: column 1 of 5 is slice 3. (1, 2, 0) lies at (12, 26, 30)."""
    turns = np.array([[2, -1], [1, 1], [0, 1]])
    affine = turned_affine(AFFINE, (COLUMNS, ROWS, SLICES), turns)
    np.testing.assert_allclose(affine @ [0, 2, 3, 1], [12, 26, 30, 1])
