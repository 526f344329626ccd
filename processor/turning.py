"""The slices of a stack in the order of another axis: flips, swaps and nothing else.

A stack holds slices along k; formats want the axes closest to the patient's in an order of their
own. No value is interpolated and no whole volume is copied: planes are made one after the other.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from processor.geometry import Array

_orientations: Any = nib.orientations
_GATHERED = 64  # of which a row fills whole cache lines


def turns_to(axes: str, affine_ras: Array) -> NDArray[np.int64]:
    """How stored axes must be turned to run closest to `axes`.

    Parameters
    ----------
    axes : str
        nibabel's letters of the wanted axes: "RAS", "LPI".

    Returns
    -------
    ndarray, shape (3, 2)
        For each stored axis (i, j, k) which one it becomes, and 1 or -1 (flipped).
    """
    stored = _orientations.io_orientation(_without_ties(affine_ras))
    wanted = _orientations.axcodes2ornt(tuple(axes))
    return np.asarray(_orientations.ornt_transform(stored, wanted), dtype=np.int64)


def _without_ties(affine_ras: Array) -> Array:
    """Axes at 45 degrees belong to the same patient axis whatever the last digit says."""
    return np.asarray(np.round(affine_ras, 6))


def turned_affine(affine_ras: Array, turns: NDArray[np.int64], shape: Sequence[int]) -> Array:
    """The affine of a volume of `shape` after it was turned."""
    return np.asarray(affine_ras @ _orientations.inv_ornt_aff(turns, tuple(shape)))


def turned_shape(shape: Sequence[int], turns: NDArray[np.int64]) -> tuple[int, int, int]:
    """The shape of a volume of `shape` after it was turned."""
    lengths = [0, 0, 0]
    for length, axis in zip(shape, turns[:, 0], strict=True):
        lengths[axis] = int(length)
    return lengths[0], lengths[1], lengths[2]


def turned_spacing(
    values: tuple[float, float, float], turns: NDArray[np.int64]
) -> tuple[float, float, float]:
    """One number for each axis (its spacing) after the axes were turned."""
    found = [0.0, 0.0, 0.0]
    for value, axis in zip(values, turns[:, 0], strict=True):
        found[axis] = value
    return found[0], found[1], found[2]


def turned_planes(
    slices: Sequence[NDArray[Any]], turns: NDArray[np.int64]
) -> Iterator[NDArray[Any]]:
    """The planes of a turned volume along its third axis.

    Parameters
    ----------
    slices : sequence of ndarray, shape (rows from the bottom, columns[, samples])
        For each k the plane [j, i].

    Yields
    ------
    ndarray
        The plane [second axis, first axis]; a view where k stays the third axis.
    """
    third = int(np.flatnonzero(turns[:, 0] == 2)[0])
    if third == 2:
        for plane in _ordered(slices, int(turns[2, 1])):
            yield _turned(plane, turns, (1, 0))
        return
    axis = 1 - third  # of a slice: its rows are j, its columns are i
    numbers = np.arange(slices[0].shape[axis])[:: int(turns[third, 1])]
    for start in range(0, len(numbers), _GATHERED):
        chosen = numbers[start : start + _GATHERED]
        block = np.stack([np.take(plane, chosen, axis) for plane in slices])  # [k, j, i]
        for number in range(len(chosen)):
            yield _turned(np.take(block, number, axis + 1), turns, (2, 1 - third))


def _ordered(slices: Sequence[NDArray[Any]], sign: int) -> Sequence[NDArray[Any]]:
    return slices[::sign]


def _turned(plane: NDArray[Any], turns: NDArray[np.int64], stored: tuple[int, int]) -> NDArray[Any]:
    """A plane as [second, first] output axis; `stored` names the stored axes of its dimensions."""
    flipped = plane[:: int(turns[stored[0], 1]), :: int(turns[stored[1], 1])]
    return flipped if turns[stored[0], 0] == 1 else flipped.swapaxes(0, 1)
