"""Reading a converted file back in a stream: plane after plane, whoever wrote it.

NIfTI-1 and NIfTI-2 (`.nii`, `.nii.gz`, either byte order, any scale) and NPZ with its sidecar.
"""

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from isal import igzip_threaded
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.lib import format as npy
from numpy.typing import NDArray

from processor.errors import PermanentError
from processor.geometry import Array
from processor.gzip_blocks import BlockReader, is_of_blocks, opened_blocks
from processor.intensity import Rescale

_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
_Source = IO[bytes] | BlockReader
_nib: Any = nib
_igzip: Any = igzip_threaded
# scl_slope and scl_inter are 32-bit floats: each rounds by up to 6e-8 of itself.
_FLOAT32_ROUNDING = 4 * float(np.finfo(np.float32).eps)
_SAMPLED = 7


class NotReadable(PermanentError):
    """A converted file cannot be read back; the message says what is wrong with it."""


@dataclass(frozen=True)
class Written:
    """A converted file.

    Attributes
    ----------
    shape : tuple of 4 ints
        (i, j, k, t); further dimensions are counted as t.
    dtype : dtype
        Of stored values; three bytes named R, G, B for colour.
    rescale : Rescale
        From stored to real values.
    affine_ras : ndarray, shape (4, 4), or None
        None where the file claims no place in the patient.
    qform_ras : ndarray, shape (4, 4), or None
        Where the qform of a NIfTI says the same voxels are; None unless there is an sform too.
    spacing_mm : tuple of 3 floats
        Between voxels along i, j, k, of a NIfTI.
    rows_from_bottom : bool
        How images without a place are stored.
    offset : int
        Where the voxels begin, of a NIfTI.
    block_ends : sequence of int
        Where compressed blocks end, where that is known.
    """

    path: Path
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    rescale: Rescale
    affine_ras: Array | None
    qform_ras: Array | None = None
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    rows_from_bottom: bool = True
    offset: int = 0
    block_ends: Sequence[int] = ()

    @property
    def is_colour(self) -> bool:
        """Whether voxels are RGB."""
        return self.dtype == _RGB

    def equals(self, stored: NDArray[Any], expected: NDArray[Any], rescale: Rescale) -> bool:
        """Whether stored values of this file mean `expected` under `rescale`.

        Scales are 32-bit floats in a NIfTI: values may differ by what that rounds.
        """
        if stored.shape != expected.shape:
            return False
        if stored.ndim == 3:
            return np.array_equal(stored, expected)
        rows, columns = (max(1, length // _SAMPLED) for length in stored.shape)
        sample = (slice(None, None, rows), slice(None, None, columns))
        return self._agree(stored[sample], expected[sample], rescale) and (
            self._agree(stored, expected, rescale)
        )

    def _agree(self, stored: NDArray[Any], expected: NDArray[Any], rescale: Rescale) -> bool:
        whole = stored.dtype.kind in "iu" and expected.dtype.kind in "iu"
        if whole and _is_same_scale(self.rescale, rescale):
            return np.array_equal(stored, expected)
        scaled = stored.astype(np.float64) * self.rescale.slope
        wanted = expected * rescale.slope + rescale.intercept
        scale = np.abs(scaled).max(initial=0.0) + abs(self.rescale.intercept)
        difference = np.abs(scaled + self.rescale.intercept - wanted)
        both_nan = np.isnan(scaled) & np.isnan(wanted)
        return bool(np.all((difference <= _FLOAT32_ROUNDING * scale) | both_nan))

    def planes(self) -> Iterator[NDArray[Any]]:
        """The planes in the order of the file: k fastest, then t.

        Yields
        ------
        ndarray, shape (j, i) or (j, i, 3)
            Stored values.

        Raises
        ------
        NotReadable
            The file ends too early, or its compression is damaged.
        """
        columns, rows, slices, volumes = self.shape
        size = columns * rows * self.dtype.itemsize
        with self._voxels() as file:
            for _ in range(slices * volumes):
                data = self._read(file, size)
                plane = np.frombuffer(data, self.dtype).reshape(rows, columns)
                yield _samples(plane) if self.is_colour else plane

    def _read(self, file: _Source, size: int) -> bytes | memoryview:
        try:
            data = file.read(size)
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise NotReadable(f"{self.path.name}: damaged ({type(error).__name__})") from None
        if len(data) < size:
            raise NotReadable(f"{self.path.name}: ends too early")
        return data

    @contextmanager
    def _voxels(self) -> Iterator[_Source]:
        if self.path.suffix == ".npz":
            with zipfile.ZipFile(self.path) as archive, archive.open("data.npy") as file:
                _npy_header(self.path, file)
                yield file
        elif self.block_ends:
            with opened_blocks(self.path, self.block_ends) as file:
                self._read(file, self.offset)
                yield file
        elif self.path.suffix == ".gz":
            with _igzip.open(self.path, "rb", threads=1) as file:
                self._read(file, self.offset)
                yield file
        else:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                yield file


def _is_same_scale(one: Rescale, other: Rescale) -> bool:
    """Whether two scales are one when rounded to 32 bits, as NIfTI stores them."""
    if one == other:
        return True
    scales = np.array(
        [[one.slope, one.intercept], [other.slope, other.intercept]], dtype=np.float32
    )
    return bool((scales[0] == scales[1]).all())


def _samples(plane: NDArray[Any]) -> NDArray[Any]:
    return plane.view("u1").reshape(*plane.shape, 3)


def read_back(path: Path, block_ends: Sequence[int] = ()) -> Written:
    """Open a converted file.

    Parameters
    ----------
    block_ends : sequence of int
        Where blocks end in a file of `processor.gzip_file`, which is then read faster; a file of
        another length is read as any other.

    Raises
    ------
    NotReadable
        It is no NIfTI or NPZ, or one whose values cannot be compared.
    """
    return _npz(path) if path.suffix == ".npz" else _nifti(path, block_ends)


def _nifti(path: Path, block_ends: Sequence[int]) -> Written:
    try:
        image = _nib.load(path)
    except (ImageFileError, HeaderDataError, EOFError, zipfile.BadZipFile) as error:
        raise NotReadable(f"{path.name}: not a NIfTI ({type(error).__name__})") from None
    header, voxels = image.header, image.dataobj
    if not isinstance(header, _nib.Nifti1Header):
        raise NotReadable(f"{path.name}: not a NIfTI")
    dtype = header.get_data_dtype()
    if dtype != _RGB and dtype.kind not in "iuf":
        raise NotReadable(f"{path.name}: values of type {dtype} cannot be compared")
    length = [*header.get_data_shape(), 1, 1, 1, 1]
    placed = header["sform_code"] > 0 or header["qform_code"] > 0
    twice = header["sform_code"] > 0 and header["qform_code"] > 0
    return Written(
        path=_of_voxels(path, image),
        shape=(length[0], length[1], length[2], int(np.prod(length[3:]))),
        dtype=dtype,
        rescale=Rescale(float(voxels.slope), float(voxels.inter)),
        affine_ras=np.asarray(header.get_best_affine(), dtype=np.float64) if placed else None,
        qform_ras=np.asarray(header.get_qform(), dtype=np.float64) if twice else None,
        spacing_mm=_three(header.get_zooms()),
        offset=int(voxels.offset),
        block_ends=block_ends if is_of_blocks(path, block_ends) else (),
    )


def _of_voxels(path: Path, image: Any) -> Path:
    """The file with the voxels: beside a header that is a file of its own."""
    return Path(image.file_map["image"].filename) if path.suffix == ".hdr" else path


def _three(zooms: Sequence[float]) -> tuple[float, float, float]:
    i, j, k = (float(value) for value in (*zooms, 1.0, 1.0)[:3])
    return i, j, k


def _npz(path: Path) -> Written:
    try:
        with zipfile.ZipFile(path) as archive, archive.open("data.npy") as file:
            shape, dtype = _npy_header(path, file)
        sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        affine = sidecar["Safelight"]["affine_ras"]
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise NotReadable(
            f"{path.name}: not an NPZ of Safelight ({type(error).__name__})"
        ) from None
    except FileNotFoundError as error:
        raise NotReadable(f"{Path(error.filename).name}: missing") from None
    return Written(
        path=path,
        shape=(shape[2], shape[1], shape[0], 1),
        dtype=dtype,
        rescale=Rescale(),
        affine_ras=None if affine is None else np.asarray(affine, dtype=np.float64),
        rows_from_bottom=False,
    )


def _npy_header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shape, fortran, dtype = read[npy.read_magic(file)](file)
    if len(shape) != 3 or fortran or dtype.kind not in "iuf":
        raise NotReadable(f"{path.name}: data is not a plain array of [Z, Y, X]")
    return shape, dtype
