"""Whether a series has images at all, or the true reason why not. It looks at headers only."""

from collections.abc import Sequence

from pydicom import uid

from processor.errors import NotConvertible
from processor.headers import integer, sop_class_name, text
from processor.source import Instance, SeriesSource
from processor.words import NO_VOLUME

_NOT_IMAGES = frozenset(
    {
        uid.SegmentationStorage,
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        uid.RTDoseStorage,
        uid.VLWholeSlideMicroscopyImageStorage,
    }
)


def require_images(source: SeriesSource) -> None:
    """Check that every file can be read and every instance is an image.

    Raises
    ------
    NotConvertible
        With the reason in words; counts and SOP class names, no patient data.
    """
    _require_readable(source)
    _require_pixels(source.instances)


def _require_readable(source: SeriesSource) -> None:
    if source.findings:
        unreadable = share(len(source.findings), source.file_count, "file")
        raise NotConvertible(f"{unreadable} unreadable: {source.findings[0].reason}")
    if not source.instances:
        raise NotConvertible("the series has no files")


def _require_pixels(instances: Sequence[Instance]) -> None:
    without = [
        instance
        for instance in instances
        if not instance.has_pixels or text(instance.header, "SOPClassUID") in _NOT_IMAGES
    ]
    if not without:
        return
    if len(without) < len(instances):
        lacking = share(len(without), len(instances), "instance")
        raise NotConvertible(f"{lacking} without an image: {sop_class_name(without[0].header)}")
    if integer(without[0].header, "Rows") and not without[0].has_pixels:
        raise NotConvertible(f"pixel data missing in instance {without[0].uid}")
    raise NotConvertible(f"{NO_VOLUME}: {sop_class_name(without[0].header)}")


def share(count: int, total: int, noun: str) -> str:
    """How many of how many, for people: "2 of 3 files"."""
    return f"{count} of {total} {noun}{'s' if total != 1 else ''}"
