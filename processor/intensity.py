"""What stored values mean: rescale, MONOCHROME1, padding. It never windows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from processor.headers import integer, number, text

_QUANTITATIVE_MODALITIES = frozenset({"CT", "PT"})


@dataclass(frozen=True, slots=True)
class Rescale:
    """The linear modality transformation (PS3.3 C.11.1): value = slope * stored + intercept."""

    slope: float = 1.0
    intercept: float = 0.0


def rescale_of(header: Dataset) -> Rescale:
    """The rescale of a header; a missing or zero slope means 1."""
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    return Rescale(slope or 1.0, intercept or 0.0)


def nominal_range(header: Dataset) -> tuple[int, int]:
    """The lowest and highest value that BitsStored and PixelRepresentation allow.

    >>> header = Dataset()
    >>> header.BitsStored, header.PixelRepresentation = 12, 1
    >>> nominal_range(header)
    (-2048, 2047)
    """
    bits = integer(header, "BitsStored", 0) or integer(header, "BitsAllocated", 8)
    if integer(header, "PixelRepresentation") == 1:
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1


def is_inverted(header: Dataset) -> bool:
    """Whether stored values are shown with low values white (MONOCHROME1)."""
    return text(header, "PhotometricInterpretation") == "MONOCHROME1"


def is_quantitative(header: Dataset) -> bool:
    """Whether values carry a physical unit (HU, activity), so that inverting would falsify."""
    in_hu = text(header, "RescaleType") == "HU"
    return in_hu or text(header, "Modality") in _QUANTITATIVE_MODALITIES


def padding_mask(header: Dataset, frame: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pixels are padding (PS3.3 C.7.5.1.1.2), in the shape of the frame."""
    low, high = number(header, "PixelPaddingValue"), number(header, "PixelPaddingRangeLimit")
    if low is None:
        return np.zeros(frame.shape, dtype=np.bool_)
    high = low if high is None else high
    return np.asarray((frame >= min(low, high)) & (frame <= max(low, high)))


def upright(header: Dataset, frame: NDArray[Any]) -> NDArray[Any]:
    """Stored values with bright meaning high, in the frame's shape and dtype.

    MONOCHROME1 is inverted over the nominal range, not the image's own, so that the images of a
    series agree; padding becomes the lowest value (background). Quantitative values and floats
    are returned unchanged, as is everything that is not MONOCHROME1.
    """
    if not is_inverted(header) or is_quantitative(header) or frame.dtype.kind not in "iu":
        return frame
    low, high = nominal_range(header)
    turned = np.clip(low + high - frame.astype(np.int64), low, high)
    turned[padding_mask(header, frame)] = low
    return turned.astype(frame.dtype)
