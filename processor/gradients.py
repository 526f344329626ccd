"""FSL's files of a diffusion series: `.bval`, and `.bvec` along the axes of the NIfTI."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from processor.diffusion import b_value_of, direction_of, is_in_image_frame
from processor.geometry import LPS_TO_RAS, Array
from processor.plan import Stack

_UNWEIGHTED = 50.0
"""Below this b-value, in s/mm2, a volume needs no direction."""


def gradient_table(stack: Stack, affine_ras: Array) -> tuple[Sequence[float], Array | None]:
    """b-values, and directions along the voxel axes as FSL wants them.

    Parameters
    ----------
    affine_ras : ndarray, shape (4, 4)
        Of the written file: directions follow its axes, and the first one is turned round where
        they are right-handed.

    Returns
    -------
    list of float
        One for each volume; empty where one of them tells none.
    ndarray, shape (3, volumes), or None
        None where a weighted volume tells no direction, as trace images do.
    """
    headers = [next(frame for frame in volume if frame).header for volume in stack.frames]
    b_values = [b_value_of(header) for header in headers]
    told = [value for value in b_values if value is not None]
    if len(told) < len(headers) or len(told) < 2 or max(told) < _UNWEIGHTED:
        return [], None
    directions = [_along_axes(header, stack, affine_ras) for header in headers]
    known = zip(directions, told, strict=True)
    if any(direction is None and value >= _UNWEIGHTED for direction, value in known):
        return told, None
    zero = np.zeros(3)
    table = np.array([zero if direction is None else direction for direction in directions])
    return told, table.T


def _along_axes(header: Dataset, stack: Stack, affine_ras: Array) -> Array | None:
    direction, plane = direction_of(header), stack.first.plane
    if direction is None or plane is None:
        return None
    lps = np.asarray(direction)
    if is_in_image_frame(header):
        row, column = np.reshape(plane.orientation_lps, (2, 3))
        lps = np.column_stack([row, column, plane.normal_lps]) @ lps
    axes = affine_ras[:3, :3] / np.linalg.norm(affine_ras[:3, :3], axis=0)
    along = np.linalg.inv(axes) @ LPS_TO_RAS[:3, :3] @ (lps / np.linalg.norm(lps))
    if np.linalg.det(affine_ras[:3, :3]) > 0:
        along[0] = -along[0]
    return np.asarray(along / np.linalg.norm(along))


def write_gradients(path: Path, stack: Stack, affine_ras: Array | None) -> tuple[Path, ...]:
    """Write `.bval` and `.bvec` beside a 4D NIfTI where its headers tell them.

    Returns
    -------
    tuple of Path
        What was written.
    """
    if affine_ras is None or len(stack.frames) < 2:
        return ()
    b_values, directions = gradient_table(stack, affine_ras)
    if not b_values:
        return ()
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    written = [path.with_name(f"{stem}.bval")]
    written[0].write_text(_line(b_values), encoding="ascii")
    if directions is not None:
        written.append(path.with_name(f"{stem}.bvec"))
        written[1].write_text("".join(_line(row) for row in directions), encoding="ascii")
    return tuple(written)


def _line(values: Sequence[float] | Array) -> str:
    return " ".join(f"{value + 0.0:.6g}" for value in values) + "\n"
