"""The frames of a series: every stored image with its own header, values and place.

A frame is an image of its own, whatever it came in: an instance, one frame of a multi-frame
object (PS3.3 C.7.6.16 functional groups are resolved), or one tile of a mosaic. Values are decoded
once, by `Instance.frame`; frames are views of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from processor.errors import NotConvertible, PixelDataError
from processor.geometry import Array, Plane, frame_matrix_lps, plane_of
from processor.headers import element_value, integer, is_projection, text
from processor.intensity import Rescale, is_inverted, rescale_of, upright
from processor.mosaic import Tile, is_mosaic, tiles_of
from processor.source import Instance

_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One image of a series.

    Attributes
    ----------
    index : int
        The frame within its instance, from 0.
    header : Dataset
        What is true of this frame; of an enhanced object with its functional groups resolved.
    plane : Plane or None
        Where it lies; None when the patient frame is not told or means nothing (a projection).
    tile : Tile or None
        Which part of its instance's image it is.
    part : int
        Its place among the frames of its instance, tiles included.
    fault : str
        Why it cannot be told apart or placed, where that is the header's fault.
    is_colour : bool
        Whether it has several samples a pixel when shown.
    """

    instance: Instance
    index: int
    header: Dataset
    plane: Plane | None
    tile: Tile | None = None
    part: int = 0
    fault: str = ""
    is_colour: bool = field(init=False)
    _is_stored_upright: bool = field(init=False)
    """Whether stored values are published as they are."""

    def __post_init__(self) -> None:
        is_colour = is_palette(self.header) or integer(self.header, "SamplesPerPixel", 1) > 1
        object.__setattr__(self, "is_colour", is_colour)
        object.__setattr__(self, "_is_stored_upright", not (is_colour or is_inverted(self.header)))

    @property
    def name(self) -> str:
        """What reports call it: the UID, with the frame where there are several."""
        several = self.instance.frame_count > 1 or self.tile is not None
        return f"{self.instance.uid} frame {self.part + 1}" if several else self.instance.uid

    @property
    def rescale(self) -> Rescale:
        """The linear transformation from stored to real values."""
        return rescale_of(self.header)

    @property
    def matrix_lps(self) -> Array | None:
        """(column, row, 0, 1) to millimetres in LPS, shape (4, 4); None without a plane."""
        return None if self.plane is None else frame_matrix_lps(self.plane)

    def raw(self) -> NDArray[Any]:
        """The stored values, shape (rows, columns) or (rows, columns, samples).

        Raises
        ------
        PixelDataError
            The instance has no pixels, or they cannot be decoded.
        """
        image = self.instance.frame(self.index)
        if self.tile is None:
            return image
        plane, row, column = self.tile.plane, self.tile.row, self.tile.column
        return image[row : row + plane.rows, column : column + plane.columns]

    def stored(self) -> NDArray[Any]:
        """The values as they are published, before rescale: MONOCHROME1 upright, colour as RGB.

        Returns
        -------
        ndarray, shape (rows, columns) or (rows, columns, 3)
            Colour has 8 bits a sample; entries of a 16-bit palette keep their high byte.

        Raises
        ------
        PixelDataError
            As `raw`; also for colour of more than 8 bits, which no format here can hold.
        """
        image = self.raw()
        if self._is_stored_upright:
            return image
        if is_palette(self.header):
            return _from_palette(self.instance, self.header, image)
        if image.ndim == 3 and image.dtype.itemsize > 1:
            bits = image.dtype.itemsize * 8
            raise PixelDataError(f"colour of {bits} bits a sample in instance {self.instance.uid}")
        return image[:, :, :3] if image.ndim == 3 else upright(self.header, image)


def is_palette(header: Dataset) -> bool:
    """Whether stored values are numbers of a colour table."""
    return text(header, "PhotometricInterpretation") == "PALETTE COLOR"


def _from_palette(instance: Instance, header: Dataset, image: NDArray[Any]) -> NDArray[Any]:
    try:
        colour = apply_color_lut(image, header)
    except (ValueError, AttributeError, IndexError, TypeError) as error:
        name = type(error).__name__
        raise PixelDataError(f"the palette of instance {instance.uid} is wrong ({name})") from None
    shift = 8 * (colour.dtype.itemsize - 1)
    return np.asarray(np.right_shift(colour, shift)[:, :, :3], dtype=np.uint8)


def frames_of(instances: Sequence[Instance]) -> tuple[Frame, ...]:
    """Every frame of a series, in the order of its instances; `fault` says what is wrong."""
    return tuple(frame for instance in instances for frame in instance.once(_frames))


def _frames(instance: Instance) -> tuple[Frame, ...]:
    return tuple(_each(instance))


def _each(instance: Instance) -> Iterator[Frame]:
    header = instance.header
    if instance.frame_count == 1 and is_mosaic(header):
        yield from _tiles(instance)
    elif element_value(header, _PER_FRAME):
        yield from _grouped(instance)
    else:
        # Positions of a plain multi-frame object would be those of its first frame.
        plane = _plane(header) if instance.frame_count == 1 else None
        for index in range(instance.frame_count):
            yield Frame(instance, index, header, plane, part=index)


def _tiles(instance: Instance) -> Iterator[Frame]:
    header = instance.header
    try:
        tiles = tiles_of(header)
    except NotConvertible as fault:
        yield Frame(instance, 0, header, None, fault=str(fault))
        return
    for part, tile in enumerate(tiles):
        yield Frame(instance, 0, header, tile.plane, tile, part)


def _grouped(instance: Instance) -> Iterator[Frame]:
    headers = frame_headers(instance.header)
    count = instance.frame_count
    told = "" if len(headers) == count else f"{count} frames, but {len(headers)} are described"
    for index in range(count):
        own = headers[index] if index < len(headers) else instance.header
        yield Frame(instance, index, own, _plane(own), part=index, fault=told)


def _plane(header: Dataset) -> Plane | None:
    return None if is_projection(header) else plane_of(header)


def frame_headers(header: Dataset) -> tuple[Dataset, ...]:
    """The header of each frame of an enhanced object, its functional groups resolved.

    What is told for a frame counts before what is shared, and that before the top level;
    private groups come last, since vendors repeat classic elements in them.
    """
    shared: Any = element_value(header, _SHARED) or ()
    groups: Any = element_value(header, _PER_FRAME)
    groups_tag = header[_PER_FRAME].tag
    top = {tag: item for tag, item in header.items() if tag != groups_tag}
    common, private = _macros(shared[0] if shared else Dataset())
    return tuple(_resolved(header, group, common, private, top) for group in groups)


_Elements = dict[Any, DataElement | RawDataElement]


def _macros(groups: Dataset) -> tuple[_Elements, _Elements]:
    """The elements of standard and of private functional groups."""
    standard: _Elements = {}
    private: _Elements = {}
    for macro in groups:
        if macro.VR == "SQ" and macro.value:
            chosen = private if macro.tag.is_private else standard
            for tag, item in macro.value[0].items():
                chosen.setdefault(tag, item)
    return standard, private


def _resolved(
    header: Dataset, group: Dataset, common: _Elements, private: _Elements, top: _Elements
) -> Dataset:
    own, own_private = _macros(group)
    resolved = Dataset({**private, **own_private, **top, **common, **own})
    implicit, little = header.original_encoding
    resolved.set_original_encoding(implicit, little, header.original_character_set)
    return resolved
