"""Where frames lie in the patient: planes, matrices, affines.

Pure functions on headers; pixels are never read here. Coordinates are millimetres: LPS is DICOM's
patient frame (PS3.3 C.7.6.2.1.1), RAS is NIfTI's. Voxel indices (i, j, k) count columns, rows from
the bottom, and slices along the normal: the storage order of dcm2niix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from processor.headers import integer, number, numbers

Array = NDArray[np.float64]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

ORIENTATION_TOLERANCE = 1e-3
UNIT_TOLERANCE = 0.01
SPACING_TOLERANCE = 0.01
GRID_TOLERANCE_VOXEL = 0.02
DRIFT_TOLERANCE_MM = 0.1
SAME_POSITION_MM = 0.01
MILLIMETRE_FLOOR = 0.01


@dataclass(frozen=True, slots=True)
class Plane:
    """Where one stored frame lies in the patient.

    Attributes
    ----------
    rows, columns : int
        The matrix.
    position_lps : tuple of 3 floats
        ImagePositionPatient: the centre of the first pixel, mm.
    orientation_lps : tuple of 6 floats
        ImageOrientationPatient: the direction of a row, then of a column.
    spacing_mm : tuple of 2 floats
        PixelSpacing: between rows, then between columns.
    thickness_mm : float
        The distance to the next slice where only this one is known.
    """

    rows: int
    columns: int
    position_lps: tuple[float, ...]
    orientation_lps: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    thickness_mm: float

    @property
    def normal_lps(self) -> Array:
        """Row direction x column direction, shape (3,)."""
        a, b, c, d, e, f = self.orientation_lps  # np.cross takes longer than all else of a frame
        return np.array([b * f - c * e, c * d - a * f, a * e - b * d])


def plane_of(header: Dataset) -> Plane | None:
    """The plane of a single-frame header, None where the patient frame is not told."""
    position = numbers(header, "ImagePositionPatient")
    orientation = numbers(header, "ImageOrientationPatient")
    spacing = numbers(header, "PixelSpacing")
    if (len(position), len(orientation), len(spacing)) != (3, 6, 2) or min(spacing) <= 0:
        return None
    return Plane(
        rows=integer(header, "Rows"),
        columns=integer(header, "Columns"),
        position_lps=position,
        orientation_lps=orientation,
        spacing_mm=spacing,
        thickness_mm=_thickness(header),
    )


def _thickness(header: Dataset) -> float:
    found = (number(header, key) for key in ("SpacingBetweenSlices", "SliceThickness"))
    return next((abs(value) for value in found if value), 1.0)


def frame_matrix_lps(plane: Plane) -> Array:
    """The matrix of PS3.3 C.7.6.2.1.1: (column, row, 0, 1) to millimetres in LPS.

    Returns
    -------
    ndarray, shape (4, 4)
        Column 2 is the unit normal.

    >>> plane = Plane(4, 4, (10, 20, 30), (1, 0, 0, 0, 1, 0), (2.0, 0.5), 5.0)
    >>> (frame_matrix_lps(plane) @ [2, 3, 0, 1]).tolist()
    [11.0, 26.0, 30.0, 1.0]
    """
    matrix = np.eye(4)
    matrix[:3, 0] = np.multiply(plane.orientation_lps[:3], plane.spacing_mm[1])
    matrix[:3, 1] = np.multiply(plane.orientation_lps[3:], plane.spacing_mm[0])
    matrix[:3, 2] = plane.normal_lps
    matrix[:3, 3] = plane.position_lps
    return matrix


def stack_affine_ras(first: Plane, step_lps: Array) -> Array:
    """The affine of a stack whose k = 0 is `first`, rows stored from the bottom.

    With M the matrix of `frame_matrix_lps` and R rows, voxel (i, j, k) is pixel (i, R - 1 - j) of
    slice k: RAS = diag(-1, -1, 1, 1) . (M . [i, R - 1 - j, 0, 1] + k . [step, 0]).
    """
    matrix = frame_matrix_lps(first)
    lps = matrix.copy()
    lps[:3, 1] = -matrix[:3, 1]
    lps[:3, 2] = step_lps
    lps[:3, 3] = matrix[:3, 3] + matrix[:3, 1] * (first.rows - 1)
    return LPS_TO_RAS @ lps


def obliquity_degrees(normal: Array) -> float:
    """The angle between a normal and the closest patient axis.

    >>> obliquity_degrees(np.array([0.0, 0.0, -1.0]))
    0.0
    """
    return float(np.degrees(np.arccos(min(1.0, np.abs(normal).max()))))


def orientation_groups(planes: Sequence[Plane]) -> list[list[int]]:
    """The indices of the planes, grouped by their orientation within the tolerance."""
    groups: list[list[int]] = []
    for index, plane in enumerate(planes):
        for group in groups:
            other = planes[group[0]].orientation_lps
            if plane.orientation_lps == other or _is_parallel(plane.orientation_lps, other):
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def _is_parallel(one: Sequence[float], other: Sequence[float]) -> bool:
    return np.allclose(one, other, rtol=0, atol=ORIENTATION_TOLERANCE)


def missing_slices(gaps: Array) -> NDArray[np.int64]:
    """How many slices are missing in each gap; all zero where the gaps are not multiples.

    >>> missing_slices(np.array([2.0, 6.0, 2.0])).tolist()
    [0, 2, 0]
    """
    unit = gaps.min()
    multiples = np.rint(gaps / unit).astype(np.int64)
    tolerance = max(SPACING_TOLERANCE * unit, MILLIMETRE_FLOOR)
    regular = np.all(np.abs(gaps - multiples * unit) <= multiples * tolerance)
    missing = multiples - 1
    return missing if regular and missing.sum() <= len(gaps) else np.zeros_like(missing)
