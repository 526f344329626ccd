"""Which pixels of an image count: without padding and shutter, in the body, in the collimation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from processor.headers import integer, numbers, values
from processor.intensity import padding_mask

Mask = NDArray[np.bool_]

_BINS = 256
_UNIFORM = 0.05
_PEEL_AT_MOST = 0.4


def valid_pixels(header: Dataset, image: NDArray[Any]) -> Mask:
    """Pixels that are neither padding nor behind a display shutter (PS3.3 C.7.6.11)."""
    return np.asarray(~padding_mask(header, image) & shutter_opening(header, image.shape))


def shutter_opening(header: Dataset, shape: tuple[int, ...]) -> Mask:
    """The opening of the display shutter; DICOM counts rows and columns from 1."""
    opening = np.ones(shape, dtype=np.bool_)
    shapes = {str(item).strip() for item in values(header, "ShutterShape")}
    row, column = np.ogrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    if "RECTANGULAR" in shapes:
        opening &= column > integer(header, "ShutterLeftVerticalEdge", 0)
        opening &= column < integer(header, "ShutterRightVerticalEdge", shape[1] + 1)
        opening &= row > integer(header, "ShutterUpperHorizontalEdge", 0)
        opening &= row < integer(header, "ShutterLowerHorizontalEdge", shape[0] + 1)
    centre, radius = (
        numbers(header, "CenterOfCircularShutter"),
        integer(header, "RadiusOfCircularShutter"),
    )
    if "CIRCULAR" in shapes and len(centre) == 2 and radius > 0:
        opening &= (row - centre[0]) ** 2 + (column - centre[1]) ** 2 <= radius**2
    corners = numbers(header, "VerticesOfThePolygonalShutter")
    if "POLYGONAL" in shapes and len(corners) >= 6:
        opening &= _polygon(corners, shape)
    return opening


def _polygon(corners: tuple[float, ...], shape: tuple[int, ...]) -> Mask:
    canvas = Image.new("1", (shape[1], shape[0]))
    points = [(corners[at + 1] - 1, corners[at] - 1) for at in range(0, len(corners) - 1, 2)]
    ImageDraw.Draw(canvas).polygon(points, fill=1)
    return np.asarray(canvas, dtype=np.bool_)


def otsu_threshold(pixels: NDArray[Any]) -> float:
    """The threshold that separates two classes best (Otsu 1979), in the pixels' unit.

    >>> 10 < otsu_threshold(np.array([10] * 50 + [90] * 50)) < 90
    True
    """
    counts, edges = np.histogram(pixels, bins=_BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_below, mean_above = sums / below, (sums[-1] - sums) / above
        between = below * above * (mean_below - mean_above) ** 2
    return float(edges[1 + int(np.nanargmax(between))])


def foreground(image: NDArray[Any], valid: Mask) -> Mask:
    """The body of a cross-sectional image: above half of Otsu's threshold, from the minimum up."""
    pixels = image[valid]
    low = float(pixels.min())
    return np.asarray(valid & (image > low + (otsu_threshold(pixels) - low) / 2))


def collimated(image: NDArray[Any], span: float) -> tuple[Mask, frozenset[str]]:
    """The part of a radiograph inside its collimation, and the sides that are collimated.

    Rows and columns are peeled from the edges while they are uniform (p95 - p5 below 5 % of the
    range); if that would take more than 40 % from a side, the side is taken as not collimated.
    """
    rows = _peeled(np.ptp(np.percentile(image, (5, 95), axis=1), axis=0) < _UNIFORM * span)
    columns = _peeled(np.ptp(np.percentile(image, (5, 95), axis=0), axis=0) < _UNIFORM * span)
    inside = np.zeros(image.shape, dtype=np.bool_)
    inside[rows[0] : image.shape[0] - rows[1], columns[0] : image.shape[1] - columns[1]] = True
    peeled = zip(("top", "bottom", "left", "right"), (*rows, *columns), strict=True)
    return inside, frozenset(side for side, count in peeled if count)


def _peeled(uniform: Mask) -> tuple[int, int]:
    """How many lines are uniform from either end."""
    limit = int(len(uniform) * _PEEL_AT_MOST)
    ends = []
    for line in (uniform, uniform[::-1]):
        count = int(np.argmin(line)) if not line.all() else len(line)
        ends.append(count if count <= limit else 0)
    return ends[0], ends[1]


def border_and_centre(image: NDArray[Any], skipped: frozenset[str]) -> tuple[float, float]:
    """The median of the border ring (a twentieth of each side) and of the central half."""
    height, width = image.shape
    y, x = max(1, height // 20), max(1, width // 20)
    sides = {
        "top": image[:y],
        "bottom": image[-y:],
        "left": image[:, :x],
        "right": image[:, -x:],
    }
    centre = float(
        np.median(image[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None])
    )
    ring = [part.ravel() for side, part in sides.items() if side not in skipped]
    return (float(np.median(np.concatenate(ring))) if ring else centre), centre
