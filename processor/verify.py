"""The verifier: reads a written NIfTI back and compares it with the source, frame by frame.

It trusts nothing the converter computed: frames are placed again from their own headers.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from processor.geometry import DRIFT_TOLERANCE_MM, GRID_TOLERANCE_VOXEL, LPS_TO_RAS, Array

# scl_slope and scl_inter are 32-bit floats: each rounds by up to 6e-8 of itself.
_FLOAT32_ROUNDING = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class SourceFrame:
    """One frame as the source tells it.

    Attributes
    ----------
    matrix_lps : ndarray, shape (4, 4)
        (column, row, 0, 1) to millimetres, LPS: `processor.geometry.frame_matrix_lps`.
    values : ndarray, shape (rows, columns)
        Values after rescale.
    """

    matrix_lps: Array
    values: NDArray[Any]


@dataclass(frozen=True)
class Verification:
    """What the comparison found; the counts are frames, `unfilled` counts planes of the file."""

    frames: int
    matched: int = 0
    value_different: int = 0
    off_grid: int = 0
    repeated: int = 0
    unfilled: int = 0
    worst_residual_voxel: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether frames and planes match one to one."""
        return self.frames > 0 and self.matched == self.frames and not self.unfilled

    def as_json(self) -> dict[str, object]:
        """The counts for manifests and sidecars."""
        return asdict(self)


class Written:
    """A NIfTI read back: its affine and its planes as real values."""

    def __init__(self, path: Path) -> None:
        image: Any = nib.load(path)
        self.affine = np.asarray(image.affine, dtype=np.float64)
        self.stored = np.asarray(image.dataobj.get_unscaled())
        self.slope = float(image.dataobj.slope)
        self.intercept = float(image.dataobj.inter)

    def equals(self, stored: NDArray[Any], expected: NDArray[Any]) -> bool:
        """Whether stored values mean the expected ones, within the rounding of the scale."""
        if stored.shape != expected.shape:
            return False
        scaled = stored.astype(np.float64) * self.slope
        scale = np.abs(scaled).max(initial=0.0) + abs(self.intercept)
        difference = np.abs(scaled + self.intercept - expected)
        both_nan = np.isnan(scaled) & np.isnan(expected)
        within = difference <= _FLOAT32_ROUNDING * scale
        return bool(np.all(within | both_nan))


def position_rounding_mm(positions_lps: Array) -> float:
    """How far positions lie off the best line with even steps: what a vendor's rounding costs.

    Parameters
    ----------
    positions_lps : ndarray, shape (n, 3)
        ImagePositionPatient in the order of the slices.

    >>> position_rounding_mm(np.array([[0, 0, 0], [0, 0, 7.0], [0, 0, 14.0]])) < 1e-9
    True
    """
    steps = np.column_stack([np.ones(len(positions_lps)), np.arange(len(positions_lps))])
    line = steps @ np.linalg.lstsq(steps, positions_lps, rcond=None)[0]
    return float(np.linalg.norm(positions_lps - line, axis=1).max())


def verify_volume(
    path: Path, frames: Iterable[SourceFrame], rounding_mm: float = 0.0
) -> Verification:
    """Compare a 3D NIfTI with its source frames.

    For a frame with matrix M: ijk = inv(A) . diag(-1, -1, 1, 1) . M . [column, row, 0, 1]. The
    frame matches when every pixel falls on a voxel within 0.02 voxel, inside the volume, with
    equal values; frames and planes must be a bijection. Where the source's own positions are
    rounded, a pixel may lie off by twice that rounding, but never by more than 0.1 mm.

    Parameters
    ----------
    path : Path
        The file as written, with A in its header.
    frames : iterable of SourceFrame
        Every frame of the source, in any order.
    rounding_mm : float
        `position_rounding_mm` of the source; 0 where its positions are exact.
    """
    written = Written(path)
    inverse = np.linalg.inv(written.affine)
    voxel_mm = np.linalg.norm(written.affine[:3, :3], axis=0)
    allowed_mm = min(2 * rounding_mm, DRIFT_TOLERANCE_MM)
    taken: set[tuple[int, int]] = set()
    counts = {"frames": 0, "matched": 0, "value_different": 0, "off_grid": 0, "repeated": 0}
    worst = 0.0
    for frame in frames:
        placed = inverse @ LPS_TO_RAS @ frame.matrix_lps
        offset = _residual(placed, frame.values.shape)
        worst = max(worst, float(offset.max()))
        on_grid = offset.max() <= GRID_TOLERANCE_VOXEL or (
            float(np.linalg.norm(offset * voxel_mm)) <= allowed_mm
        )
        verdict = _verdict(written, placed, frame, taken) if on_grid else "off_grid"
        counts["frames"] += 1
        counts[verdict] += 1
    unfilled = _plane_count(written.stored.shape, taken) - len(taken)
    return Verification(**counts, unfilled=unfilled, worst_residual_voxel=round(worst, 6))


def _residual(placed: Array, shape: tuple[int, ...]) -> Array:
    """The worst distance along i, j, k, in voxels, between corner pixels and the voxel grid."""
    rows, columns = shape
    corners = np.array(
        [[c, r, 0, 1] for c in (0, columns - 1) for r in (0, rows - 1)], dtype=np.float64
    )
    voxels = (placed @ corners.T)[:3]
    return np.asarray(np.abs(voxels - np.rint(voxels)).max(axis=1))


def _verdict(
    written: Written,
    placed: Array,
    frame: SourceFrame,
    taken: set[tuple[int, int]],
) -> str:
    found = plane_at(written.stored, placed, (frame.values.shape[0], frame.values.shape[1]))
    if found is None:
        return "off_grid"
    place, stored = found
    if place in taken:
        return "repeated"
    taken.add(place)
    return "matched" if written.equals(stored, frame.values) else "value_different"


def plane_at(
    stored: NDArray[Any], placed: Array, shape: tuple[int, int]
) -> tuple[tuple[int, int], NDArray[Any]] | None:
    """The voxels a frame covers, as (rows, columns), and which plane that is.

    Parameters
    ----------
    placed : ndarray, shape (4, 4)
        (column, row, 0, 1) to voxel indices.

    Returns
    -------
    ((axis, index), ndarray) or None
        None when pixels are not voxels one to one or lie outside the volume.
    """
    steps = np.rint(placed[:3, :2]).astype(int)
    start = np.rint(placed[:3, 3]).astype(int)
    if sorted(np.abs(steps).sum(axis=0)) != [1, 1] or (np.abs(steps).sum(axis=1) > 1).any():
        return None
    rows, columns = shape
    end = start + steps @ [columns - 1, rows - 1]
    low, high = np.minimum(start, end), np.maximum(start, end)
    if (low < 0).any() or (high >= stored.shape).any():
        return None
    column_axis, row_axis = np.abs(steps).argmax(axis=0)
    across = 3 - int(column_axis) - int(row_axis)
    box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
    plane = np.transpose(stored[box], (row_axis, column_axis, across))[:, :, 0]
    flips = (steps[row_axis, 1], steps[column_axis, 0])
    return (across, int(start[across])), plane[:: flips[0], :: flips[1]]


def _plane_count(shape: tuple[int, ...], taken: set[tuple[int, int]]) -> int:
    axes = {axis for axis, _ in taken} or {2}
    return sum(shape[axis] for axis in axes)


def verify_image(path: Path, values: NDArray[Any]) -> Verification:
    """Compare a projection image, stored as (columns, rows, 1) with rows from the bottom.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
        The source's values after rescale.
    """
    written = Written(path)
    rows, columns = values.shape
    if written.stored.shape != (columns, rows, 1):
        return Verification(frames=1, off_grid=1)
    same = written.equals(written.stored[:, ::-1, 0].T, values)
    return Verification(frames=1, matched=int(same), value_different=int(not same))
