"""The preview processor: one PNG of the middle frame. For eyes only, never for measuring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from processor import options
from processor.errors import PixelDataError
from processor.frames import Frame, frames_of
from processor.headers import number, numbers, text
from processor.intensity import is_inverted, rescale_of
from processor.model import JobContext, StepResult
from processor.publish import output_of
from processor.regions import valid_pixels
from processor.source import SeriesSource

OPTIONS = (options.whole_number("size", None, 16, 8192),)
FILE_NAME = "preview.png"
_PERCENTILES = (1.0, 99.0)
_WINDOW_COVERS_AT_LEAST = 0.01
_PROJECTION = frozenset({"DX", "DR", "CR", "MG", "XA", "RF"})


@dataclass(frozen=True)
class Preview:
    """A PNG of the middle frame.

    Options: `size`, the longer side in pixels (default: the site's `preview_size`).
    """

    name: str = "preview"
    version: str = "1"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError` for a wrong option."""
        options.check(self.name, OPTIONS, given)

    def run(self, job: JobContext) -> StepResult:
        """Draw the middle frame, or say why there is nothing to draw."""
        size = options.value_of(OPTIONS, job.options, "size")
        longest = size if isinstance(size, int) else job.request.settings.preview_size
        chosen = middle_frame(job.source)
        if chosen is None:
            return StepResult("preview", "refused", "no preview because: no readable instance")
        try:
            picture = render(chosen.header, chosen.raw(), longest)
        except PixelDataError as reason:
            return StepResult("preview", "refused", f"no preview because: {reason}")
        path = job.folder / FILE_NAME
        picture.save(path, optimize=True)
        output = output_of(path, job.folder, "preview")
        details = {
            "width": picture.width,
            "height": picture.height,
            "instance": chosen.instance.uid,
        }
        return StepResult(
            "preview", "done", f"{picture.width} x {picture.height} pixels", details, (output,)
        )


def middle_frame(source: SeriesSource) -> Frame | None:
    """The frame in the middle: by position in one stack, else by InstanceNumber."""
    frames = frames_of(source.instances)
    planes = [frame.plane for frame in frames if frame.plane is not None]
    if len(planes) == len(frames) and planes:
        normal = planes[0].normal_lps
        order = np.argsort([normal @ plane.position_lps for plane in planes], kind="stable")
        frames = tuple(frames[index] for index in order)
    return frames[len(frames) // 2] if frames else None


def render(header: Dataset, frame: NDArray[Any], longest: int) -> Image.Image:
    """Draw one frame, at most `longest` pixels on its longer side, in the pixels' true aspect.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns) or (rows, columns, 3)
        Stored values.
    """
    if text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        frame = apply_color_lut(frame, header)
    shown = _colour(frame) if frame.ndim == 3 else _grey(header, frame)
    picture = Image.fromarray(shown)
    size = _size(header, picture.size, longest)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _colour(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """Colour as 8 bits a sample; 16-bit samples keep their high byte."""
    shift = 8 * (frame.dtype.itemsize - 1)
    return np.ascontiguousarray(np.right_shift(frame, shift)[:, :, :3], dtype=np.uint8)


def _grey(header: Dataset, frame: NDArray[Any]) -> NDArray[np.uint8]:
    rescale = rescale_of(header)
    image = np.nan_to_num(frame * rescale.slope + rescale.intercept)
    low, high = window_of(header, image, valid_pixels(header, frame))
    grey = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
    if is_inverted(header):
        grey = 1 - grey
    return np.rint(grey * 255).astype(np.uint8)


def window_of(
    header: Dataset, image: NDArray[Any], valid: NDArray[np.bool_]
) -> tuple[float, float]:
    """The values shown black and white: the header's window if it can be trusted, else p1 to p99.

    A window is not trusted when under 1 % of the pixels lie in it, or when the median of a
    projection image lies outside it.

    Parameters
    ----------
    image : ndarray
        Values after rescale, which the window refers to (PS3.3 C.11.2.1.2).
    valid : ndarray of bool
        Pixels that are neither padding nor behind a shutter.
    """
    pixels = image[valid] if valid.any() else image.ravel()
    centre, width = number(header, "WindowCenter"), number(header, "WindowWidth")
    if centre is not None and width is not None and width >= 1:
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
        covered = np.mean((pixels >= low) & (pixels <= high)) >= _WINDOW_COVERS_AT_LEAST
        outside = text(header, "Modality") in _PROJECTION and not low <= np.median(pixels) <= high
        if covered and not outside:
            return low, high
    low, high = (float(edge) for edge in np.percentile(pixels, _PERCENTILES))
    return (low, high) if high > low else (float(pixels.min()), float(pixels.max()))


def _size(header: Dataset, size: tuple[int, int], longest: int) -> tuple[int, int]:
    """The picture's size with square pixels: the finer spacing is kept, then fitted."""
    width, height = (float(side) for side in size)
    aspect = _row_to_column_spacing(header)
    if aspect >= 1:
        height *= aspect
    else:
        width /= aspect
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _row_to_column_spacing(header: Dataset) -> float:
    """How tall a pixel is for its width, 1 when nothing credible tells."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        found = numbers(header, keyword)
        if len(found) == 2 and min(found) > 0 and 0.05 < found[0] / found[1] < 20:
            return found[0] / found[1]
    return 1.0
