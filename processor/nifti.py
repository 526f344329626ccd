"""Writing NIfTI-1 files: bytes of stored values with their scale. It decides nothing."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from processor.geometry import Array
from processor.intensity import Rescale

_WITHIN_NIFTI = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")


def write_volume(
    path: Path, volume: NDArray[Any], affine_ras: Array, rescale: Rescale, compression: int
) -> None:
    """Write a stack placed in the patient (qform and sform code 1, scanner).

    Parameters
    ----------
    volume : ndarray, shape (columns, rows, slices)
        Stored values; `rescale` goes to scl_slope and scl_inter.
    affine_ras : ndarray, shape (4, 4)
        Voxel indices to millimetres, RAS.
    compression : int
        gzip level, 0 to 9.
    """
    header = _header(volume, rescale)
    header.set_qform(affine_ras, code="scanner")
    header.set_sform(affine_ras, code="scanner")
    _write(path, header, volume, compression)


def write_image(
    path: Path,
    image: NDArray[Any],
    spacing_mm: tuple[float, float],
    rescale: Rescale,
    compression: int,
) -> None:
    """Write one projection image without a place in the patient (qform and sform code 0).

    Parameters
    ----------
    image : ndarray, shape (columns, rows, 1)
        Stored values, rows from the bottom as in stacks.
    spacing_mm : tuple of 2 floats
        Between columns, then between rows.
    """
    header = _header(image, rescale)
    header.set_zooms((*spacing_mm, 1.0))
    _write(path, header, image, compression)


def _header(volume: NDArray[Any], rescale: Rescale) -> Any:
    new_header: Any = nib.Nifti1Header
    header = new_header(endianness="<")
    header.set_data_dtype(nifti_dtype(volume.dtype))
    header.set_data_shape(volume.shape)
    header.set_slope_inter(rescale.slope, rescale.intercept)
    header.set_xyzt_units("mm", "sec")
    header["descrip"] = b"Safelight"
    return header


def nifti_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The little-endian dtype NIfTI knows for stored values of `dtype`."""
    code = "u1" if dtype.kind == "b" else f"{dtype.kind}{dtype.itemsize}"
    return np.dtype("<f4" if code not in _WITHIN_NIFTI else f"<{code}")


def _write(path: Path, header: Any, volume: NDArray[Any], compression: int) -> None:
    dtype = nifti_dtype(volume.dtype)
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compression, raw, mtime=0) as packed,
    ):
        header.write_to(packed)
        packed.write(bytes(int(header["vox_offset"]) - packed.tell()))
        for k in range(volume.shape[2]):
            packed.write(volume[:, :, k].astype(dtype).tobytes(order="F"))
