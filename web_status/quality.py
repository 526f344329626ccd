"""Quality control as a person reads it: each reason, in how many images, and the numbers."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from web_status.languages import msgid

_NORMAL = "Normal"
_DECIDING: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType(
    {
        "Low dynamic range": (("dynamic_range", msgid("dynamic range")),),
        "Low contrast": (("std", msgid("standard deviation")), ("structure", msgid("structure"))),
        "Low complexity": (("unique_ratio", msgid("share of distinct values")),),
        "Under-exposed": (("low_ratio", msgid("share of dark pixels")),),
        "Over-exposed": (("high_ratio", msgid("share of bright pixels")),),
        "Potential inverted border": (
            ("border_level", msgid("border")),
            ("centre_level", msgid("centre")),
        ),
        "Segmentation mask": (("distinct_values", msgid("distinct values")),),
    }
)
"""Reason to the measures that it was found by."""


@dataclass(frozen=True)
class QualityReason:
    """Why images are low: in how many of those that were judged, and by which measures.

    Each of `measures` is its name, with the lowest and the highest number.
    """

    reason: str
    images: int
    judged: int
    measures: tuple[tuple[str, str, str], ...] = ()


def reasons_of(details: Mapping[str, Any]) -> tuple[QualityReason, ...]:
    """What the details of quality control say, the commonest reason first."""
    images = [image for image in details.get("images", ()) if isinstance(image, Mapping)]
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for image in images:
        for reason in str(image.get("reason", _NORMAL)).split("; "):
            found[reason].append(image.get("measured", {}))
    found.pop(_NORMAL, None)
    reasons = (
        QualityReason(reason, len(measured), len(images), tuple(_measures(reason, measured)))
        for reason, measured in found.items()
    )
    return tuple(sorted(reasons, key=lambda one: -one.images))


def _measures(reason: str, measured: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for name, words in _DECIDING.get(reason, ()):
        values = [float(one[name]) for one in measured if name in one]
        if values:
            yield words, f"{min(values):.3g}", f"{max(values):.3g}"
