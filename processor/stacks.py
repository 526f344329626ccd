"""Which planes make one regular stack, in what order, with what gaps and what shear.

Pure functions on planes. What makes several volumes of one series is `processor.volumes`' question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from processor.errors import NotConvertible, UnevenSpacing
from processor.geometry import (
    DRIFT_TOLERANCE_MM,
    GRID_TOLERANCE_VOXEL,
    MILLIMETRE_FLOOR,
    SAME_POSITION_MM,
    SPACING_TOLERANCE,
    UNIT_TOLERANCE,
    Array,
    Plane,
    missing_slices,
    obliquity_degrees,
    stack_affine_ras,
)


@dataclass(frozen=True)
class StackPlan:
    """One regular stack.

    Attributes
    ----------
    order : tuple of int or None
        For each k, which of the given planes it holds; None where a slice is missing.
    affine_ras : ndarray, shape (4, 4)
        Voxel indices (i, j, k, 1) to millimetres in RAS.
    spacing_mm : tuple of 3 floats
        Between voxel centres along i, j, k.
    obliquity_degrees : float
        Between the normal and the closest patient axis.
    tilt_degrees : float
        Between the normal and the way from slice to slice; 0 unless the stack is sheared.
    rounding_mm : float
        How far positions lie off the regular grid: what a vendor's rounding costs.
    """

    order: tuple[int | None, ...]
    affine_ras: Array
    spacing_mm: tuple[float, float, float]
    obliquity_degrees: float
    tilt_degrees: float = 0.0
    rounding_mm: float = 0.0

    @property
    def missing(self) -> tuple[int, ...]:
        """Every k without a slice."""
        return tuple(k for k, index in enumerate(self.order) if index is None)


def plan_stack(planes: Sequence[Plane]) -> StackPlan:
    """Order planes along their normal and place them, if they make one regular stack.

    Slices that are missing keep their place; a stack sheared by a tilted gantry keeps its shear.

    Parameters
    ----------
    planes : sequence of Plane
        One for each frame, in any order, of one matrix, spacing and orientation.

    Returns
    -------
    StackPlan
        With `affine_ras` mapping voxel centres; the rows are stored from the bottom.

    Raises
    ------
    NotConvertible
        Duplicate or uneven positions, slices that shift in their plane, no orientation at all.

    >>> axial = [Plane(4, 3, (0, 0, z), (1, 0, 0, 0, 1, 0), (1, 1), 2) for z in (8, 0, 2, 4)]
    >>> plan = plan_stack(axial)
    >>> plan.order
    (1, 2, 3, None, 0)
    >>> (plan.affine_ras + 0.0).tolist()[2]
    [0.0, 0.0, 2.0, 0.0]
    """
    _require_unit_orientation(planes[0])
    normal = planes[0].normal_lps
    positions = np.array([plane.position_lps for plane in planes])
    distances = positions @ normal
    order = np.argsort(distances, kind="stable")
    places = _places(distances[order], positions[order], normal)
    origin, step = _line(positions[order], places, planes[0])
    rounding = _straightness(positions[order], places, origin, step)
    slots: list[int | None] = [None] * (int(places[-1]) + 1)
    for place, index in zip(places, order, strict=True):
        slots[place] = int(index)
    first = planes[order[0]]
    length = float(np.linalg.norm(step))
    return StackPlan(
        order=tuple(slots),
        affine_ras=stack_affine_ras(first, step),
        spacing_mm=(first.spacing_mm[1], first.spacing_mm[0], length),
        obliquity_degrees=obliquity_degrees(normal),
        tilt_degrees=_tilt_degrees(step, normal, int(places[-1])),
        rounding_mm=rounding,
    )


def regular_runs(planes: Sequence[Plane]) -> list[list[int]]:
    """The planes split where the distance between slices changes, in the order of the slices.

    >>> axial = [Plane(4, 3, (0, 0, z), (1, 0, 0, 0, 1, 0), (1, 1), 2) for z in (0, 2, 4, 9, 14)]
    >>> regular_runs(axial)
    [[0, 1, 2], [3, 4]]
    """
    distances = np.array([plane.position_lps for plane in planes]) @ planes[0].normal_lps
    order = np.argsort(distances, kind="stable")
    runs = [[int(order[0])]]
    for before, index in pairwise(order):
        run = runs[-1]
        gap = distances[index] - distances[before]
        steps = (distances[run[-1]] - distances[run[0]]) / max(len(run) - 1, 1)
        tolerance = max(SPACING_TOLERANCE * steps, MILLIMETRE_FLOOR)
        if len(run) == 1 or abs(gap - steps) <= tolerance:
            run.append(int(index))
        else:
            runs.append([int(index)])
    return runs


def _require_unit_orientation(plane: Plane) -> None:
    row, column = np.array(plane.orientation_lps).reshape(2, 3)
    lengths = np.linalg.norm([row, column, plane.normal_lps], axis=1)
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE:
        raise NotConvertible("the orientation is not two perpendicular unit vectors")


def _places(distances: Array, positions: Array, normal: Array) -> NDArray[np.int64]:
    """Which k each slice has; a place is left free where a slice is missing."""
    gaps = np.diff(distances)
    if not len(gaps):
        return np.zeros(1, dtype=np.int64)
    if gaps.min() < SAME_POSITION_MM:
        raise NotConvertible(_duplicates(positions[:-1][gaps < SAME_POSITION_MM], normal))
    even = np.linspace(distances[0], distances[-1], len(distances))
    tolerance = max(GRID_TOLERANCE_VOXEL * gaps.mean(), MILLIMETRE_FLOOR)
    if np.abs(distances - even).max() <= tolerance:
        return np.arange(len(distances))
    missing = missing_slices(gaps)
    places = np.concatenate([[0], np.cumsum(missing + 1)])
    even = distances[0] + (distances[-1] - distances[0]) * places / places[-1]
    if not missing.any() or np.abs(distances - even).max() > tolerance:
        raise UnevenSpacing(f"uneven slice spacing: {gaps.min():.2f} to {gaps.max():.2f} mm")
    return places


def _line(positions: Array, places: NDArray[np.int64], plane: Plane) -> tuple[Array, Array]:
    """Where the slices begin, and the way from one to the next."""
    if len(positions) == 1:
        return positions[0], plane.normal_lps * plane.thickness_mm
    step = (positions[-1] - positions[0]) / places[-1]
    return positions[0], np.asarray(step)


def _straightness(positions: Array, places: NDArray[np.int64], origin: Array, step: Array) -> float:
    """How far positions lie off the line with even steps; an error where it is no line."""
    bend = np.linalg.norm(positions - origin - np.outer(places, step), axis=1).max()
    allowed = max(DRIFT_TOLERANCE_MM, GRID_TOLERANCE_VOXEL * float(np.linalg.norm(step)))
    if bend > allowed:
        raise NotConvertible(f"slices shift in their plane by up to {bend:.1f} mm")
    return position_rounding_mm(positions, places)


def position_rounding_mm(positions_lps: Array, places: NDArray[np.int64]) -> float:
    """How far positions lie off the best line with even steps.

    Parameters
    ----------
    positions_lps : ndarray, shape (n, 3)
        ImagePositionPatient.
    places : ndarray of int, shape (n,)
        The k of each.

    >>> positions = np.array([[0, 0, 0], [0, 0, 7.0], [0, 0, 21.0]])
    >>> position_rounding_mm(positions, np.array([0, 1, 3])) < 1e-9
    True
    """
    steps = np.column_stack([np.ones(len(places)), places])
    line = steps @ np.linalg.lstsq(steps, positions_lps, rcond=None)[0]
    return float(np.linalg.norm(positions_lps - line, axis=1).max())


def _tilt_degrees(step: Array, normal: Array, last: int) -> float:
    """The angle between normal and step; 0 where the slices drift less than the tolerance."""
    drift = float(np.linalg.norm(step - normal * (step @ normal))) * max(last, 1)
    if drift <= DRIFT_TOLERANCE_MM:
        return 0.0
    cosine = abs(float(step @ normal)) / float(np.linalg.norm(step))
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def _duplicates(repeated: Array, normal: Array) -> str:
    axis = int(np.argmax(np.abs(normal)))
    where = f"{'xyz'[axis]} = {repeated[0][axis]:.1f} mm"
    return f"duplicate slice positions: {len(repeated)} repeated, the first at {where}"


def missing_words(plan: StackPlan, rows: int) -> str:
    """Which slices are missing, for people: "1 of 5 slices missing between z = ...".

    Positions are those of the first pixel, as in ImagePositionPatient.
    """
    missing, total = plan.missing, len(plan.order)
    axis = int(np.argmax(np.abs(plan.affine_ras[:3, 2])))
    sign = (-1, -1, 1)[axis]
    ends = []
    for k in missing:
        if k - 1 not in missing:
            after = next(above for above in range(k, total) if above not in missing)
            below, above = (
                sign * float((plan.affine_ras @ [0, rows - 1, end, 1])[axis])
                for end in (k - 1, after)
            )
            ends.append(f"{'xyz'[axis]} = {below:.1f} mm and {above:.1f} mm")
    more = f" and {len(ends) - 2} more places" if len(ends) > 2 else ""
    where = ", and between ".join(ends[:2]) + more
    return f"{len(missing)} of {total} slices missing between {where}"
