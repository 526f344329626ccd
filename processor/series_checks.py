"""Checks of a whole series that headers give for nearly nothing. It reads no pixels."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from processor.frames import frames_of
from processor.geometry import (
    SAME_POSITION_MM,
    Plane,
    missing_slices,
    obliquity_degrees,
    orientation_groups,
)
from processor.headers import integer, number, numbers, text
from processor.source import SeriesSource

_TELLING = (
    *("ImagePositionPatient", "ImageOrientationPatient", "ImageType", "AcquisitionNumber"),
    *("AcquisitionTime", "ContentTime", "TemporalPositionIdentifier", "TriggerTime", "EchoTime"),
    *("EchoNumbers", "InversionTime", "FlipAngle", "DiffusionBValue", "SequenceName"),
    *("DiffusionGradientOrientation", "ComplexImageComponent", "FrameReferenceTime"),
    "RescaleType",
)
"""What two images of one place differ in where they are not the same image twice."""
_AXES = ("SAG", "COR", "AX")
_OBLIQUE_BELOW = 0.9


def check_headers(source: SeriesSource, facts: Mapping[str, object]) -> dict[str, object]:
    """What the headers of a series tell about its completeness and regularity.

    Returns
    -------
    dict
        Counts and lists; geometry keys only where frames have a place in the patient.
    """
    headers = [instance.header for instance in source.instances]
    sizes = {(integer(header, "Columns"), integer(header, "Rows")) for header in headers}
    found: dict[str, object] = {
        "instances": len(headers),
        "instances_expected": facts.get("instances_expected"),
        "unreadable_files": len(source.findings),
        "missing_instance_numbers": missing_numbers(headers),
        "matrices": sorted(f"{columns}x{rows}" for columns, rows in sizes),
        "transfer_syntaxes": sorted({item.transfer_syntax for item in source.instances}),
        "lossy_ratio": _lossy_ratio(headers),
        "repeated_images": _repeated(headers),
    }
    planes = [frame.plane for frame in frames_of(source.instances) if frame.plane is not None]
    return found | (_positions(planes) if planes else {})


def missing_numbers(headers: Sequence[Dataset]) -> int:
    """Holes between the lowest and the highest InstanceNumber."""
    present = {integer(header, "InstanceNumber", -1) for header in headers} - {-1}
    return max(present) - min(present) + 1 - len(present) if present else 0


def _repeated(headers: Sequence[Dataset]) -> int:
    """Images of one frame that have the place and everything that tells volumes apart in common.

    Where every place has as many, they are volumes whose headers do not tell them apart.
    """
    places = [numbers(header, "ImagePositionPatient") for header in headers]
    at_place = Counter(places)
    seen: Counter[tuple[object, ...]] = Counter()
    for header, place in zip(headers, places, strict=True):
        if integer(header, "NumberOfFrames", 1) > 1:
            continue
        if place and at_place[place] == 1:
            seen[place] += 1
        elif text(header, "ImagePositionPatient"):
            seen[tuple(text(header, keyword) for keyword in _TELLING)] += 1
    return sum(seen.values()) - len(seen) if len(set(seen.values())) > 1 else 0


def _lossy_ratio(headers: Sequence[Dataset]) -> float | None:
    """The highest lossy compression ratio, None when nothing says it was lossy."""
    lossy = [header for header in headers if text(header, "LossyImageCompression") == "01"]
    ratios = [number(header, "LossyImageCompressionRatio") or 1.0 for header in lossy]
    return max(ratios, default=None)


def _positions(planes: Sequence[Plane]) -> dict[str, object]:
    groups = orientation_groups(planes)
    stacks = [_gaps([planes[index] for index in group]) for group in groups]
    spacings = np.concatenate([gaps[gaps >= SAME_POSITION_MM] for gaps in stacks])
    return {
        "orientations": len(groups),
        "standard_orientation": standard_orientation(planes[0].normal_lps),
        "obliquity_degrees": round(obliquity_degrees(planes[0].normal_lps), 3),
        "duplicate_positions": int(sum((gaps < SAME_POSITION_MM).sum() for gaps in stacks)),
        "missing_positions": sum(_missing(gaps) for gaps in stacks),
        "spacing_range_mm": [round(float(edge), 4) for edge in _ends(spacings)],
    }


def standard_orientation(normal_lps: NDArray[np.float64]) -> str:
    """SAG, COR or AX by the largest component of the normal; OBL where none stands out.

    One stands out when its square is at least 0.9 of the sum of squares.
    """
    squares = np.square(normal_lps)
    axis = int(np.argmax(squares))
    return "OBL" if squares[axis] < _OBLIQUE_BELOW * squares.sum() else _AXES[axis]


def _gaps(planes: Sequence[Plane]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    normal = planes[0].normal_lps
    return np.diff(np.sort([float(normal @ plane.position_lps) for plane in planes]))


def _missing(gaps: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    distinct = gaps[gaps >= SAME_POSITION_MM]
    return int(missing_slices(distinct).sum()) if len(distinct) else 0


def _ends(spacings: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, ...]:
    return (spacings.min(), spacings.max()) if len(spacings) else ()
