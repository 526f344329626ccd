"""Which values a picture shows black and white. For eyes only, never for measuring."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from processor.headers import number, text
from processor.regions import foreground

Window = tuple[float, float]

_PERCENTILES = (1.0, 99.0)
_MR_PERCENTILES = (1.0, 99.5)
_WINDOW_COVERS_AT_LEAST = 0.01
_MR_BLOWN_AT_MOST, _MR_USED_AT_LEAST = 0.1, 0.4
_PROJECTION = frozenset({"DX", "DR", "CR", "MG", "XA", "RF"})


def window_of(header: Dataset, image: NDArray[Any], valid: NDArray[np.bool_]) -> Window:
    """The values shown black and white: the header's window if it can be trusted, else percentiles.

    A window is not trusted when under 1 % of the pixels lie in it, when the median of a projection
    image lies outside it, or when it shows more than a tenth of an MR body white or leaves it in
    the dark. Percentiles are p1 to p99; of MR p1 of all to p99.5 of the body, so that a few bright
    pixels (vessels, spikes) do not darken the rest.

    Parameters
    ----------
    image : ndarray
        Values after rescale, which the window refers to (PS3.3 C.11.2.1.2).
    valid : ndarray of bool
        Pixels that are neither padding nor behind a shutter.
    """
    pixels = image[valid] if valid.any() else image.ravel()
    told = _told(header)
    if told is not None and _is_trusted(told, header, image, pixels, valid):
        return told
    return _from_pixels(header, image, pixels, valid)


def _told(header: Dataset) -> Window | None:
    """The linear window of PS3.3 C.11.2.1.2.1; None where there is none."""
    centre, width = number(header, "WindowCenter"), number(header, "WindowWidth")
    if centre is None or width is None or width < 1:
        return None
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _is_trusted(
    told: Window,
    header: Dataset,
    image: NDArray[Any],
    pixels: NDArray[Any],
    valid: NDArray[np.bool_],
) -> bool:
    low, high = told
    modality = text(header, "Modality")
    if np.mean((pixels >= low) & (pixels <= high)) < _WINDOW_COVERS_AT_LEAST:
        return False
    if modality in _PROJECTION:
        return bool(low <= np.median(pixels) <= high)
    if modality != "MR":
        return True
    body = _body(image, valid)
    top = float(np.percentile(body, _MR_PERCENTILES[1]))
    is_used = top - low >= _MR_USED_AT_LEAST * (high - low)
    return bool(np.mean(body > high) <= _MR_BLOWN_AT_MOST and is_used)


def _from_pixels(
    header: Dataset, image: NDArray[Any], pixels: NDArray[Any], valid: NDArray[np.bool_]
) -> Window:
    if text(header, "Modality") == "MR":
        low = float(np.percentile(pixels, _MR_PERCENTILES[0]))
        high = float(np.percentile(_body(image, valid), _MR_PERCENTILES[1]))
    else:
        low, high = (float(edge) for edge in np.percentile(pixels, _PERCENTILES))
    return (low, high) if high > low else (float(pixels.min()), float(pixels.max()))


def _body(image: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """The pixels of the body, all where nothing stands out."""
    if not valid.any() or np.ptp(image[valid]) == 0:
        return image.ravel()
    body = image[foreground(image, valid)]
    return body if body.size else image[valid]
