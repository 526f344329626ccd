"""Where a frame belongs in a file: which plane its pixels are the voxels of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processor.geometry import GRID_TOLERANCE_VOXEL, Array


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a frame belongs in a file: across which axis, which index, and how it is turned."""

    axis: int
    index: int
    is_transposed: bool
    flips: tuple[int, int]
    residual: float

    def upright(self, plane: NDArray[Any]) -> NDArray[Any]:
        """A plane of the file (slower axis first) as the frame has it: (rows, columns)."""
        turned = plane.swapaxes(0, 1) if self.is_transposed else plane
        return turned[:: self.flips[0], :: self.flips[1]]


def spot_of(
    placed: Array,
    shape: tuple[int, ...],
    extent: tuple[int, int, int, int],
    voxel_mm: Array,
    allowed_mm: float,
) -> Spot | None:
    """Where a frame belongs; None when its pixels are not the voxels of one whole plane.

    Parameters
    ----------
    placed : ndarray, shape (4, 4)
        (column, row, 0, 1) to voxel indices.
    shape : tuple of int
        Rows and columns of the frame.
    extent : tuple of 4 ints
        The file's (i, j, k, t).
    voxel_mm : ndarray, shape (3,)
        The distance between voxels along each axis.
    allowed_mm : float
        How far pixels may lie off, beside 0.02 voxel.
    """
    offset = _residual(placed, shape)
    worst = float(offset.max())
    if worst > GRID_TOLERANCE_VOXEL and float(np.linalg.norm(offset * voxel_mm)) > allowed_mm:
        return None
    steps = np.rint(placed[:3, :2]).astype(int)
    start = np.rint(placed[:3, 3]).astype(int)
    if sorted(np.abs(steps).sum(axis=0)) != [1, 1] or (np.abs(steps).sum(axis=1) > 1).any():
        return None
    column_axis, row_axis = (int(axis) for axis in np.abs(steps).argmax(axis=0))
    across = 3 - column_axis - row_axis
    ends = start + steps @ [shape[1] - 1, shape[0] - 1]
    for axis in range(3):
        reached = {int(start[axis]), int(ends[axis])}
        whole = {0, extent[axis] - 1}
        if axis == across and not 0 <= min(reached) < extent[axis]:
            return None
        if axis != across and reached != whole:
            return None
    flips = (int(steps[row_axis, 1]), int(steps[column_axis, 0]))
    return Spot(across, int(start[across]), column_axis > row_axis, flips, worst)


def _residual(placed: Array, shape: tuple[int, ...]) -> Array:
    """The worst distance along i, j, k, in voxels, between corner pixels and the voxel grid."""
    rows, columns = shape
    corners = np.array(
        [[c, r, 0, 1] for c in (0, columns - 1) for r in (0, rows - 1)], dtype=np.float64
    )
    voxels = (placed @ corners.T)[:3]
    return np.asarray(np.abs(voxels - np.rint(voxels)).max(axis=1))
