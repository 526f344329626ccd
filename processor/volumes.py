"""Which frames at the same positions belong to which volume: time, diffusion, phase and the like.

Only what headers tell; the order of InstanceNumber counts where nothing else does, and then every
volume must be whole in it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from processor.diffusion import b_value_of, direction_of
from processor.errors import NotConvertible
from processor.frames import Frame
from processor.geometry import SAME_POSITION_MM, Plane
from processor.headers import number, text

Position = int
"""The number of a slice, from 0 along the normal."""
_Volume = dict[Position, Frame]


@dataclass(frozen=True)
class Volumes:
    """The frames of one stack, told apart.

    Attributes
    ----------
    frames : tuple of tuple of Frame
        For each volume its frames by position; all volumes have all positions.
    told_by : tuple of str
        The elements that tell the volumes apart.
    left_out : tuple of tuple of Frame
        Volumes that lack slices.
    repeated : tuple of Frame
        Frames that are pixel for pixel what another one at the same position is.
    """

    frames: tuple[tuple[Frame, ...], ...]
    told_by: tuple[str, ...] = ()
    left_out: tuple[tuple[Frame, ...], ...] = ()
    repeated: tuple[Frame, ...] = ()


def volumes_of(frames: Sequence[Frame]) -> Volumes:
    """Tell the volumes of one stack apart.

    Parameters
    ----------
    frames : sequence of Frame
        Of one matrix and orientation, each with a plane, in the order of InstanceNumber.

    Raises
    ------
    NotConvertible
        Positions repeat unequally often and no element tells why.
    """
    levels = _levels(frames)
    counts = {len(level) for level in levels}
    if counts == {1}:
        return Volumes((tuple(level[0] for level in levels),))
    found = _even(levels) if len(counts) == 1 else _uneven(levels)
    if found is not None:
        return found
    kept, repeated = _without_repeats(levels)
    if repeated:
        rest = volumes_of(kept)
        return Volumes(rest.frames, rest.told_by, rest.left_out, (*rest.repeated, *repeated))
    by_number = _by_number(frames, levels)
    if by_number is None:
        raise NotConvertible(_duplicates(levels))
    return by_number


def _levels(frames: Sequence[Frame]) -> list[list[Frame]]:
    """The frames at each position, along the normal."""
    normal = _plane(frames[0]).normal_lps
    distances = np.array([normal @ _plane(frame).position_lps for frame in frames])
    order = np.argsort(distances, kind="stable")
    new = np.flatnonzero(np.diff(distances[order]) >= SAME_POSITION_MM) + 1
    return [[frames[index] for index in sorted(level)] for level in np.split(order, new)]


def _plane(frame: Frame) -> Plane:
    if frame.plane is None:
        raise NotConvertible(f"instance {frame.instance.uid} has no position")
    return frame.plane


_Tell = Callable[[Dataset], Hashable]


def _element(keyword: str) -> _Tell:
    return lambda header: text(header, keyword)


_TIMES = ("TemporalPositionIdentifier", "TemporalPositionIndex", "FrameReferenceTime")
_PHASES = ("TriggerTime", "NominalCardiacTriggerDelayTime")
_SETTINGS = ("InversionTime", "FlipAngle")
_MOMENTS = (
    "AcquisitionNumber",
    "FrameAcquisitionNumber",
    "FrameAcquisitionDateTime",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ContentTime",
)
_TELLS: Mapping[str, _Tell] = {
    **{keyword: _element(keyword) for keyword in _TIMES},
    "b-value": b_value_of,
    "gradient direction": direction_of,
    **{keyword: _element(keyword) for keyword in (*_PHASES, *_SETTINGS, *_MOMENTS)},
}
_ORDERED = frozenset((*_TIMES, *_PHASES))
_WEAK = frozenset((*_MOMENTS, "InstanceNumber"))
"""What also differs between an image and a second one of the same place."""


def _even(levels: Sequence[Sequence[Frame]]) -> Volumes | None:
    """Every position has the same number of frames: the elements that split all of them alike."""
    keys: dict[Frame, tuple[Hashable, ...]] = {frame: () for level in levels for frame in level}
    told_by: list[str] = []
    for name, tell in _TELLS.items():
        if _is_split(keys, levels[0]):
            break
        finer = {frame: (*key, tell(frame.header)) for frame, key in keys.items()}
        alike = {frozenset(Counter(finer[frame] for frame in level).items()) for level in levels}
        more = len(set(finer.values())) > len(set(keys.values()))
        if len(alike) == 1 and more:
            keys = finer
            told_by.append(name)
    if not told_by:
        return None
    volumes = _grouped(levels, keys)
    return Volumes(_in_order(volumes, told_by), tuple(told_by))


def _is_split(keys: Mapping[Frame, Hashable], level: Sequence[Frame]) -> bool:
    return len({keys[frame] for frame in level}) == len(level)


def _grouped(levels: Sequence[Sequence[Frame]], keys: Mapping[Frame, Hashable]) -> list[_Volume]:
    """Volumes by key; frames of one key at one position by InstanceNumber."""
    volumes: dict[Hashable, _Volume] = defaultdict(dict)
    for position, level in enumerate(levels):
        seen: Counter[Hashable] = Counter()
        for frame in level:
            key = keys[frame]
            volumes[key, seen[key]][position] = frame
            seen[key] += 1
    return list(volumes.values())


def _in_order(
    volumes: Iterable[_Volume], told_by: Sequence[str] = ()
) -> tuple[tuple[Frame, ...], ...]:
    """Volumes by time where one is told, else as they were numbered; frames by position."""

    def place(volume: _Volume) -> tuple[float, float, float]:
        first = volume[min(volume)]
        told = number(first.header, told_by[0]) if told_by and told_by[0] in _ORDERED else None
        ranks = [(frame.instance.number, frame.part) for frame in volume.values()]
        middle = np.mean(ranks, axis=0)
        return (told or 0.0, float(middle[0]), float(middle[1]))

    ordered = sorted(volumes, key=place)
    return tuple(tuple(volume[at] for at in sorted(volume)) for volume in ordered)


def _uneven(levels: Sequence[Sequence[Frame]]) -> Volumes | None:
    """Some volumes lack slices: an element that tells each frame of a position apart."""
    total = sum(map(len, levels))
    for names in (*((name,) for name in _TELLS), ("b-value", "gradient direction")):
        keys = {
            frame: tuple(_TELLS[name](frame.header) for name in names)
            for level in levels
            for frame in level
        }
        if not all(_is_split(keys, level) for level in levels):
            continue
        volumes = _grouped(levels, keys)
        found = _with_lacking(volumes, len(levels), names)
        if found is not None and 2 * sum(map(len, found.frames)) >= total:
            return found
    return None


def _with_lacking(
    volumes: Sequence[_Volume], count: int, told_by: tuple[str, ...]
) -> Volumes | None:
    """Volumes of which some lack slices; None where that may be a second image of a place."""
    whole = [volume for volume in volumes if len(volume) == count]
    lacking = [volume for volume in volumes if len(volume) < count]
    fewest = 2 if lacking and _WEAK.issuperset(told_by) else 1
    if len(whole) < fewest:
        return None
    return Volumes(_in_order(whole, told_by), told_by, _in_order(lacking, told_by))


def _by_number(frames: Sequence[Frame], levels: Sequence[Sequence[Frame]]) -> Volumes | None:
    """Volumes one after the other by InstanceNumber, each whole but perhaps the last."""
    position = {frame: at for at, level in enumerate(levels) for frame in level}
    count = len(levels)
    blocks = [frames[at : at + count] for at in range(0, len(frames), count)]
    volumes = [{position[frame]: frame for frame in block} for block in blocks]
    if any(len(volume) < len(block) for volume, block in zip(volumes, blocks, strict=True)):
        volumes = _grouped(levels, dict.fromkeys(position, ()))
        if any(len(volume) < count for volume in volumes):
            return None
    return _with_lacking(volumes, count, ("InstanceNumber",))


def _without_repeats(levels: Sequence[Sequence[Frame]]) -> tuple[list[Frame], list[Frame]]:
    """The frames without those that repeat another one of their position, and these."""
    kept: list[Frame] = []
    repeated: list[Frame] = []
    for level in levels:
        distinct: list[Frame] = []
        for frame in level:
            same = any(_same(frame.raw(), other.raw()) for other in distinct)
            (repeated if same else distinct).append(frame)
        kept.extend(distinct)
    kept.sort(key=lambda frame: (frame.instance.number, frame.instance.uid, frame.part))
    return kept, repeated


def _same(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    return np.array_equal(one, other)


def _duplicates(levels: Sequence[Sequence[Frame]]) -> str:
    usual = min(map(len, levels))
    more = [level for level in levels if len(level) > usual]
    first = _plane(more[0][0])
    axis = int(np.argmax(np.abs(first.normal_lps)))
    where = f"{'xyz'[axis]} = {first.position_lps[axis]:.1f} mm"
    return (
        f"duplicate slice positions: {len(more)} of {len(levels)} repeated with other pixels, "
        f"the first at {where}"
    )
