"""Writing NPZ: one array `data` of real values, float32, shape [Z, Y, X].

z increases toward Inferior, y toward Posterior, x toward the patient's Left: the axes closest to
the patient's, without interpolation. A head-first supine axial slice equals its DICOM image. Images
without a place in the patient are [1, Rows, Columns] as stored.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from processor.errors import NotConvertible
from processor.plan import Stack
from processor.turning import turned_affine, turned_planes, turned_shape, turned_spacing, turns_to
from processor.voxels import Placed, Voxels, spacing_mm

_EARLIEST = (1980, 1, 1, 0, 0, 0)


def write_npz(path: Path, stack: Stack, compression: int) -> Placed:
    """Write a stack of one volume.

    Parameters
    ----------
    compression : int
        Deflate level 0 to 9.

    Returns
    -------
    Placed
        `shape` and `spacing_mm` as Z, Y, X; `affine_ras` is that of data.transpose(2, 1, 0).

    Raises
    ------
    NotConvertible
        Colour, which has no place in one number a voxel.
    """
    voxels = Voxels(stack)
    if voxels.is_colour:
        raise NotConvertible("colour images become NIfTI only, never NPZ")
    rows, columns = voxels.slice_shape
    spacing = spacing_mm(stack)
    if stack.plan is None:
        image = voxels.slices(0)[0][::-1]
        shape = (1, rows, columns)
        _write(path, shape, _real(iter([image]), voxels), compression)
        return Placed(shape, spacing[::-1], None)
    stored = (columns, rows, len(stack.frames[0]))
    turns = turns_to("LPI", stack.plan.affine_ras)
    shape = turned_shape(stored, turns)[::-1]
    planes = turned_planes(voxels.slices(0), turns)
    _write(path, shape, _real(planes, voxels), compression)
    affine = turned_affine(stack.plan.affine_ras, turns, stored)
    return Placed(shape, turned_spacing(spacing, turns)[::-1], affine, _source_axes(turns))


def _source_axes(turns: NDArray[np.int64]) -> dict[str, object]:
    """Which axis of the source became which, and whether it was flipped; rows from the bottom."""
    return {
        "source_axes": {
            name: {"becomes": "XYZ"[int(axis)], "flipped": bool(sign < 0)}
            for name, (axis, sign) in zip(("columns", "rows", "slices"), turns, strict=True)
        }
    }


def _real(planes: Iterator[NDArray[Any]], voxels: Voxels) -> Iterator[NDArray[np.float32]]:
    slope, intercept = voxels.rescale.slope, voxels.rescale.intercept
    for plane in planes:
        yield np.asarray(plane * slope + intercept, dtype=np.float32)


def _write(
    path: Path,
    shape: tuple[int, ...],
    planes: Iterator[NDArray[np.float32]],
    compression: int,
) -> None:
    """An .npz with the one member data.npy, the same bytes for the same data."""
    member = zipfile.ZipInfo("data.npy", _EARLIEST)
    member.compress_type = zipfile.ZIP_DEFLATED if compression else zipfile.ZIP_STORED
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with (
        zipfile.ZipFile(path, "w", compresslevel=compression or None) as archive,
        archive.open(member, "w", force_zip64=True) as data,
    ):
        npy.write_array_header_2_0(data, described)
        for plane in planes:
            data.write(np.ascontiguousarray(plane, dtype="<f4").data.cast("B"))
