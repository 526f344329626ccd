"""Measures of a series by its modality: of a few images, one slice over time, or headers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from processor.diffusion import b_value_of
from processor.errors import PixelDataError
from processor.frames import Frame
from processor.headers import integer, number, text
from processor.intensity import rescale_of
from processor.measures import Measured, measure_ct, measure_dynamic, measure_mr
from processor.regions import valid_pixels

MEASURED_IMAGES = 7
DYNAMIC_FROM = 10
_DYNAMIC_UP_TO = 200
_SMALLEST = 32
_MG = {
    "compression_force_n": "CompressionForce",
    "body_part_thickness_mm": "BodyPartThickness",
    "organ_dose_dgy": "OrganDose",
}


def positions_of(frames: Sequence[Frame]) -> list[list[int]]:
    """The frames of each slice position along the first frame's normal, in their order in time.

    Returns
    -------
    list of list of int
        Indices into `frames`; empty where a frame has no place or is of another orientation.
    """
    planes = [frame.plane for frame in frames]
    first = planes[0] if planes else None
    if first is None:
        return []
    found: dict[float, list[int]] = defaultdict(list)
    for index, plane in enumerate(planes):
        if plane is None or float(first.normal_lps @ plane.normal_lps) < 0.999:
            return []
        found[round(float(first.normal_lps @ plane.position_lps), 2)].append(index)
    return [sorted(found[place], key=lambda at: _moment(frames[at])) for place in sorted(found)]


def _moment(frame: Frame) -> tuple[float, int, int]:
    header = frame.header
    temporal = number(header, "TemporalPositionIdentifier") or 0.0
    return temporal, integer(frame.instance.header, "InstanceNumber"), frame.index


def measure_series(
    frames: Sequence[Frame], sampled: Sequence[int], positions: Sequence[Sequence[int]]
) -> Measured:
    """What the modality's measures say.

    Parameters
    ----------
    sampled : sequence of int
        Indices of frames whose pixels are decoded anyway; the middle ones are measured.
    positions : sequence of sequence of int
        As `positions_of`.
    """
    if not frames:
        return Measured()
    header = frames[0].header
    modality = text(header, "Modality")
    if modality in ("DX", "CR", "DR"):
        return _exposure([frame.header for frame in frames])
    if modality == "MG":
        return _mammography(header)
    if modality not in ("MR", "CT"):
        return Measured()
    measured = _medians([_measure(frames[at], modality) for at in _middle(sampled)])
    if modality == "MR":
        measured |= _over_time(frames, positions)
    return measured


def _middle(sampled: Sequence[int]) -> Sequence[int]:
    start = max(0, (len(sampled) - MEASURED_IMAGES) // 2)
    return sampled[start : start + MEASURED_IMAGES]


def _measure(frame: Frame, modality: str) -> Measured:
    names = ("noise_hu",) if modality == "CT" else ("snr", "efc", "fber")
    try:
        stored = frame.raw()
    except PixelDataError:
        return Measured({}, dict.fromkeys(names, "the pixels cannot be read"))
    valid = valid_pixels(frame.header, stored)
    if stored.ndim != 2 or not valid.any() or np.ptp(stored[valid]) == 0:
        return Measured({}, dict.fromkeys(names, "the image is blank or in colour"))
    if min(stored.shape) < _SMALLEST:
        return Measured({}, dict.fromkeys(names, "the image is too small"))
    if modality == "MR":
        return measure_mr(stored, valid)
    rescale = rescale_of(frame.header)
    return measure_ct(stored * rescale.slope + rescale.intercept, valid)


def _medians(images: Sequence[Measured]) -> Measured:
    """The median of each measure over the images that have it; a reason only where none has."""
    values: dict[str, list[float]] = defaultdict(list)
    for image in images:
        for name, value in image.values.items():
            values[name].append(value)
    reasons = {name: why for image in images for name, why in image.not_measurable.items()}
    return Measured(
        {name: median(found) for name, found in values.items()},
        {name: why for name, why in reasons.items() if name not in values},
    )


def _over_time(frames: Sequence[Frame], positions: Sequence[Sequence[int]]) -> Measured:
    """The middle slice of a time series; nothing where it is none."""
    volumes = {len(moments) for moments in positions}
    if len(volumes) != 1 or min(volumes) < DYNAMIC_FROM:
        return Measured()
    moments = positions[len(positions) // 2][:_DYNAMIC_UP_TO]
    names = ("tsnr", "dvars_percent", "gsr")
    if len({b_value_of(frames[at].header) for at in moments}) > 1:
        return Measured({}, dict.fromkeys(names, "the b-value changes from volume to volume"))
    if len({number(frames[at].header, "EchoTime") for at in moments}) > 1:
        return Measured({}, dict.fromkeys(names, "the echo time changes from volume to volume"))
    try:
        series = _stacked([frames[at] for at in moments])
    except (PixelDataError, ValueError):
        return Measured({}, dict.fromkeys(names, "the pixels of a volume cannot be read"))
    if series.ndim != 3 or min(series.shape[1:]) < _SMALLEST:
        return Measured({}, dict.fromkeys(names, "the image is too small, or in colour"))
    return measure_dynamic(series, _phase_axis(frames[moments[0]].header))


def _stacked(frames: Sequence[Frame]) -> NDArray[Any]:
    return np.stack([np.asarray(frame.raw(), dtype=np.float32) for frame in frames])


def _phase_axis(header: Dataset) -> int | None:
    """The array axis of (0018,1312): COL encodes phase down the columns, from row to row."""
    told = text(header, "InPlanePhaseEncodingDirection").upper()
    return {"COL": 0, "COLUMN": 0, "ROW": 1}.get(told)


def _exposure(headers: Sequence[Dataset]) -> Measured:
    """IEC 62494-1, from the headers alone: of the first image that tells it."""
    header = next((one for one in headers if number(one, "ExposureIndex")), None)
    if header is None:
        return Measured({}, {"exposure_index": "the header tells none"})
    index, target = number(header, "ExposureIndex"), number(header, "TargetExposureIndex")
    told: Mapping[str, float | None] = {
        "exposure_index": index,
        "target_exposure_index": target,
        "deviation_index": number(header, "DeviationIndex"),
    }
    values = {name: value for name, value in told.items() if value is not None}
    if index and target and index > 0 and target > 0:
        values["deviation_index_computed"] = float(10 * np.log10(index / target))
    return Measured(values)


def _mammography(header: Dataset) -> Measured:
    told = {name: number(header, keyword) for name, keyword in _MG.items()}
    return Measured({name: value for name, value in told.items() if value is not None})
