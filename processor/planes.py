"""Slices through a volume in the three planes, each as a radiologist hangs it.

Axial: right of the patient at the left, anterior on top. Coronal: right at the left, head on top.
Sagittal: anterior at the left, head on top (PS3.3 C.7.6.1.1.1 names the letters).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processor.frames import Frame
from processor.picture import Side, real_values
from processor.plan import Stack

Array = NDArray[np.float64]

MOST_SLICES = 192
"""Of more, every second, third ... is read for the planes across the slices."""
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))  # towards +x, -x; +y, -y; +z, -z in LPS
_SECOND_LETTER = 0.3
# Which way is to the right and which is down, by the patient axis that the plane is normal to.
_HANGINGS: Mapping[int, tuple[Array, Array]] = {
    0: (np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0])),
    1: (np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0])),
    2: (np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])),
}


@dataclass(frozen=True)
class Slice:
    """An image through the patient.

    Attributes
    ----------
    values : ndarray, shape (down, right)
        In whatever unit; hung.
    aspect : float
        How tall a pixel is for its width.
    letters : mapping
        The letters of the patient's directions at each edge.
    """

    values: NDArray[Any]
    aspect: float
    letters: Mapping[Side, str]


def hung(values: NDArray[Any], right: Array, down: Array) -> Slice:
    """Turn and flip an image so that it hangs as usual; nothing is interpolated.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
    right, down : ndarray, shape (3,)
        The way from one column to the next, and from one row to the next, in mm in LPS.
    """
    normal = np.cross(right, down)
    wanted_right, wanted_down = _HANGINGS[int(np.argmax(np.abs(normal)))]
    units = right / np.linalg.norm(right), down / np.linalg.norm(down)
    if abs(units[1] @ wanted_right) > abs(units[0] @ wanted_right):
        values, right, down = values.swapaxes(0, 1), down, right
    if right @ wanted_right < 0:
        values, right = values[:, ::-1], -right
    if down @ wanted_down < 0:
        values, down = values[::-1], -down
    aspect = float(np.linalg.norm(down) / np.linalg.norm(right))
    letters: Mapping[Side, str] = {
        "left": letters_of(-right),
        "right": letters_of(right),
        "top": letters_of(-down),
        "bottom": letters_of(down),
    }
    return Slice(values, aspect, letters)


def letters_of(direction: Array) -> str:
    """The letters of a direction in the patient, the nearest axis first.

    >>> letters_of(np.array([1.0, 0, 0])), letters_of(np.array([0, -0.8, 0.6]))
    ('L', 'AH')
    """
    unit = direction / np.linalg.norm(direction)
    axes = [axis for axis in np.argsort(-np.abs(unit)) if abs(unit[axis]) > _SECOND_LETTER]
    return "".join(_LETTERS[axis][0 if unit[axis] > 0 else 1] for axis in axes[:2])


def frame_slice(frame: Frame, values: NDArray[Any]) -> Slice:
    """A frame that has a place, hung; `values` are its own, shape (rows, columns)."""
    assert frame.plane is not None  # noqa: S101 - whoever asks knows
    matrix = frame.plane
    right = np.multiply(matrix.orientation_lps[:3], matrix.spacing_mm[1])
    down = np.multiply(matrix.orientation_lps[3:], matrix.spacing_mm[0])
    return hung(values, right, down)


def across(stack: Stack, volume: Sequence[Frame | None]) -> tuple[Slice, Slice]:
    """The two planes through the middle of a volume, across its slices.

    One row and one column of each slice is kept, so the memory needed is that of two images. A
    missing slice is black; a tilted gantry is straightened to the pixel.

    Parameters
    ----------
    volume : sequence of Frame or None
        Along k, at least two of them there.

    Returns
    -------
    along_rows, along_columns : Slice
    """
    first = stack.first
    assert first.plane is not None  # noqa: S101 - a volume has a place
    assert stack.plan is not None  # noqa: S101
    plane, every = first.plane, -(-len(volume) // MOST_SLICES)
    step = (stack.plan.affine_ras @ [0, 0, 1, 0])[:3] * (-1, -1, 1)
    right = np.multiply(plane.orientation_lps[:3], plane.spacing_mm[1])
    down = np.multiply(plane.orientation_lps[3:], plane.spacing_mm[0])
    slices = volume[::every]
    rows = np.zeros((len(slices), plane.columns))
    columns = np.zeros((len(slices), plane.rows))
    drift_right = (step @ right) / (right @ right) * every
    drift_down = (step @ down) / (down @ down) * every
    for k, frame in enumerate(slices):
        if frame is not None:
            image = real_values(frame.header, frame.raw())
            moved = round(k * drift_right), round(k * drift_down)
            rows[k] = _shifted(image[plane.rows // 2], moved[0])
            columns[k] = _shifted(image[:, plane.columns // 2], moved[1])
    normal = np.cross(right, down)
    upright = normal * ((step @ normal) / (normal @ normal) * every)  # the step without the tilt
    return hung(rows, right, upright), hung(columns, down, upright)


def _shifted(line: NDArray[Any], by: int) -> NDArray[Any]:
    """A line moved by some pixels, its ends repeated."""
    if by == 0:
        return line
    places = np.clip(np.arange(len(line)) - by, 0, len(line) - 1)
    return np.asarray(line[places])
