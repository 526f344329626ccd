"""Published volumes, opened for looking: unpacked once, into files that the system keeps in memory.

A volume can be looked at while it is still being unpacked: its first slices are there at once.
"""

import gzip
import io
import json
import shutil
import threading
import zipfile
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
from isal import igzip
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.lib import format as npy
from numpy.typing import NDArray

from web_status.errors import NoRoom, NotViewable

_nib: Any = nibabel  # it has no types
_igzip: Any = igzip
_CHUNK_BYTES = 1 << 20
_HEADER_BYTES = 348
_SLICES = 2
_CACHE_BYTES = 4 << 30
_OPEN_MAX = 24
_WAIT_SECONDS = 60.0
_DAMAGED = (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile)


@dataclass(frozen=True)
class Layout:
    """How a volume lies in its file.

    Attributes
    ----------
    shape : tuple of int
        (i, j, k, t) in voxels; along the first they lie closest together.
    dtype : dtype
        Of the stored values; three fields for colour.
    affine : ndarray, shape (4, 4)
        From (i, j, k) to mm in RAS; None where the volume has no place in the patient.
    spacing : tuple of float
        Of i, j, k in mm; 1 where it is not known.
    slope, intercept : float
        From stored to real values.
    is_bottom_up : bool
        Whether j goes up in an image without a place.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64] | None
    spacing: tuple[float, float, float]
    slope: float = 1.0
    intercept: float = 0.0
    is_bottom_up: bool = False

    @property
    def bytes(self) -> int:
        """Of all values."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


class OpenVolume:
    """A volume while it is looked at.

    Parameters
    ----------
    source
        The ``.nii``, ``.nii.gz`` or ``.npz`` file.
    target
        Where its values are unpacked; removed at once, so that it ends with this object.

    Raises
    ------
    NotViewable
        The file is none, or is damaged.
    """

    def __init__(self, source: Path, target: Path) -> None:
        self._stream = _opened(source)
        try:
            self.layout = _layout(self._stream, source)
            _require_room(target.parent, self.layout.bytes)
            self._values = _mapped(target, self.layout)
        except BaseException:
            self._stream.close()
            raise
        self._arrived = threading.Condition()
        self._ready = 0
        self._problem = ""
        threading.Thread(target=self._unpack, name="volume", daemon=True).start()

    @property
    def is_whole(self) -> bool:
        """Whether all values are there."""
        return self._ready >= self.layout.bytes

    def values(self, axis: int, index: int, phase: int) -> NDArray[Any]:
        """The stored values of one slice, the other two axes in their order; waits for them.

        It is a view: `numpy.take` would turn the whole volume for each slice.

        Raises
        ------
        NotViewable
            The file is damaged before their end.
        """
        self._wait(self._end_of(axis, index, phase))
        place: list[slice | int] = [slice(None), slice(None), slice(None), phase]
        place[axis] = index
        found: NDArray[Any] = self._values[tuple(place)]
        return found

    def wait(self, seconds: float) -> None:
        """Wait until all values are there, but no longer than that."""
        with self._arrived:
            self._arrived.wait_for(lambda: self.is_whole or bool(self._problem), seconds)

    def _end_of(self, axis: int, index: int, phase: int) -> int:
        """How many bytes must have come for a slice."""
        i, j, k, _ = self.layout.shape
        slices = k * phase + (index + 1 if axis == _SLICES else k)
        return i * j * slices * self.layout.dtype.itemsize

    def _wait(self, end: int) -> None:
        with self._arrived:
            self._arrived.wait_for(lambda: self._ready >= end or self._problem, _WAIT_SECONDS)
            if self._ready < end:
                raise NotViewable(self._problem or "the file takes too long to read")

    def _unpack(self) -> None:
        try:
            self._fill()
        except _DAMAGED:
            self._tell(0, "the file is damaged")

    def _fill(self) -> None:
        target = self._values.reshape(-1, order="F").view(np.uint8).data
        filled = 0
        with self._stream as stream:
            while filled < len(target):
                count = stream.readinto(target[filled : filled + _CHUNK_BYTES])
                if not count:
                    self._tell(0, "the file is damaged: it ends too early")
                    return
                filled += count
                self._tell(filled, "")

    def _tell(self, ready: int, problem: str) -> None:
        with self._arrived:
            self._ready, self._problem = max(self._ready, ready), problem
            self._arrived.notify_all()


class Volumes:
    """The volumes that were looked at last.

    Parameters
    ----------
    folder
        For their values; what an earlier run left in it is removed.
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._open: OrderedDict[tuple[Path, int], OpenVolume] = OrderedDict()
        self._lock = threading.Lock()
        self._number = 0

    def open(self, source: Path) -> OpenVolume:
        """A volume, opened again where it is not open any more; raises as `OpenVolume`."""
        key = source, source.stat().st_mtime_ns
        with self._lock:
            volume = self._open.pop(key, None)
            if volume is None:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._number += 1
                volume = OpenVolume(source, self._folder / str(self._number))
            self._open[key] = volume
            self._shrink()
        return volume

    @property
    def bytes(self) -> int:
        """Of all that are open."""
        return sum(one.layout.bytes for one in self._open.values())

    def _shrink(self) -> None:
        while len(self._open) > 1 and (self.bytes > _CACHE_BYTES or len(self._open) > _OPEN_MAX):
            self._open.popitem(last=False)


def _opened(source: Path) -> io.BufferedIOBase:
    try:
        if source.suffix == ".gz":
            return cast("io.BufferedIOBase", _igzip.open(source, "rb"))
        if source.suffix == ".npz":
            return cast("io.BufferedIOBase", zipfile.ZipFile(source).open("data.npy"))
        return source.open("rb")
    except (*_DAMAGED, KeyError) as error:
        raise NotViewable("the file cannot be read") from error


def _layout(stream: io.BufferedIOBase, source: Path) -> Layout:
    """How the values lie; the stream is at the first of them then."""
    try:
        return _of_npz(stream, source) if source.suffix == ".npz" else _of_nifti(stream)
    except (*_DAMAGED, HeaderDataError, WrapStructError) as error:
        raise NotViewable("the file is damaged") from error


def _of_nifti(stream: io.BufferedIOBase) -> Layout:
    header = _nib.Nifti1Header(stream.read(_HEADER_BYTES))
    stream.read(max(0, int(header["vox_offset"]) - _HEADER_BYTES))
    slope, intercept = header.get_slope_inter()
    shape = (*header.get_data_shape(), 1, 1, 1)
    has_place = bool(header["sform_code"] or header["qform_code"])
    zooms = [abs(float(zoom)) or 1.0 for zoom in (*header.get_zooms(), 1.0, 1.0)]
    return Layout(
        (int(shape[0]), int(shape[1]), int(shape[2]), int(np.prod(shape[3:]))),
        header.get_data_dtype(),
        header.get_best_affine() if has_place else None,
        (zooms[0], zooms[1], zooms[2]),
        1.0 if slope is None else float(slope),
        0.0 if intercept is None else float(intercept),
        is_bottom_up=True,
    )


def _of_npz(stream: io.BufferedIOBase, source: Path) -> Layout:
    """[Z, Y, X] towards inferior, posterior and left (`processor.npz`): (x, y, z) by its bytes."""
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read(stream)
    if is_fortran or len(shape) != 3:
        raise NotViewable("the array has another form than ours")
    z, y, x = shape
    spacing = _told_spacing(source)
    affine = np.diag([*np.negative(spacing), 1.0]) if z > 1 else None
    return Layout((x, y, z, 1), dtype, affine, spacing)


def _told_spacing(source: Path) -> tuple[float, float, float]:
    """Of X, Y, Z, from the sidecar beside the array; 1 where it does not say."""
    try:
        told = json.loads(source.with_suffix(".json").read_bytes())["Safelight"]["spacing_mm"]
        z, y, x = (float(one) for one in told)
    except (OSError, ValueError, KeyError, TypeError):
        return 1.0, 1.0, 1.0
    return x, y, z


def _require_room(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < 2 * needed:
        raise NoRoom


def _mapped(target: Path, layout: Layout) -> NDArray[Any]:
    try:
        values = np.memmap(target, layout.dtype, "w+", shape=layout.shape, order="F")
    finally:
        target.unlink(missing_ok=True)
    return values
