"""Draws arrays as pictures: windowed, in true aspect, with letters at the edges, in grids."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from processor.headers import numbers, text
from processor.intensity import is_inverted, rescale_of
from processor.regions import valid_pixels
from processor.windowing import Window, window_of

Side = Literal["left", "right", "top", "bottom"]

_INK, _SHADOW = 235, 0
_GAP = 4
_LARGEST_ENLARGEMENT = 4.0


def real_values(header: Dataset, stored: NDArray[Any]) -> NDArray[Any]:
    """Stored values after rescale, without what is no number."""
    rescale = rescale_of(header)
    return np.nan_to_num(stored * rescale.slope + rescale.intercept)


def window_for(header: Dataset, stored: NDArray[Any]) -> Window:
    """The window of an image of stored values."""
    return window_of(header, real_values(header, stored), valid_pixels(header, stored))


def as_grey(header: Dataset, values: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Real values as 8 bits; MONOCHROME1 is shown with low values white."""
    low, high = window
    grey = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    if is_inverted(header):
        grey = 1 - grey
    return np.rint(grey * 255).astype(np.uint8)


def as_colour(header: Dataset, stored: NDArray[Any]) -> NDArray[np.uint8]:
    """Colour as 8 bits a sample; 16-bit samples and palettes keep their high byte."""
    colour = stored
    if text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        colour = apply_color_lut(stored, header)
    shift = 8 * (colour.dtype.itemsize - 1)
    return np.ascontiguousarray(np.right_shift(colour, shift)[:, :, :3], dtype=np.uint8)


def image_of(
    header: Dataset, stored: NDArray[Any], window: Window | None = None
) -> NDArray[np.uint8]:
    """A frame as 8 bits: colour as it is, everything else in a window, by default its own."""
    is_palette = text(header, "PhotometricInterpretation") == "PALETTE COLOR"
    if stored.ndim == 3 or is_palette:
        return as_colour(header, stored)
    return as_grey(header, real_values(header, stored), window or window_for(header, stored))


def aspect_of(header: Dataset) -> float:
    """How tall a pixel is for its width, 1 when nothing credible tells."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        found = numbers(header, keyword)
        if len(found) == 2 and min(found) > 0 and 0.05 < found[0] / found[1] < 20:
            return found[0] / found[1]
    return 1.0


def fitted(image: NDArray[np.uint8], aspect: float, width: int, height: int) -> Image.Image:
    """Draw an image with square pixels inside `width` x `height`, enlarged at most four times."""
    picture = Image.fromarray(image)
    wide, tall = float(picture.width), picture.height * aspect
    if aspect < 1:
        wide, tall = picture.width / aspect, float(picture.height)
    scale = min(width / wide, height / tall, _LARGEST_ENLARGEMENT)
    size = max(1, round(wide * scale)), max(1, round(tall * scale))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def lettered(picture: Image.Image, letters: Mapping[Side, str], caption: str = "") -> Image.Image:
    """Write letters in the middle of the edges, and a caption in the corner; in place."""
    size = max(10, min(picture.size) // 22)
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(picture)
    middle, edge = (picture.width / 2, picture.height / 2), size * 0.3
    places: Mapping[Side, tuple[float, float, str]] = {
        "left": (edge, middle[1], "lm"),
        "right": (picture.width - edge, middle[1], "rm"),
        "top": (middle[0], edge, "ma"),
        "bottom": (middle[0], picture.height - edge, "md"),
    }
    texts = [(*places[side], letter) for side, letter in letters.items()]
    texts += [(edge, edge, "la", caption)] if caption else []
    ink, shadow = _inks(picture)
    for x, y, anchor, words in texts:
        draw.text(
            (x, y), words, ink, font, anchor, stroke_width=max(1, size // 8), stroke_fill=shadow
        )
    return picture


def _inks(picture: Image.Image) -> tuple[Any, Any]:
    if picture.mode == "RGB":
        return (_INK,) * 3, (_SHADOW,) * 3
    return _INK, _SHADOW


def side_by_side(panels: Sequence[Image.Image], columns: int) -> Image.Image:
    """Panels in a grid on black, each in the middle of its cell."""
    mode = "RGB" if any(panel.mode == "RGB" for panel in panels) else "L"
    wide, tall = max(panel.width for panel in panels), max(panel.height for panel in panels)
    rows = -(-len(panels) // columns)
    size = columns * wide + (columns - 1) * _GAP, rows * tall + (rows - 1) * _GAP
    sheet = Image.new(mode, size)
    for number, panel in enumerate(panels):
        x = (number % columns) * (wide + _GAP) + (wide - panel.width) // 2
        y = (number // columns) * (tall + _GAP) + (tall - panel.height) // 2
        sheet.paste(panel.convert(mode), (x, y))
    return sheet


def beside(large: Image.Image, small: Sequence[Image.Image]) -> Image.Image:
    """A large panel, and smaller ones below one another at its right."""
    width = max(panel.width for panel in small)
    tall = sum(panel.height for panel in small) + _GAP * (len(small) - 1)
    height = max(large.height, tall)
    sheet = Image.new("L", (large.width + _GAP + width, height))
    sheet.paste(large, (0, (height - large.height) // 2))
    y = (height - tall) // 2
    for panel in small:
        sheet.paste(panel, (large.width + _GAP + (width - panel.width) // 2, y))
        y += panel.height + _GAP
    return sheet
