"""Mosaics: all slices of a volume tiled in one image (Siemens, United Imaging).

It tells where the tiles are and where their slices lie; pixels are never read here.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from processor.csa import IMAGE, SERIES, csa_header, csa_scalar, csa_vector
from processor.errors import NotConvertible
from processor.geometry import Array, Plane, frame_matrix_lps, plane_of
from processor.headers import element_value, image_types, numbers

_UIH_TILES = 0x00651051


@dataclass(frozen=True)
class Tile:
    """One slice of a mosaic: the first row and column of its tile, and its place."""

    row: int
    column: int
    plane: Plane


def is_mosaic(header: Dataset) -> bool:
    """Whether one image holds several slices as tiles."""
    return "MOSAIC" in image_types(header) or _UIH_TILES in header


def tiles_of(header: Dataset) -> tuple[Tile, ...]:
    """The slices of a mosaic in the order of its tiles, row by row.

    Raises
    ------
    NotConvertible
        The private header that describes the tiles is missing or cannot be read.
    """
    if _UIH_TILES in header:
        return _uih_tiles(header)
    return _siemens_tiles(header)


def _uih_tiles(header: Dataset) -> tuple[Tile, ...]:
    items: Any = element_value(header, _UIH_TILES)
    items = items if isinstance(items, Sequence) else ()
    positions = [numbers(item, "ImagePositionPatient") for item in items]
    if not positions or any(len(position) != 3 for position in positions):
        raise NotConvertible("a mosaic image whose tiles have no position")
    first = Dataset(dict(header.items()))
    first.ImagePositionPatient = list(positions[0])
    mosaic = _required_plane(first)
    across = math.ceil(math.sqrt(len(positions)))
    down = math.ceil(len(positions) / across)
    planes = [replace(mosaic, position_lps=position) for position in positions]
    return _tiled(planes, down, across)


def _siemens_tiles(header: Dataset) -> tuple[Tile, ...]:
    mosaic = _required_plane(header)
    count, normal = _told_by_image(header) or _told_by_protocol(header, mosaic)
    side = math.ceil(math.sqrt(count))
    first = _first_position(mosaic, side)
    step = normal * mosaic.thickness_mm
    planes = [
        replace(mosaic, position_lps=tuple(float(value) for value in first + index * step))
        for index in range(count)
    ]
    return _tiled(planes, side, side)


def _told_by_image(header: Dataset) -> tuple[int, Array] | None:
    """How many slices there are and which way they go, by the private header of the image."""
    csa = csa_header(header, IMAGE)
    count = int(csa_scalar(csa, "NumberOfImagesInMosaic") or 0)
    normal = csa_vector(csa, "SliceNormalVector", 3)
    return None if count < 1 or normal is None else (count, normal)


def _told_by_protocol(header: Dataset, mosaic: Plane) -> tuple[int, Array]:
    """The same by the protocol in the private header of the series."""
    protocol = str(csa_scalar(csa_header(header, SERIES), "MrPhoenixProtocol") or "")
    size = re.search(r"^sSliceArray\.lSize\s*=\s*(\d+)", protocol, re.MULTILINE)
    if size is None or int(size[1]) < 1:
        raise NotConvertible("a mosaic image without the Siemens header that describes it")
    last = int(size[1]) - 1
    ends = [_slice_position(protocol, index) for index in (0, last)]
    # Tiles may run against the protocol: the mosaic is placed where its first slice is.
    centre = (frame_matrix_lps(mosaic) @ [mosaic.columns / 2, mosaic.rows / 2, 0, 1])[:3]
    first, other = sorted(ends, key=lambda end: float(np.linalg.norm(end - centre)))
    way = float((other - first) @ mosaic.normal_lps)
    return last + 1, mosaic.normal_lps * (-1.0 if way < 0 else 1.0)


def _slice_position(protocol: str, index: int) -> Array:
    """The centre of a slice in mm LPS; what the protocol leaves out is 0."""
    found = dict(
        re.findall(
            rf"^sSliceArray\.asSlice\[{index}\]\.sPosition\.d(Sag|Cor|Tra)\s*=\s*(\S+)",
            protocol,
            re.MULTILINE,
        )
    )
    return np.array([float(found.get(axis, 0.0)) for axis in ("Sag", "Cor", "Tra")])


def _required_plane(header: Dataset) -> Plane:
    plane = plane_of(header)
    if plane is None:
        raise NotConvertible("a mosaic image without position, orientation or pixel spacing")
    return plane


def _first_position(mosaic: Plane, side: int) -> Array:
    """The first pixel of the first slice.

    Siemens places the mosaic as if it were one large image around the slice's centre.
    """
    matrix = frame_matrix_lps(mosaic)
    columns = (mosaic.columns - mosaic.columns // side) / 2
    rows = (mosaic.rows - mosaic.rows // side) / 2
    return np.asarray((matrix @ [columns, rows, 0, 1])[:3])


def _tiled(planes: Sequence[Plane], down: int, across: int) -> tuple[Tile, ...]:
    rows, columns = planes[0].rows, planes[0].columns
    if rows % down or columns % across:
        raise NotConvertible(f"a mosaic image of {columns}x{rows} with {len(planes)} slices")
    height, width = rows // down, columns // across
    return tuple(
        Tile(
            row=index // across * height,
            column=index % across * width,
            plane=replace(plane, rows=height, columns=width),
        )
        for index, plane in enumerate(planes)
    )
