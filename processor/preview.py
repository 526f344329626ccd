"""The preview processor: one PNG of a series. For eyes only, never for measuring.

A volume is shown in its three planes, a 4D series as a sheet of its volumes, slices in several
orientations one of each, radiographs as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from processor import options
from processor.diffusion import b_value_of
from processor.errors import NotConvertible, PixelDataError
from processor.frames import Frame, frames_of
from processor.headers import values
from processor.model import JobContext, StepResult
from processor.picture import (
    Side,
    as_grey,
    aspect_of,
    beside,
    fitted,
    image_of,
    lettered,
    side_by_side,
    window_for,
)
from processor.plan import Stack, plan
from processor.planes import Slice, across, frame_slice
from processor.publish import output_of
from processor.source import SeriesSource
from processor.windowing import Window

OPTIONS = (options.whole_number("size", None, 16, 8192),)
FILE_NAME = "preview.png"
MOST_PANELS = 16
_VOLUME_FROM = 4
_OPPOSITE: Mapping[str, str] = {"R": "L", "L": "R", "A": "P", "P": "A", "H": "F", "F": "H"}


@dataclass(frozen=True)
class Drawn:
    """A picture, what it shows, and the instances that are in it."""

    picture: Image.Image
    shows: str
    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class Preview:
    """A PNG of the series.

    Options: `size`, the longer side in pixels (default: the site's `preview_size`).
    """

    name: str = "preview"
    version: str = "3"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError` for a wrong option."""
        options.check(self.name, OPTIONS, given)

    def run(self, job: JobContext) -> StepResult:
        """Draw the series, or say why there is nothing to draw."""
        size = options.value_of(OPTIONS, job.options, "size")
        longest = size if isinstance(size, int) else job.request.settings.preview_size
        try:
            drawn = draw(job.source, longest)
        except PixelDataError as reason:
            return StepResult("preview", "refused", f"no preview because: {reason}")
        if drawn is None:
            return StepResult("preview", "refused", "no preview because: no readable instance")
        path = job.folder / FILE_NAME
        drawn.picture.save(path, optimize=True)
        width, height = drawn.picture.size
        details = {
            "width": width,
            "height": height,
            "shows": drawn.shows,
            "instance": drawn.frames[0].instance.uid,
        }
        summary = f"{drawn.shows}, {width} x {height} pixels"
        return StepResult(
            "preview", "done", summary, details, (output_of(path, job.folder, "preview"),)
        )


def draw(source: SeriesSource, longest: int) -> Drawn | None:
    """Draw a series, at most `longest` pixels on its longer side; None where it has no frame.

    Raises
    ------
    PixelDataError
        What would be drawn cannot be decoded.
    """
    frames = frames_of(source.instances)
    if not frames:
        return None
    try:
        stacks = plan(source)
    except NotConvertible:
        return _one(frames[len(frames) // 2], longest)
    placed = [stack for stack in stacks if stack.plan is not None]
    if not placed:
        return _images([stack.first for stack in stacks], stacks, longest)
    orientations = _one_of_each(placed)
    if len(orientations) > 1:
        middles = [_middle(stack.frames[len(stack.frames) // 2]) for stack in orientations]
        return _sheet(middles, [stack.label for stack in orientations], longest)
    return _stack(max(placed, key=_count), longest)


def _stack(stack: Stack, longest: int) -> Drawn:
    if len(stack.frames) > 1:
        return _volumes(stack, longest)
    volume = stack.frames[0]
    if len(volume) < _VOLUME_FROM or stack.first.is_colour:
        return _one(_middle(volume), longest)
    return _planes(stack, volume, longest)


def _one_of_each(stacks: Sequence[Stack]) -> list[Stack]:
    """The largest stack of each orientation: a localizer has three."""
    found: dict[int, Stack] = {}
    for stack in stacks:
        plane = stack.first.plane
        if plane is not None:
            axis = int(np.argmax(np.abs(plane.normal_lps)))
            known = found.get(axis)
            if known is None or _count(stack) > _count(known):
                found[axis] = stack
    return [found[axis] for axis in sorted(found, reverse=True)]


def _count(stack: Stack) -> int:
    return sum(1 for _ in stack.present)


def _middle(volume: Sequence[Frame | None]) -> Frame:
    """The frame nearest to the middle of a volume."""
    there = [k for k, frame in enumerate(volume) if frame is not None]
    nearest = min(there, key=lambda k: abs(k - len(volume) // 2))
    frame = volume[nearest]
    assert frame is not None  # noqa: S101 - only those that are there were asked for
    return frame


def _panel(frame: Frame, window: Window | None, size: int, caption: str = "") -> Image.Image:
    """One frame, hung where it has a place in the patient."""
    image = image_of(frame.header, frame.raw(), window)
    if frame.plane is None:
        picture = fitted(image, aspect_of(frame.header), size, size)
        return lettered(picture, _told_letters(frame.header), caption)
    found = frame_slice(frame, image)
    picture = fitted(np.ascontiguousarray(found.values), found.aspect, size, size)
    return lettered(picture, found.letters, caption)


def _told_letters(header: Dataset) -> Mapping[Side, str]:
    """The letters of PatientOrientation (PS3.3 C.7.6.1.1.1): along a row, and down a column."""
    told = [str(value) for value in values(header, "PatientOrientation")]
    if len(told) != 2 or not all(word and set(word) <= _OPPOSITE.keys() for word in told):
        return {}
    right, down = told
    left, top = ("".join(_OPPOSITE[letter] for letter in word) for word in told)
    return {"left": left, "right": right, "top": top, "bottom": down}


def _one(frame: Frame, longest: int) -> Drawn:
    return Drawn(_panel(frame, None, longest), "one image", (frame,))


def _images(firsts: Sequence[Frame], stacks: Sequence[Stack], longest: int) -> Drawn:
    """Images without a place: one as it is, several in a sheet; a cine by its frames."""
    if len(stacks) > 1:
        return _sheet(firsts, [stack.label for stack in stacks], longest)
    frames = [frame for _, frame in stacks[0].present]
    if len(frames) == 1:
        return _one(frames[0], longest)
    return _sheet(frames, [str(number) for number in range(1, len(frames) + 1)], longest)


def _sheet(frames: Sequence[Frame], captions: Sequence[str], longest: int) -> Drawn:
    """Up to sixteen frames, evenly chosen, each in a window of its own; without the unreadable."""
    chosen = _decodable(frames, _chosen(len(frames)))
    shown = [frames[at] for at in chosen]
    columns = int(np.ceil(np.sqrt(len(shown))))
    size = longest // columns
    panels = [_panel(frames[at], None, size, captions[at]) for at in chosen]
    kind = f"{len(shown)} of {len(frames)} images" if len(shown) < len(frames) else "all images"
    return Drawn(_within(side_by_side(panels, columns), longest), kind, tuple(shown))


def _decodable(frames: Sequence[Frame], chosen: Sequence[int]) -> list[int]:
    """Those whose pixels can be had; the first one's error where there is none."""
    found = []
    faults = []
    for at in chosen:
        try:
            frames[at].raw()
            found.append(at)
        except PixelDataError as fault:
            faults.append(fault)
    if not found:
        raise faults[0]
    return found


def _volumes(stack: Stack, longest: int) -> Drawn:
    """The middle slice of up to sixteen volumes, in one window unless they are of diffusion."""
    chosen = _chosen(len(stack.frames))
    shown = [_middle(stack.frames[t]) for t in chosen]
    columns = int(np.ceil(np.sqrt(len(shown))))
    middle = shown[len(shown) // 2]
    is_diffusion = len({b_value_of(frame.header) for frame in shown}) > 1
    is_alike = not (is_diffusion or middle.is_colour)
    window = window_for(middle.header, middle.raw()) if is_alike else None
    pairs = zip(chosen, shown, strict=True)
    panels = [_panel(frame, window, longest // columns, str(t + 1)) for t, frame in pairs]
    kind = f"{len(shown)} of {len(stack.frames)} volumes"
    return Drawn(_within(side_by_side(panels, columns), longest), kind, tuple(shown))


def _chosen(count: int) -> list[int]:
    """Up to sixteen of `count`, evenly, the first and the last among them."""
    if count <= MOST_PANELS:
        return list(range(count))
    return [round(float(at)) for at in np.linspace(0, count - 1, MOST_PANELS)]


def _planes(stack: Stack, volume: Sequence[Frame | None], longest: int) -> Drawn:
    """The acquired plane large, the two across it at its right; all in one window."""
    middle = _middle(volume)
    window = window_for(middle.header, middle.raw())
    large = _panel(middle, window, longest * 2 // 3)
    height = (max(large.height, longest // 3) - 4) // 2
    small = [_across(one, middle, window, longest // 3, height) for one in across(stack, volume)]
    picture = _within(beside(large, small), longest)
    return Drawn(picture, "three planes", (middle,))


def _across(found: Slice, middle: Frame, window: Window, width: int, height: int) -> Image.Image:
    image = as_grey(middle.header, np.ascontiguousarray(found.values), window)
    return lettered(fitted(image, found.aspect, width, height), found.letters)


def _within(picture: Image.Image, longest: int) -> Image.Image:
    """A picture that gaps have not made larger than asked for."""
    scale = longest / max(picture.size)
    if scale >= 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)
