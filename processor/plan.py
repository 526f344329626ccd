"""The planner: which frames of a series make which files.

A series becomes stacks (slices along k, volumes along t), one file each, or images without a place
in the patient. Pure functions on headers; pixels are read only to recognise repeated frames.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from processor.contrasts import by_contrast
from processor.eligibility import require_images, share
from processor.errors import NotConvertible, UnevenSpacing
from processor.frames import Frame, frames_of
from processor.geometry import DRIFT_TOLERANCE_MM, SPACING_TOLERANCE, Plane, orientation_groups
from processor.headers import text
from processor.source import Instance, SeriesSource
from processor.stacks import StackPlan, missing_words, plan_stack, regular_runs
from processor.volumes import Volumes, volumes_of

_SHORTEST_RUN = 3
"""Slices of a regular part: two are always at one distance."""
CROSS_SECTIONAL = frozenset({"CT", "MR", "PT"})


@dataclass(frozen=True)
class Stack:
    """What becomes one file.

    Attributes
    ----------
    frames : tuple of tuple of Frame or None
        For each volume t its frames along k; None where a slice is missing.
    plan : StackPlan or None
        Where it lies; None for images without a place.
    label : str
        What tells its file from the series' others: "e2", "ph", "sagittal", "0003"; "" if alone.
    told_by : tuple of str
        The elements that tell its volumes apart.
    findings : tuple of str
        What a person should know of its geometry.
    left_out : tuple of Frame
        Frames of volumes that lack slices; they are not converted.
    repeated : tuple of Frame
        Frames whose pixels another one holds at the same place.
    """

    frames: tuple[tuple[Frame | None, ...], ...]
    plan: StackPlan | None
    label: str = ""
    told_by: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    left_out: tuple[Frame, ...] = ()
    repeated: tuple[Frame, ...] = ()

    @property
    def present(self) -> Iterator[tuple[int, Frame]]:
        """Every frame it holds, with its volume, in file order."""
        for t, volume in enumerate(self.frames):
            for frame in volume:
                if frame is not None:
                    yield t, frame

    @property
    def first(self) -> Frame:
        """The frame whose header stands for the stack."""
        return next(frame for _, frame in self.present)


def plan(source: SeriesSource) -> tuple[Stack, ...]:
    """Plan the conversion of a series.

    Raises
    ------
    NotConvertible
        The true reason in words; counts and SOP class names, no patient data.
    """
    return source.once(_plan)


def _plan(source: SeriesSource) -> tuple[Stack, ...]:
    require_images(source)
    frames = frames_of(source.instances)
    for frame in frames:
        if frame.fault:
            raise NotConvertible(frame.fault)
    placed = [frame for frame in frames if frame.plane is not None]
    if len(placed) == len(frames):
        return _named(_stacks(placed))
    if placed or text(frames[0].header, "Modality") in CROSS_SECTIONAL:
        lacking = share(len(frames) - len(placed), len(frames), "image")
        raise NotConvertible(f"{lacking} without position, orientation or pixel spacing")
    return _images(source.instances, frames)


def _images(instances: Sequence[Instance], frames: Sequence[Frame]) -> tuple[Stack, ...]:
    """Each instance by itself; the frames of a cine along t."""
    own: dict[Instance, list[Frame]] = defaultdict(list)
    for frame in frames:
        own[frame.instance].append(frame)
    return tuple(
        Stack(tuple((frame,) for frame in own[instance]), None, f"{number:04d}")
        for number, instance in enumerate(instances, 1)
    )


def _stacks(frames: Sequence[Frame]) -> Iterator[Stack]:
    for group, label in _by_orientation(_by_kind(frames)):
        for part, contrast in by_contrast(group):
            labels = tuple(word for word in (label, contrast) if word)
            yield from _planned(part, "_".join(labels))


def _by_kind(frames: Sequence[Frame]) -> list[list[Frame]]:
    """The frames grouped by matrix, colour and pixel spacing."""
    groups: list[list[Frame]] = []
    for frame in frames:
        alike = (group for group in groups if _is_alike(frame, group[0]))
        group = next(alike, None)
        if group is None:
            groups.append([frame])
        else:
            group.append(frame)
    return groups


def _is_alike(one: Frame, other: Frame) -> bool:
    here, there = _plane(one), _plane(other)
    if (here.rows, here.columns, one.is_colour) != (there.rows, there.columns, other.is_colour):
        return False
    tolerance = SPACING_TOLERANCE * min(here.spacing_mm)
    pairs = zip(here.spacing_mm, there.spacing_mm, strict=True)
    return all(abs(mine - others) <= tolerance for mine, others in pairs)


def _plane(frame: Frame) -> Plane:
    if frame.plane is None:
        raise NotConvertible(f"instance {frame.instance.uid} has no position")
    return frame.plane


def _by_orientation(groups: Sequence[Sequence[Frame]]) -> list[tuple[list[Frame], str]]:
    """The groups split by orientation, and what each part is called where there are several."""
    parts = [
        part
        for group in groups
        for indices in orientation_groups([_plane(frame) for frame in group])
        for part in _side_by_side([group[index] for index in indices])
    ]
    if len(parts) == 1:
        return [(parts[0], "")]
    return [(part, _direction(_plane(part[0]))) for part in parts]


def _direction(plane: Plane) -> str:
    axis = int(np.argmax(np.abs(plane.normal_lps)))
    return ("sagittal", "coronal", "axial")[axis]


def _side_by_side(frames: list[Frame]) -> list[list[Frame]]:
    """Frames at one level but at other places within it belong to several stacks."""
    normal = _plane(frames[0]).normal_lps
    positions = np.array([_plane(frame).position_lps for frame in frames])
    distances = positions @ normal
    in_plane = positions - np.outer(distances, normal)
    levels: dict[int, list[int]] = defaultdict(list)
    for index, distance in enumerate(distances):
        levels[round(distance / DRIFT_TOLERANCE_MM)].append(index)
    spread = max(np.ptp(in_plane[level], axis=0).max() for level in levels.values())
    if spread <= DRIFT_TOLERANCE_MM:
        return [frames]
    stacks: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame, place in zip(frames, np.rint(in_plane), strict=True):
        stacks[tuple(place)].append(frame)
    return list(stacks.values())


def _planned(frames: Sequence[Frame], label: str) -> Iterator[Stack]:
    found = volumes_of(frames)
    planes = [_plane(frame) for frame in found.frames[0]]
    try:
        yield _stack(found, range(len(planes)), label)
    except UnevenSpacing:
        runs = regular_runs(planes)
        if min(map(len, runs)) < _SHORTEST_RUN:
            raise
        for number_, run in enumerate(runs, 1):
            part = _stack(found, run, "_".join(filter(None, (label, f"part{number_}"))))
            yield part


def _stack(found: Volumes, positions: Sequence[int], label: str) -> Stack:
    chosen = [[volume[at] for at in positions] for volume in found.frames]
    placed = plan_stack([_plane(frame) for frame in chosen[0]])
    return Stack(
        frames=tuple(
            tuple(None if index is None else volume[index] for index in placed.order)
            for volume in chosen
        ),
        plan=placed,
        label=label,
        told_by=found.told_by,
        findings=tuple(_findings(found, placed, _plane(chosen[0][0]).rows)),
        left_out=tuple(frame for volume in found.left_out for frame in volume),
        repeated=found.repeated,
    )


def _findings(found: Volumes, placed: StackPlan, rows: int) -> Iterator[str]:
    if placed.missing:
        yield missing_words(placed, rows)
    if placed.tilt_degrees:
        yield f"slices are sheared by {placed.tilt_degrees:.1f} degrees, as with a tilted gantry"
    if found.repeated:
        count = len(found.repeated)
        words = "1 frame repeats another" if count == 1 else f"{count} frames repeat others"
        yield f"{words} pixel for pixel"
    if found.told_by == ("InstanceNumber",):
        yield "volumes are told apart by the order of InstanceNumber alone"
    total = len(found.frames) + len(found.left_out)
    for volume in found.left_out:
        slices = f"{len(volume)} of {len(found.frames[0])} slices"
        yield f"1 of {total} volumes left out: it has {slices}"


def _named(stacks: Iterator[Stack]) -> tuple[Stack, ...]:
    """The stacks with labels that differ."""
    planned = list(stacks)
    counts = Counter(stack.label for stack in planned)
    seen: Counter[str] = Counter()
    named = []
    for stack in planned:
        seen[stack.label] += 1
        several = counts[stack.label] > 1
        label = f"{stack.label}_{seen[stack.label]}".lstrip("_") if several else stack.label
        named.append(replace(stack, label=label))
    return tuple(named)
