"""Decoding one frame of pixel data to a read-only array of stored values.

Native little-endian frames stay where they were read: the array is a view. It does not scale,
window or invert.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from processor.headers import integer, text

_LITTLE_ENDIAN = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian}
)
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_BITS = (8, 16, 32)


def decode_frame(header: Dataset, transfer_syntax_uid: str, index: int) -> NDArray[Any]:
    """One frame of stored values, in native byte order; it cannot be written to.

    Returns
    -------
    ndarray, shape (rows, columns) or (rows, columns, samples)
        Bits above BitsStored are cleared (or repeat the sign); YBR is RGB.

    Raises
    ------
    Exception
        What pydicom and its decoders raise on damaged data.
    """
    frame = _view(header, index) if transfer_syntax_uid in _LITTLE_ENDIAN else None
    if frame is None:
        frame = without_overlay_bits(header, pixel_array(header, index=index))
    frame = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    frame.flags.writeable = False
    return frame


def _view(header: Dataset, index: int) -> NDArray[Any] | None:
    """The frame where it lies in PixelData; None where its bytes are not its values."""
    data = header.get("PixelData")
    rows, columns = integer(header, "Rows"), integer(header, "Columns")
    allocated, stored = integer(header, "BitsAllocated"), integer(header, "BitsStored")
    sign = integer(header, "PixelRepresentation", -1)
    plain = (
        integer(header, "SamplesPerPixel") == 1
        and text(header, "PhotometricInterpretation") in _GREY
        and allocated in _BITS
        and 0 < stored <= allocated
        and sign in (0, 1)
    )
    if not plain or not isinstance(data, bytes):
        return None
    dtype = np.dtype(f"<{'ui'[sign]}{allocated // 8}")
    pixels = rows * columns
    frame = np.frombuffer(data, dtype, pixels, index * pixels * dtype.itemsize)
    if stored < allocated and not _within(frame, stored, sign):
        return None
    return frame.reshape(rows, columns)


def _within(frame: NDArray[Any], bits: int, sign: int) -> bool:
    """Whether no value uses a bit above the stored ones."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if sign else (0, (1 << bits) - 1)
    return bool(frame.max(initial=low) <= high and (not sign or frame.min(initial=high) >= low))


def without_overlay_bits(header: Dataset, frame: NDArray[Any]) -> NDArray[Any]:
    """The frame without overlay planes that older devices kept in unused high bits.

    Only where the header announces such an overlay (60xx,0102 above 0): elsewhere bits above
    BitsStored may be values, since some devices understate BitsStored.
    """
    stored, allocated = integer(header, "BitsStored"), integer(header, "BitsAllocated")
    positions = [integer(header, group << 16 | 0x0102) for group in range(0x6000, 0x6020, 2)]
    embedded = any(stored <= position < allocated for position in positions)
    if not embedded or frame.dtype.kind not in "iu":
        return frame
    shift = frame.dtype.itemsize * 8 - stored
    return np.asarray(np.right_shift(np.left_shift(frame, shift), shift))
