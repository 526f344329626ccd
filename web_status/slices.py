"""Slices of volumes as pictures for the browser: hung as usual, in a window, as JPEG."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processor.planes import hung
from web_status.languages import msgid
from web_status.volumes import Layout, OpenVolume

_nib: Any = nibabel  # it has no types
QUALITY = 92
# By the axis of the patient that they are normal to.
_NAMES = (msgid("sagittal"), msgid("coronal"), msgid("axial"))
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
_NATIVE = 2
_PERCENTILES = (1.0, 99.5)
_SOON_SECONDS = 0.15  # so long is waited for a whole volume to choose a window by


@dataclass(frozen=True)
class Plane:
    """A plane in which a volume can be looked at.

    Attributes
    ----------
    name
        ``axial``, ``coronal``, ``sagittal``; ``image`` for what has no place in the patient.
    axis
        The axis of the voxels that counts its slices.
    slices, columns, rows
        How many.
    aspect
        How tall a pixel is for its width.
    letters
        Of the patient's directions at the edges; by ``left``, ``right``, ``top``, ``bottom``.
    """

    name: str
    axis: int
    slices: int
    columns: int
    rows: int
    aspect: float
    letters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Window:
    """The values shown black and white, by their middle and distance; `is_final` unless a guess."""

    centre: float
    width: float
    is_final: bool = True


def planes_of(layout: Layout) -> tuple[Plane, ...]:
    """The planes of a volume, the one it was stored in first."""
    if layout.affine is None or np.linalg.matrix_rank(layout.affine[:3, :3]) < 3:
        return (_flat(layout),)
    found = [_plane(layout, axis) for axis in (2, 1, 0) if axis == _NATIVE or layout.shape[2] > 1]
    return tuple(found)


def _flat(layout: Layout) -> Plane:
    i, j, k, _ = layout.shape
    return Plane(msgid("image"), _NATIVE, k, i, j, layout.spacing[1] / layout.spacing[0])


def _plane(layout: Layout, axis: int) -> Plane:
    assert layout.affine is not None  # noqa: S101 - whoever asks has looked
    shape = tuple(n for place, n in enumerate(layout.shape[:3]) if place != axis)
    shown = hung(np.broadcast_to(np.uint8(0), shape), *_directions(layout.affine, axis))
    rows, columns = shown.values.shape
    name = _NAMES[int(_nib.io_orientation(layout.affine)[axis, 0])]
    letters = {str(side): letter for side, letter in shown.letters.items()}
    return Plane(name, axis, layout.shape[axis], columns, rows, shown.aspect, letters)


def _directions(
    affine: NDArray[np.float64], axis: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The way along the second and the first axis that is left, in mm in LPS."""
    first, second = (place for place in range(3) if place != axis)
    return affine[:3, second] * _RAS_TO_LPS, affine[:3, first] * _RAS_TO_LPS


def slice_values(volume: OpenVolume, plane: Plane, index: int, phase: int) -> NDArray[Any]:
    """The real values of a slice, hung: (rows, columns), of colour (rows, columns, 3)."""
    layout = volume.layout
    stored = volume.values(plane.axis, index, phase)
    if layout.affine is None or plane.name == "image":
        shown = stored.T[::-1] if layout.is_bottom_up else stored.T
    else:
        shown = hung(stored, *_directions(layout.affine, plane.axis)).values
    if shown.dtype.fields:
        return np.stack([shown[name] for name in shown.dtype.names or ()], axis=-1)
    real: NDArray[Any] = shown.astype(np.float32) * layout.slope + layout.intercept
    if stored.dtype.kind == "f":
        np.nan_to_num(real, copy=False)
    return real


def window_of(volume: OpenVolume, values: NDArray[Any]) -> Window:
    """A window for a volume by its middle slice; by `values` while that is not there yet."""
    volume.wait(_SOON_SECONDS)
    if volume.is_whole:
        middle = planes_of(volume.layout)[0]
        values = slice_values(volume, middle, middle.slices // 2, 0)
    low, high = (float(edge) for edge in np.percentile(values, _PERCENTILES))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return Window((low + high) / 2, max(high - low, 1e-6), volume.is_whole)


def drawn(values: NDArray[Any], window: Window, *, invert: bool) -> bytes:
    """A slice as JPEG; colour as it is."""
    if values.ndim == 3:
        grey = values.astype(np.uint8)
    else:
        low = window.centre - window.width / 2
        grey = np.clip((values - low) * (255 / window.width), 0, 255).astype(np.uint8)
        grey = 255 - grey if invert else grey
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
