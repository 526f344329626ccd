"""The planes of a stack in the order of a file, whichever way its axes are turned.

It moves values only, a part of the stack at a time: no second copy of the volume is made.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 25
_WIDEST_BLOCK = 64  # of which a row fills whole cache lines

FrameValues = Callable[[], NDArray[Any]]


def upright_planes(frames: Sequence[FrameValues]) -> Iterator[NDArray[Any]]:
    """The frames themselves, rows from the bottom.

    Parameters
    ----------
    frames : sequence of callable
        In the order of the slices; each gives (rows, columns) or (rows, columns, 3), rows from
        the top.
    """
    return (frame()[::-1] for frame in frames)


def turned_planes(
    frames: Sequence[FrameValues], turns: NDArray[np.float64]
) -> Iterator[NDArray[Any]]:
    """The planes of the stack after its axes were swapped and flipped.

    Parameters
    ----------
    frames : sequence of callable
        In the order of the slices; each gives (rows, columns), rows from the top. Where planes
        are no longer frames each is called several times.
    turns : ndarray, shape (3, 2)
        For each of i (columns), j (rows from the bottom) and k (slices) the axis it becomes, and
        -1 where it is flipped, as nibabel's `io_orientation` tells.

    Yields
    ------
    ndarray
        Of the turned volume (i', j', k') the planes along k', as (j', i').
    """
    across = int(np.flatnonzero(turns[:, 0] == 2)[0])
    one = frames[0]()
    length = (one.shape[1], one.shape[0], len(frames))[across]
    step = max(1, min(_WIDEST_BLOCK, _BLOCK_BYTES * length // (one.nbytes * len(frames))))
    starts = range(0, length, step)
    for start in starts if turns[across, 1] > 0 else reversed(starts):
        block = _block(frames, across, slice(start, start + step))
        turned = _turned(block, turns)
        for index in range(turned.shape[2]):
            yield turned[:, :, index].T


def _block(frames: Sequence[FrameValues], across: int, part: slice) -> NDArray[Any]:
    """Some planes along one axis, shape (i, j, k)."""
    if across == 2:
        parts = [frame()[::-1] for frame in frames[part]]
    else:
        inside = (slice(None), part) if across == 0 else (part, slice(None))
        parts = [frame()[::-1][inside] for frame in frames]
    return np.stack(parts).transpose(2, 1, 0)


def _turned(block: NDArray[Any], turns: NDArray[np.float64]) -> NDArray[Any]:
    orientations: Any = nib.orientations
    return np.asarray(orientations.apply_orientation(block, turns))


def turns_to_ras(affine_ras: NDArray[np.float64]) -> NDArray[np.float64]:
    """The turns after which the axes run closest to R, A, S."""
    orientations: Any = nib.orientations
    return np.asarray(orientations.io_orientation(affine_ras))


def turned_shape(shape: tuple[int, ...], turns: NDArray[np.float64]) -> tuple[int, ...]:
    """The shape (i, j, k) after the turns."""
    return tuple(shape[index] for index in np.argsort(turns[:, 0]))


def turned_affine(
    affine_ras: NDArray[np.float64], shape: tuple[int, ...], turns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The affine of the turned stack: voxels stay where they are."""
    orientations: Any = nib.orientations
    return np.asarray(affine_ras @ orientations.inv_ornt_aff(turns, shape[:3]))
