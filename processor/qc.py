"""Quality control of one image: thresholds, measurements and reasons. It never edits pixels.

All measurements are of stored integer values before rescale and windowing, without padding and
shutter; float pixel data are mapped to 0..4095 first. What is judged low is said with the fixed
reason strings; `Potential inverted border` is advisory and makes no image low.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from processor.headers import text
from processor.intensity import nominal_range, upright
from processor.measures import structure
from processor.regions import border_and_centre, collimated, foreground, valid_pixels
from processor.settings import QcThresholds

NORMAL = "Normal"
ADVISORY = frozenset({"Potential inverted border"})
_CROSS_SECTIONAL = frozenset({"CT", "MR", "PT"})
_PROJECTION = frozenset({"DX", "DR", "MG", "CR", "XA", "RF"})
NOISE_ALONE = 0.1
"""Neighbouring pixels that correlate less show no anatomy, whatever their standard deviation."""
_EDGE = 0.05
_MASK_VALUES = 8


@dataclass(frozen=True)
class ImageQuality:
    """The verdict on one image, the numbers behind it, and what is not measurable and why."""

    reasons: tuple[str, ...]
    measured: Mapping[str, float] = field(default_factory=dict)
    not_measurable: Mapping[str, str] = field(default_factory=dict)

    @property
    def low(self) -> bool:
        """Whether a reason other than an advisory one was found."""
        return any(reason not in ADVISORY for reason in self.reasons)

    @property
    def words(self) -> str:
        """The reasons joined by "; ", "Normal" when there is none."""
        return "; ".join(self.reasons) or NORMAL


def judge_image(header: Dataset, frame: NDArray[Any], thresholds: QcThresholds) -> ImageQuality:
    """Judge one image.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns) or (rows, columns, samples)
        Stored values; of colour the mean of the samples is judged.
    """
    image = _grey(frame)
    valid = valid_pixels(header, image)
    pixels = image[valid]
    if pixels.size == 0 or pixels.min() == pixels.max():
        return ImageQuality(("Blank image",))
    distinct = len(np.unique(pixels))
    if text(header, "Modality") == "SEG" or (distinct <= _MASK_VALUES and pixels.size >= 1024):
        return ImageQuality(("Segmentation mask",), {"distinct_values": distinct})
    measured = _spread(pixels, distinct, thresholds)
    measured["structure"] = structure(image, valid)
    modality = text(header, "Modality")
    if modality not in _CROSS_SECTIONAL | _PROJECTION or frame.ndim == 3:
        unmeasured = {"exposure": f"no exposure is defined for {modality or 'this modality'}"}
        return ImageQuality(_reasons(measured, thresholds), measured, unmeasured)
    measured |= _exposure(header, image, valid, thresholds)
    return ImageQuality(_reasons(measured, thresholds), measured)


def _grey(frame: NDArray[Any]) -> NDArray[Any]:
    """One stored value a pixel; floats are mapped to 0..4095."""
    grey = frame.mean(axis=2).astype(np.int32) if frame.ndim == 3 else frame
    if grey.dtype.kind != "f":
        return grey
    finite = np.nan_to_num(grey, posinf=0, neginf=0)
    low, span = finite.min(), np.ptp(finite)
    return np.asarray(np.rint((finite - low) * (4095 / span if span else 0)), dtype=np.int32)


def _spread(pixels: NDArray[Any], distinct: int, thresholds: QcThresholds) -> dict[str, float]:
    low, high = _ends(pixels, thresholds)
    return {
        "dynamic_range": high - low,
        "std": float(pixels.std(dtype=np.float64)),
        "unique_ratio": distinct / min(pixels.size, 4096),
    }


def _exposure(
    header: Dataset, image: NDArray[Any], valid: NDArray[np.bool_], thresholds: QcThresholds
) -> dict[str, float]:
    """Shares of the region of interest near the ends of the display range, and the border.

    What is bright in a cross-sectional image is measured against the body: where there is little
    bone, all soft tissue is near the upper end of a range that begins at air.
    """
    shown = upright(header, image)
    if text(header, "Modality") in _PROJECTION:
        low, high = (float(end) for end in nominal_range(header))
        inside, skipped = collimated(shown, high - low)
        region = inside & valid
        pixels = shown[region] if region.any() else shown[valid]
        bright = high - (high - low) * _EDGE
    else:
        low, high = _ends(shown[valid], thresholds)
        region, skipped = foreground(shown, valid), frozenset()
        inside = valid
        pixels = shown[region] if region.any() else shown[valid]
        darkest, brightest = _ends(pixels, thresholds)
        bright = brightest - (brightest - darkest) * _EDGE
    border, centre = border_and_centre(_cropped(shown, inside), skipped)
    span = max(high - low, 1.0)
    return {
        "low_ratio": float(np.mean(pixels <= low + (high - low) * _EDGE)),
        "high_ratio": float(np.mean(pixels >= bright)),
        "border_level": (border - low) / span,
        "centre_level": (centre - low) / span,
    }


def _ends(pixels: NDArray[Any], thresholds: QcThresholds) -> tuple[float, float]:
    """The percentiles between which a display shows pixels."""
    low, high = np.percentile(pixels, (thresholds.percentile_low, thresholds.percentile_high))
    return float(low), float(high)


def _cropped(image: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[Any]:
    """The smallest rectangle that holds the inside."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _reasons(measured: Mapping[str, float], thresholds: QcThresholds) -> tuple[str, ...]:
    border, centre = measured.get("border_level", 0.0), measured.get("centre_level", 0.0)
    inverted = border - centre > 0.2 and border > 0.6
    found = {
        "Low dynamic range": measured["dynamic_range"] < thresholds.dynamic_range_min,
        "Low contrast": measured["std"] < thresholds.std_min or measured["structure"] < NOISE_ALONE,
        "Low complexity": measured["unique_ratio"] < thresholds.unique_ratio_min,
        "Under-exposed": measured.get("low_ratio", 0.0) > thresholds.low_ratio_threshold,
        "Over-exposed": measured.get("high_ratio", 0.0) > thresholds.high_ratio_threshold,
        "Potential inverted border": inverted,
    }
    return tuple(reason for reason, applies in found.items() if applies)
