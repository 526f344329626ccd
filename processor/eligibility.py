"""What kind of NIfTI a series can become, or the true reason why none.

It looks at headers only; whether slices make a regular stack is `processor.geometry`'s question.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from processor.errors import NotConvertible
from processor.geometry import SAME_POSITION_MM, Plane, orientation_groups, plane_of
from processor.headers import (
    diffusion_b_value,
    image_types,
    integer,
    sop_class_name,
    text,
)
from processor.source import Instance, SeriesSource

CROSS_SECTIONAL = frozenset({"CT", "MR", "PT"})
PROJECTION = frozenset({"CR", "DX", "DR", "MG", "XA", "RF", "IO", "PX", "US"})
_NOT_IMAGES = frozenset({uid.SegmentationStorage, uid.RTDoseStorage})
_UIH_FRAME_SEQUENCE = 0x00651051
_COMPONENTS = frozenset({"M", "P", "R", "I", "MAGNITUDE", "PHASE", "REAL", "IMAGINARY"})
_DIXON = frozenset({"W", "F", "WATER", "FAT", "IN_PHASE", "OUT_PHASE", "OPP_PHASE"})
_TIMES = ("TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber", "AcquisitionTime")


@dataclass(frozen=True)
class Route:
    """How a series is converted: as one stack of planes, or each image by itself."""

    instances: tuple[Instance, ...]
    planes: tuple[Plane, ...]

    @property
    def is_stack(self) -> bool:
        """Whether every instance has its place in the patient."""
        return bool(self.planes)


def route(source: SeriesSource) -> Route:
    """Choose how to convert a series.

    Raises
    ------
    NotConvertible
        With the reason in words; counts and SOP class names, no patient data.
    """
    instances = source.instances
    _require_readable(source)
    _require_pixels(instances)
    _require_plain_images(instances)
    if all(_is_projection(instance.header) for instance in instances):
        return Route(instances, ())
    planes = [plane_of(instance.header) for instance in instances]
    placed = tuple(plane for plane in planes if plane is not None)
    if len(placed) == len(instances):
        require_one_volume([instance.header for instance in instances], placed)
        return Route(instances, placed)
    if placed or text(instances[0].header, "Modality") in CROSS_SECTIONAL:
        lacking = _share(len(planes) - len(placed), len(planes), "instance")
        raise NotConvertible(f"{lacking} without position, orientation or pixel spacing")
    return Route(instances, ())


def _is_projection(header: Dataset) -> bool:
    return text(header, "Modality") in PROJECTION


def _share(count: int, total: int, noun: str) -> str:
    return f"{count} of {total} {noun}{'s' if total != 1 else ''}"


def _require_readable(source: SeriesSource) -> None:
    if source.findings:
        unreadable = _share(len(source.findings), source.file_count, "file")
        raise NotConvertible(f"{unreadable} unreadable: {source.findings[0].reason}")
    if not source.instances:
        raise NotConvertible("the series has no files")


def _require_pixels(instances: Sequence[Instance]) -> None:
    without = [
        instance
        for instance in instances
        if not instance.has_pixels or text(instance.header, "SOPClassUID") in _NOT_IMAGES
    ]
    if not without:
        return
    if len(without) < len(instances):
        lacking = _share(len(without), len(instances), "instance")
        raise NotConvertible(f"{lacking} without an image: {sop_class_name(without[0].header)}")
    if integer(without[0].header, "Rows") and not without[0].has_pixels:
        raise NotConvertible(f"pixel data missing in instance {without[0].uid}")
    raise NotConvertible(f"no volume in this object: {sop_class_name(without[0].header)}")


def _require_plain_images(instances: Sequence[Instance]) -> None:
    checks: tuple[tuple[Callable[[Instance], bool], str], ...] = (
        (_is_multi_frame, "multi-frame images"),
        (_is_mosaic, "mosaic images (all slices tiled in one)"),
        (_is_colour, "colour images"),
    )
    for applies, name in checks:
        found = sum(applies(instance) for instance in instances)
        if found:
            share = _share(found, len(instances), "instance")
            raise NotConvertible(f"{name} are not supported yet ({share})")


def _is_multi_frame(instance: Instance) -> bool:
    return instance.frame_count > 1 or "PerFrameFunctionalGroupsSequence" in instance.header


def _is_mosaic(instance: Instance) -> bool:
    return "MOSAIC" in image_types(instance.header) or _UIH_FRAME_SEQUENCE in instance.header


def _is_colour(instance: Instance) -> bool:
    palette = text(instance.header, "PhotometricInterpretation") == "PALETTE COLOR"
    return palette or integer(instance.header, "SamplesPerPixel", 1) > 1


def require_one_volume(headers: Sequence[Dataset], planes: Sequence[Plane]) -> None:
    """Raise `NotConvertible` when the planes are those of several volumes.

    Two volumes show either as positions that repeat or as contrasts that differ. Positions that
    repeat within one contrast and unequally often are duplicates, which the planner reports.
    """
    contrast, instant = _differing(headers, _CONTRASTS), _differing(headers, _INSTANTS)
    if len(orientation_groups(planes)) > 1:
        return
    repeats = _position_counts(planes)
    if max(repeats) == 1:
        if contrast:
            raise NotConvertible(f"slices of one stack differ in {contrast[0]}")
        return
    names = (contrast or instant)[:2]
    by = f" (differing in {' and '.join(names)})" if names else ""
    if min(repeats) == max(repeats) and (names or len(repeats) > 1):
        count = f"{repeats[0]} volumes of {_slices(len(repeats))}"
        raise NotConvertible(f"several volumes in one series: {count}{by}")
    if contrast:
        raise NotConvertible(f"several volumes in one series, not all of one length{by}")


def _slices(count: int) -> str:
    return f"{count} slice{'s' if count != 1 else ''}"


def _position_counts(planes: Sequence[Plane]) -> list[int]:
    """How many planes lie at each position along the normal."""
    normal = planes[0].normal_lps
    distances = np.sort([normal @ plane.position_lps for plane in planes])
    new = np.flatnonzero(np.diff(distances) >= SAME_POSITION_MM) + 1
    return [len(group) for group in np.split(distances, new)]


def _marked(words: frozenset[str]) -> Callable[[Dataset], str]:
    return lambda header: "/".join(word for word in image_types(header) if word in words)


def _element(keyword: str) -> Callable[[Dataset], str]:
    return lambda header: text(header, keyword)


_CONTRASTS: tuple[tuple[str, Callable[[Dataset], str]], ...] = (
    ("EchoTime", _element("EchoTime")),
    ("b-value", lambda header: str(diffusion_b_value(header))),
    ("image component", _marked(_COMPONENTS)),
    ("Dixon type", _marked(_DIXON)),
    ("InversionTime", _element("InversionTime")),
    ("FlipAngle", _element("FlipAngle")),
)
_INSTANTS = tuple((keyword, _element(keyword)) for keyword in _TIMES)


def _differing(
    headers: Sequence[Dataset], keys: tuple[tuple[str, Callable[[Dataset], str]], ...]
) -> list[str]:
    return [name for name, key in keys if len({key(header) for header in headers}) > 1]
