"""Writing NIfTI-1 files: stored values with their scale, plane by plane. It decides nothing."""

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from processor.errors import NotConvertible
from processor.geometry import DRIFT_TOLERANCE_MM, Array
from processor.gzip_file import opened
from processor.intensity import Rescale

_WITHIN_NIFTI = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")
_LONGEST_AXIS = 32767  # dim[] are signed 16-bit integers


@dataclass(frozen=True)
class Volume:
    """What becomes one NIfTI.

    Attributes
    ----------
    shape : tuple of int
        (columns, rows, slices) or (columns, rows, slices, volumes).
    dtype : dtype
        Of the stored values.
    colour : bool
        Planes are (rows, columns, 3) of uint8 and are written as RGB24.
    planes : iterable of ndarray, each (rows, columns) or (rows, columns, 3)
        In the order of the file, slices fastest; rows from the bottom. They are read once, one
        at a time.
    affine_ras : ndarray, shape (4, 4), or None
        Voxel indices to millimetres, RAS; None without a place in the patient, which gives
        qform_code = sform_code = 0.
    spacing_mm : tuple of 3 or 4 floats
        Between voxel centres along i, j, k; with volumes a fourth number: seconds, 0 if unknown.
    rescale : Rescale
        To scl_slope and scl_inter.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    colour: bool
    planes: Iterable[NDArray[Any]]
    affine_ras: Array | None
    spacing_mm: tuple[float, ...]
    rescale: Rescale


def write_nifti(path: Path, volume: Volume, compression: int) -> Sequence[int]:
    """Write a volume in a stream: no more than a few planes are held at a time.

    A sheared affine (tilted gantry) goes to the sform only: quaternions cannot tell shear.

    Parameters
    ----------
    path : Path
        Ending in `.nii` or `.nii.gz`.
    compression : int
        0 to 9, see `processor.gzip_file`; ignored for `.nii`.

    Returns
    -------
    sequence of int
        Where blocks end, for `processor.gzip_blocks`; of a `.nii` none.

    Raises
    ------
    NotConvertible
        An axis is longer than NIfTI-1 can tell.
    ValueError
        The planes are not what the shape says.
    """
    beginning = _beginning(volume)
    with opened(path, compression) as file:
        file.write(beginning)
        for plane in _checked(volume):
            file.write(plane.data.cast("B"))
    return file.block_ends


def _checked(volume: Volume) -> Iterator[NDArray[Any]]:
    """The planes as they are written."""
    columns, rows = volume.shape[:2]
    expected = (rows, columns, 3) if volume.colour else (rows, columns)
    dtype = nifti_dtype(volume.dtype)
    count = 0
    for plane in volume.planes:
        if plane.shape != expected:
            raise ValueError(f"a plane of {plane.shape} in a volume of {expected}")
        count += 1
        yield np.ascontiguousarray(plane, dtype=dtype)
    if count != math.prod(volume.shape[2:]):
        raise ValueError(f"{count} planes for a volume of shape {volume.shape}")


def _beginning(volume: Volume) -> bytes:
    """The header, and what is between it and the voxels."""
    header = _header(volume)
    buffer = io.BytesIO()
    header.write_to(buffer)
    return buffer.getvalue().ljust(int(header["vox_offset"]), b"\0")


def _header(volume: Volume) -> Any:
    if max(volume.shape) > _LONGEST_AXIS:
        found = max(volume.shape)
        raise NotConvertible(f"{found} voxels along an axis: NIfTI-1 can hold {_LONGEST_AXIS}")
    new_header: Any = nib.Nifti1Header
    header = new_header(endianness="<")
    header.set_data_dtype("RGB" if volume.colour else nifti_dtype(volume.dtype))
    header.set_data_shape(volume.shape)
    header.set_zooms(volume.spacing_mm)
    header.set_xyzt_units("mm", "sec")
    header["descrip"] = b"Safelight"
    if not volume.colour:
        header.set_slope_inter(volume.rescale.slope, volume.rescale.intercept)
    if volume.affine_ras is not None:
        header.set_sform(volume.affine_ras, code="scanner")
        if not _is_sheared(volume.affine_ras, volume.shape):
            header.set_qform(volume.affine_ras, code="scanner")
    return header


def _is_sheared(affine_ras: Array, shape: tuple[int, ...]) -> bool:
    """Whether the axes are off a right angle by what moves a voxel more than the tolerance."""
    axes = affine_ras[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    cosines = np.abs(np.triu((axes / lengths).T @ (axes / lengths), 1))
    extents_mm = lengths * shape[:3]
    return bool((cosines * np.maximum.outer(extents_mm, extents_mm)).max() > DRIFT_TOLERANCE_MM)


def nifti_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The little-endian dtype NIfTI knows for stored values of `dtype`."""
    code = "u1" if dtype.kind == "b" else f"{dtype.kind}{dtype.itemsize}"
    return np.dtype("<f4" if code not in _WITHIN_NIFTI else f"<{code}")
