"""The planner: which frames make one regular stack, in what order, and where it is in the patient.

Pure functions on headers; pixels are never read here. Coordinates are millimetres: LPS is DICOM's
patient frame (PS3.3 C.7.6.2.1.1), RAS is NIfTI's. Voxel indices (i, j, k) count columns, rows from
the bottom, and slices along the normal: the storage order of dcm2niix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from processor.errors import NotConvertible
from processor.headers import integer, number, numbers

Array = NDArray[np.float64]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

ORIENTATION_TOLERANCE = 1e-3
UNIT_TOLERANCE = 0.01
SPACING_TOLERANCE = 0.01
GRID_TOLERANCE_VOXEL = 0.02
DRIFT_TOLERANCE_MM = 0.1
SAME_POSITION_MM = 0.01
_MILLIMETRE_FLOOR = 0.01


@dataclass(frozen=True)
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
        return np.cross(self.orientation_lps[:3], self.orientation_lps[3:])


@dataclass(frozen=True)
class StackPlan:
    """One regular stack.

    Attributes
    ----------
    order : tuple of int
        For each k, which of the given planes it holds.
    affine_ras : ndarray, shape (4, 4)
        Voxel indices (i, j, k, 1) to millimetres in RAS.
    spacing_mm : tuple of 3 floats
        Between voxel centres along i, j, k.
    obliquity_degrees : float
        Between the normal and the closest patient axis.
    """

    order: tuple[int, ...]
    affine_ras: Array
    spacing_mm: tuple[float, float, float]
    obliquity_degrees: float


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


def plan_stack(planes: Sequence[Plane]) -> StackPlan:
    """Order planes along their normal and place them, if they make one regular stack.

    Parameters
    ----------
    planes : sequence of Plane
        One for each frame, in any order.

    Returns
    -------
    StackPlan
        With `affine_ras` mapping voxel centres; the rows are stored from the bottom.

    Raises
    ------
    NotConvertible
        Mixed matrices, spacings or orientations, duplicate, missing or uneven positions, a tilt.

    >>> axial = [Plane(4, 3, (0, 0, z), (1, 0, 0, 0, 1, 0), (1, 1), 2) for z in (4, 0, 2)]
    >>> plan = plan_stack(axial)
    >>> plan.order
    (1, 2, 0)
    >>> (plan.affine_ras + 0.0).tolist()[2]
    [0.0, 0.0, 2.0, 0.0]
    """
    _require_one_kind(planes)
    _require_one_orientation(planes)
    normal = planes[0].normal_lps
    positions = np.array([plane.position_lps for plane in planes])
    distances = positions @ normal
    order = np.argsort(distances, kind="stable")
    _require_even(distances[order], positions[order], normal)
    _require_straight(positions[order], normal)
    step = _step(positions[order], planes[0])
    affine = stack_affine_ras(planes[order[0]], step)
    return StackPlan(
        order=tuple(int(index) for index in order),
        affine_ras=affine,
        spacing_mm=(planes[0].spacing_mm[1], planes[0].spacing_mm[0], float(np.linalg.norm(step))),
        obliquity_degrees=obliquity_degrees(normal),
    )


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


def closest_ras(volume: NDArray[np.generic], affine: Array) -> tuple[NDArray[np.generic], Array]:
    """The same voxels with axes flipped and swapped so that they run closest to R, A, S.

    dcm2niix stores volumes of 3D acquisitions (MRAcquisitionType 3D) this way. No interpolation.
    """
    orientations: Any = nib.orientations
    turns = orientations.io_orientation(affine)
    turned = orientations.apply_orientation(volume, turns)
    return turned, affine @ orientations.inv_ornt_aff(turns, volume.shape)


def _step(positions: Array, plane: Plane) -> Array:
    if len(positions) == 1:
        return plane.normal_lps * plane.thickness_mm
    return np.asarray((positions[-1] - positions[0]) / (len(positions) - 1))


def _require_one_kind(planes: Sequence[Plane]) -> None:
    matrices = sorted({(plane.columns, plane.rows) for plane in planes})
    if len(matrices) > 1:
        listed = ", ".join(f"{columns}x{rows}" for columns, rows in matrices[:3])
        raise NotConvertible(f"mixed matrix: {len(matrices)} sizes ({listed})")
    spacings = np.array([plane.spacing_mm for plane in planes])
    if np.ptp(spacings, axis=0).max() > SPACING_TOLERANCE * spacings.min():
        raise NotConvertible("mixed pixel spacing in one series")


def orientation_groups(planes: Sequence[Plane]) -> list[list[int]]:
    """The indices of the planes, grouped by their orientation within the tolerance."""
    groups: list[list[int]] = []
    for index, plane in enumerate(planes):
        for group in groups:
            other = planes[group[0]].orientation_lps
            if np.allclose(plane.orientation_lps, other, rtol=0, atol=ORIENTATION_TOLERANCE):
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def _require_one_orientation(planes: Sequence[Plane]) -> None:
    groups = orientation_groups(planes)
    if len(groups) > 1:
        counts = " + ".join(str(len(group)) for group in groups)
        raise NotConvertible(f"mixed orientations: {len(groups)} stacks ({counts} slices)")
    row, column = np.array(planes[0].orientation_lps).reshape(2, 3)
    lengths = np.linalg.norm([row, column, planes[0].normal_lps], axis=1)
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE:
        raise NotConvertible("the orientation is not two perpendicular unit vectors")


def _require_even(distances: Array, positions: Array, normal: Array) -> None:
    gaps = np.diff(distances)
    if not len(gaps):
        return
    if gaps.min() < SAME_POSITION_MM:
        raise NotConvertible(_duplicates(positions[:-1][gaps < SAME_POSITION_MM], normal))
    even = np.linspace(distances[0], distances[-1], len(distances))
    tolerance = max(GRID_TOLERANCE_VOXEL * gaps.mean(), _MILLIMETRE_FLOOR)
    if np.abs(distances - even).max() <= tolerance:
        return
    raise NotConvertible(_uneven(gaps, positions, normal))


def _duplicates(repeated: Array, normal: Array) -> str:
    axis = int(np.argmax(np.abs(normal)))
    where = f"{'xyz'[axis]} = {repeated[0][axis]:.1f} mm"
    return f"duplicate slice positions: {len(repeated)} repeated, the first at {where}"


def missing_slices(gaps: Array) -> NDArray[np.int64]:
    """How many slices are missing in each gap; all zero where the gaps are not multiples.

    >>> missing_slices(np.array([2.0, 6.0, 2.0])).tolist()
    [0, 2, 0]
    """
    unit = gaps.min()
    multiples = np.rint(gaps / unit).astype(np.int64)
    tolerance = max(SPACING_TOLERANCE * unit, _MILLIMETRE_FLOOR)
    regular = np.all(np.abs(gaps - multiples * unit) <= multiples * tolerance)
    missing = multiples - 1
    return missing if regular and missing.sum() <= len(gaps) else np.zeros_like(missing)


def _uneven(gaps: Array, positions: Array, normal: Array) -> str:
    missing = missing_slices(gaps)
    if not missing.any():
        return f"uneven slice spacing: {gaps.min():.2f} to {gaps.max():.2f} mm"
    axis = int(np.argmax(np.abs(normal)))
    name, total = "xyz"[axis], len(positions) + int(missing.sum())
    ends = [
        f"{name} = {positions[at][axis]:.1f} mm and {positions[at + 1][axis]:.1f} mm"
        for at in np.flatnonzero(missing)
    ]
    more = f" and {len(ends) - 2} more places" if len(ends) > 2 else ""
    where = ", and between ".join(ends[:2]) + more
    return f"{int(missing.sum())} of {total} slices missing between {where}"


def _require_straight(positions: Array, normal: Array) -> None:
    offsets = positions - positions[0]
    in_plane = offsets - np.outer(offsets @ normal, normal)
    drift = float(np.linalg.norm(in_plane, axis=1).max())
    if drift <= DRIFT_TOLERANCE_MM:
        return
    line = offsets[-1] / max(len(positions) - 1, 1)
    bend = np.abs(offsets - np.outer(np.arange(len(positions)), line)).max()
    if bend <= DRIFT_TOLERANCE_MM:
        cosine = abs(line @ normal) / np.linalg.norm(line)
        tilt = np.degrees(np.arccos(min(1.0, cosine)))
        raise NotConvertible(f"slices are sheared by {tilt:.1f} degrees, as with a tilted gantry")
    raise NotConvertible(f"slices shift in their plane by up to {drift:.1f} mm")
