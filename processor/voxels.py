"""The voxels of a planned stack: planes in the order of a file, made from decoded frames."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processor.frames import Frame
from processor.geometry import Array
from processor.headers import number, numbers, text
from processor.intensity import Rescale
from processor.nifti import Volume, nifti_dtype
from processor.plan import Stack
from processor.sidecar_facts import seconds_of_day
from processor.turning import (
    turned_affine,
    turned_planes,
    turned_shape,
    turned_spacing,
    turns_to,
)

_UPRIGHT = np.array([[0, 1], [1, 1], [2, 1]])
_AIR_HU = -1024.0


@dataclass(frozen=True)
class Voxels:
    """The voxels of a stack with what they mean, still in the frames they came in.

    Attributes
    ----------
    dtype : dtype
        Of stored values; float32 where the frames' scales differ and are applied.
    rescale : Rescale
        What is left to apply to stored values.
    """

    stack: Stack

    @cached_property
    def rescale(self) -> Rescale:
        """The scale all frames share, else none: it is applied to each frame."""
        found = {frame.rescale for _, frame in self.stack.present}
        return found.pop() if len(found) == 1 else Rescale()

    @cached_property
    def scales_differ(self) -> bool:
        """Whether slopes or intercepts vary, as in PET."""
        return len({frame.rescale for _, frame in self.stack.present}) > 1

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of what `planes` give."""
        if self.scales_differ:
            return np.dtype(np.float32)
        found = {frame.stored().dtype for _, frame in self.stack.present}
        return nifti_dtype(np.result_type(*found))

    @property
    def is_colour(self) -> bool:
        """Whether planes are RGB."""
        return self.stack.first.is_colour

    @cached_property
    def slice_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.stack.first.stored().shape[:2]
        return rows, columns

    def slices(self, t: int) -> Sequence[NDArray[Any]]:
        """For each k of volume `t` the plane [row from the bottom, column]."""
        return [self._plane(frame)[::-1] for frame in self.stack.frames[t]]

    def _plane(self, frame: Frame | None) -> NDArray[Any]:
        if frame is None:
            return np.full(self.slice_shape, self.blank, dtype=self.dtype)
        values = frame.stored()
        if not self.scales_differ:
            return values
        scale = frame.rescale
        return (values * scale.slope + scale.intercept).astype(np.float32)

    @cached_property
    def blank(self) -> float:
        """The stored value of slices that are missing: padding, else air or nothing."""
        header, kind = self.stack.first.header, self.dtype
        padding = number(header, "PixelPaddingValue")
        if padding is not None and not self.scales_differ:
            return _fitted(padding, kind)
        if text(header, "Modality") != "CT":
            return 0.0
        return _fitted((_AIR_HU - self.rescale.intercept) / self.rescale.slope, kind)


def _fitted(value: float, dtype: np.dtype[Any]) -> float:
    if dtype.kind not in "iu":
        return value
    limits = np.iinfo(dtype)
    return float(min(max(round(value), limits.min), limits.max))


@dataclass(frozen=True)
class Placed:
    """The voxels of a written file: their number, distance and place.

    Attributes
    ----------
    affine_ras : ndarray, shape (4, 4), or None
        None for an image without a place in the patient.
    notes : mapping
        What else the sidecar should tell of it.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine_ras: Array | None
    notes: Mapping[str, object] = field(default_factory=dict)

    @property
    def affine(self) -> list[list[float]] | None:
        """The affine for JSON."""
        if self.affine_ras is None:
            return None
        return [[float(value) for value in row] for row in self.affine_ras.round(9)]


def nifti_volume(stack: Stack) -> Volume:
    """What becomes the NIfTI of a stack: 3D, or 4D where it has several volumes.

    A 3D acquisition runs closest to R, A, S, as dcm2niix writes it;
    everything else runs along the slices, with rows from the bottom.

    Raises
    ------
    PixelDataError
        A frame's pixels cannot be had.
    """
    voxels = Voxels(stack)
    rows, columns = voxels.slice_shape
    shape = (columns, rows, len(stack.frames[0]))
    affine, turns = _affine(stack), _UPRIGHT
    if affine is not None and _is_turned(stack):
        turns = turns_to("RAS", affine)
        affine = turned_affine(affine, turns, shape)
    several = len(stack.frames) > 1
    turned = turned_shape(shape, turns)
    spacing = turned_spacing(spacing_mm(stack), turns)
    return Volume(
        shape=(*turned, len(stack.frames)) if several else turned,
        dtype=voxels.dtype,
        colour=voxels.is_colour,
        planes=_planes(voxels, turns),
        affine_ras=affine,
        spacing_mm=(*spacing, _seconds(stack)) if several else spacing,
        rescale=voxels.rescale,
    )


def _planes(voxels: Voxels, turns: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    for t in range(len(voxels.stack.frames)):
        yield from turned_planes(voxels.slices(t), turns)


def _affine(stack: Stack) -> Array | None:
    return None if stack.plan is None else stack.plan.affine_ras


def _is_turned(stack: Stack) -> bool:
    return len(stack.frames[0]) > 1 and all(
        text(frame.header, "MRAcquisitionType") == "3D" for _, frame in stack.present
    )


def spacing_mm(stack: Stack) -> tuple[float, float, float]:
    """Between voxel centres along columns, rows and slices."""
    if stack.plan is not None:
        return stack.plan.spacing_mm
    (columns, rows), _ = image_spacing(stack.first)
    return columns, rows, 1.0


def image_spacing(frame: Frame) -> tuple[tuple[float, float], str]:
    """The spacing of an image without a place, between columns and rows, and which element told.

    Of a projection that is the spacing at the detector where nothing better is known.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = numbers(frame.header, keyword)
        if len(found) == 2 and min(found) > 0:
            return (found[1], found[0]), keyword
    return (1.0, 1.0), "unknown, 1 assumed"


def _seconds(stack: Stack) -> float:
    """The time between volumes: of a cine between frames, else the repetition time; 0 unknown.

    A 3D acquisition repeats for every line of a volume: there the times of the volumes count.
    """
    header = stack.first.header
    if stack.plan is None:
        return (number(header, "FrameTime") or 0.0) / 1000
    if text(header, "MRAcquisitionType") != "3D":
        return (number(header, "RepetitionTime") or 0.0) / 1000
    starts = [
        seconds_of_day(next(frame for frame in volume if frame).header, "AcquisitionTime")
        for volume in (stack.frames[0], stack.frames[-1])
    ]
    first, last = starts
    if first is None or last is None or last <= first:
        return 0.0
    return (last - first) / (len(stack.frames) - 1)
