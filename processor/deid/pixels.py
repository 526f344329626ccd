"""What is burned into the pixels: which images may have it, where it is, and painting it over."""

from collections.abc import Sequence

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from processor.errors import NotDeidentified
from processor.headers import image_types, integer, text
from processor.settings import Mask

_PHOTOGRAPHED = "1.2.840.10008.5.1.4.1.1.77.1."  # visible light images
_CAPTURED = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture, of one frame and of several
_ULTRASOUND = frozenset(
    {
        uid.UltrasoundImageStorage,
        uid.UltrasoundMultiFrameImageStorage,
        uid.EnhancedUSVolumeStorage,
        "1.2.840.10008.5.1.4.1.1.6",  # retired
        "1.2.840.10008.5.1.4.1.1.3",  # retired
    }
)
_MODALITIES = frozenset({"US", "IVUS", "SC", "OT", "ES", "XC", "DG", "HC", "GM", "OP", "DOC"})
_SCREENS = ("SCREEN", "DOSE", "REPORT")


def may_be_burned_in(header: Dataset, *, declared: bool) -> str:
    """Why the pixels of an image may name the patient, "" where nothing says so.

    Parameters
    ----------
    declared : bool
        Whether BurnedInAnnotation = NO is believed of the kinds of images that often have text.
    """
    told = text(header, "BurnedInAnnotation").upper()
    if told == "YES":
        return "BurnedInAnnotation is YES"
    if told == "NO" and declared:
        return ""
    sop_class = text(header, "SOPClassUID")
    if sop_class == _CAPTURED or sop_class.startswith((_CAPTURED + ".", _PHOTOGRAPHED)):
        return "captures and photographs often have text burned in"
    if sop_class in _ULTRASOUND or text(header, "Modality") in _MODALITIES:
        return f"images of modality {text(header, 'Modality')[:16]} often have text burned in"
    if any(word in value for value in image_types(header) for word in _SCREENS):
        return "ImageType says that it shows a screen"
    return ""


def mask_for(header: Dataset, masks: Sequence[Mask]) -> Mask | None:
    """The first mask that fits an image."""
    return next((mask for mask in masks if _fits(mask, header)), None)


def _fits(mask: Mask, header: Dataset) -> bool:
    words = (
        (mask.manufacturer, "Manufacturer"),
        (mask.model, "ManufacturerModelName"),
        (mask.modality, "Modality"),
    )
    sizes = ((mask.rows, "Rows"), (mask.columns, "Columns"))
    return all(
        not asked or asked.strip().lower() == text(header, keyword).lower()
        for asked, keyword in words
    ) and all(not asked or asked == integer(header, keyword) for asked, keyword in sizes)


def paint_over(header: Dataset, mask: Mask) -> None:
    """Set the pixels of a mask's rectangles to 0 in every frame; compressed pixels are decoded.

    Raises
    ------
    NotDeidentified
        The pixels cannot be decoded, or are stored in a way in which none can be set.
    """
    if not mask.rectangles:
        return
    if header.file_meta.TransferSyntaxUID.is_compressed:
        _decompress(header)
    bits, samples = integer(header, "BitsAllocated"), integer(header, "SamplesPerPixel", 1)
    subsampled = text(header, "PhotometricInterpretation").endswith(("422", "420"))
    if bits not in (8, 16, 32) or subsampled or "PixelData" not in header:
        raise NotDeidentified("burned-in text cannot be painted over in pixels stored like this")
    little = header.file_meta.TransferSyntaxUID.is_little_endian
    kind = np.dtype(f"{'<' if little else '>'}u{bits // 8}")
    rows, columns = integer(header, "Rows"), integer(header, "Columns")
    frames = max(1, integer(header, "NumberOfFrames", 1))
    count = frames * rows * columns * samples
    pixels = np.frombuffer(header.PixelData, kind)[:count].copy()
    if pixels.size != count or not count:
        raise NotDeidentified("the pixel data are shorter than the header says")
    by_plane = samples > 1 and integer(header, "PlanarConfiguration") == 1
    shape = (frames, samples, rows, columns) if by_plane else (frames, rows, columns, samples)
    view = pixels.reshape(shape)
    view = view if by_plane else np.moveaxis(view, 3, 1)
    for x, y, width, height in mask.rectangles:
        view[:, :, y : y + height, x : x + width] = 0
    contents = pixels.tobytes()
    header.PixelData = contents + b"\0" * (len(contents) % 2)
    header.BurnedInAnnotation = "NO"


def _decompress(header: Dataset) -> None:
    try:
        header.decompress(generate_instance_uid=False)
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, NotImplementedError):
        raise NotDeidentified("the pixels cannot be decoded to paint over burned-in text") from None
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
