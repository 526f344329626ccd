"""What the headers of a series say about its being whole: holes, gaps and counts that differ.

Pure. It finds; how sure it is that a series is whole is the grade's business, and a finding does
not change it.
"""

import itertools
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from listener.header import Header

_NAMED = 5  # so many numbers are named, the rest are counted
_SAME_MM = 0.01
_UNEVEN_FRACTION = 0.01
_UNEVEN_MM = 0.1
_GAP = 1.5


@dataclass(frozen=True)
class Slice:
    """One instance, as far as its place in the series is concerned.

    Attributes
    ----------
    number
        InstanceNumber.
    orientation
        ImageOrientationPatient, rounded; empty where it has none.
    position
        Along the normal of its orientation, in mm.
    temporal_positions, in_acquisition
        NumberOfTemporalPositions and ImagesInAcquisition.
    acquisition
        AcquisitionNumber.
    """

    number: int | None = None
    orientation: tuple[float, ...] = ()
    position: float | None = None
    temporal_positions: int | None = None
    in_acquisition: int | None = None
    acquisition: int | None = None


def slice_of(header: Header) -> Slice:
    """The place of an instance, from its header."""
    orientation = _floats(header, "ImageOrientationPatient", 6)
    position = _floats(header, "ImagePositionPatient", 3)
    return Slice(
        number=header.number("InstanceNumber"),
        orientation=tuple(round(cosine, 3) for cosine in orientation),
        position=_along_normal(orientation, position) if orientation and position else None,
        temporal_positions=header.number("NumberOfTemporalPositions"),
        in_acquisition=header.number("ImagesInAcquisition"),
        acquisition=header.number("AcquisitionNumber"),
    )


def _floats(header: Header, keyword: str, count: int) -> tuple[float, ...]:
    values = header.values.get(keyword, ())
    numbers = tuple(value for value in values if isinstance(value, float))
    return numbers if len(numbers) == len(values) == count else ()


def _along_normal(orientation: tuple[float, ...], position: tuple[float, ...]) -> float:
    """The position in mm along row direction x column direction (PS3.3 C.7.6.2.1.1)."""
    rx, ry, rz, cx, cy, cz = orientation
    normal = (ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx)
    return sum(a * b for a, b in zip(normal, position, strict=True))


def findings_of(slices: Sequence[Slice]) -> tuple[str, ...]:
    """What does not fit in a series, in words; nothing where all fits or nothing is known."""
    return tuple(
        finding
        for found in (_holes(slices), _gaps(slices), _times(slices), _acquisitions(slices))
        for finding in found
    )


def _holes(slices: Sequence[Slice]) -> Iterator[str]:
    numbers = {one.number for one in slices if one.number is not None}
    if len(numbers) < len(slices):  # repeated or absent: they do not count the instances
        return
    missing = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    if 0 < missing <= len(numbers):
        holes = [n for n in range(min(numbers), max(numbers)) if n not in numbers]
        yield f"no InstanceNumber {_listed(holes)}"


def _listed(numbers: Sequence[int]) -> str:
    """Numbers in words.

    >>> _listed([3]), _listed([3, 4, 9]), _listed(range(1, 9))
    ('3', '3, 4 and 9', '1, 2, 3, 4, 5 and 3 more')
    """
    named = [str(number) for number in numbers[:_NAMED]]
    if len(numbers) > _NAMED:
        return f"{', '.join(named)} and {len(numbers) - _NAMED} more"
    *most, last = named
    return f"{', '.join(most)} and {last}" if most else last


def _gaps(slices: Sequence[Slice]) -> Iterator[str]:
    """Uneven distances along the normal, where all slices lie in one direction."""
    if len({one.orientation for one in slices}) != 1:
        return
    places = _places(slices)
    steps = [b - a for a, b in itertools.pairwise(places)]
    if len(steps) < 2:
        return
    usual = statistics.median_low(steps)
    wide = [a for a, step in zip(places, steps, strict=False) if step > _GAP * usual]
    if wide:
        yield (
            f"{len(wide)} gap{'s' if len(wide) > 1 else ''} along the normal, the first behind"
            f" {wide[0]:.1f} mm"
        )
    elif max(steps) - min(steps) > max(_UNEVEN_MM, _UNEVEN_FRACTION * usual):
        yield f"uneven positions along the normal: {min(steps):.2f} to {max(steps):.2f} mm apart"


def _places(slices: Sequence[Slice]) -> list[float]:
    """The positions that differ, in order."""
    places: list[float] = []
    for position in sorted(one.position for one in slices if one.position is not None):
        if not places or position - places[-1] > _SAME_MM:
            places.append(position)
    return places


def _times(slices: Sequence[Slice]) -> Iterator[str]:
    """Positions that hold fewer images than others, or than NumberOfTemporalPositions."""
    held = Counter(
        (one.orientation, round(one.position, 1)) for one in slices if one.position is not None
    )
    if len(held) < 2:
        return
    most = max(held.values())
    fewer = sum(count < most for count in held.values())
    if fewer and most > 1:
        yield f"{fewer} of {len(held)} positions hold fewer than {most} images"
    told = {one.temporal_positions for one in slices} - {None}
    if len(told) == 1 and most % (times := told.pop() or 1):
        yield f"NumberOfTemporalPositions is {times}, a position holds {most}"


def _acquisitions(slices: Sequence[Slice]) -> Iterator[str]:
    """Acquisitions with another number of instances than ImagesInAcquisition says."""
    here = Counter(one.acquisition for one in slices)
    told = {one.acquisition: one.in_acquisition for one in slices if one.in_acquisition}
    short = {number: count for number, count in told.items() if here[number] < count}
    if short:
        number, count = next(iter(short.items()))
        more = f", and {len(short) - 1} more are short" if len(short) > 1 else ""
        yield f"ImagesInAcquisition says {count}, {here[number]} are here{more}"
