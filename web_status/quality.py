"""Quality control as a person reads it: each reason, in how many images, and the numbers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

_NORMAL = "Normal"
_DECIDING: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType(
    {
        "Low dynamic range": (("dynamic_range", "dynamic range"),),
        "Low contrast": (("std", "standard deviation"), ("structure", "structure")),
        "Low complexity": (("unique_ratio", "share of distinct values"),),
        "Under-exposed": (("low_ratio", "share of dark pixels"),),
        "Over-exposed": (("high_ratio", "share of bright pixels"),),
        "Potential inverted border": (("border_level", "border"), ("centre_level", "centre")),
        "Segmentation mask": (("distinct_values", "distinct values"),),
    }
)
"""Reason to the measures that it was found by."""


@dataclass(frozen=True)
class QualityReason:
    """Why images are low: in how many of those that were judged, and between which numbers."""

    reason: str
    images: int
    judged: int
    numbers: str


def reasons_of(details: Mapping[str, Any]) -> tuple[QualityReason, ...]:
    """What the details of quality control say, the commonest reason first."""
    images = [image for image in details.get("images", ()) if isinstance(image, Mapping)]
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for image in images:
        for reason in str(image.get("reason", _NORMAL)).split("; "):
            found[reason].append(image.get("measured", {}))
    found.pop(_NORMAL, None)
    reasons = (
        QualityReason(reason, len(measured), len(images), _numbers(reason, measured))
        for reason, measured in found.items()
    )
    return tuple(sorted(reasons, key=lambda one: -one.images))


def _numbers(reason: str, measured: Sequence[Mapping[str, Any]]) -> str:
    told = []
    for name, words in _DECIDING.get(reason, ()):
        values = [float(one[name]) for one in measured if name in one]
        if values:
            told.append(f"{words} {_range(min(values), max(values))}")
    return ", ".join(told)


def _range(low: float, high: float) -> str:
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
