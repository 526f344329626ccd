"""Measures of image quality, each by its published formula. They judge nothing.

What cannot be measured is said with the reason, as a result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processor.regions import foreground

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]

AIR_FACTOR = 0.655
"""SD of the magnitude of noise alone over that of its real part (Dietrich et al. 2007)."""
_AIR_AT_LEAST = 500
_MASKED_SHARE = 0.5
_BODY_MARGIN, _EDGE = 5, 2
_METAL_HU = 3000
_BODY_HU = -300
_ALL_BODY = 0.95
_KERNEL = 7
_SOFT_TISSUE_HU = (0.0, 100.0)
_SOFT_TISSUE_AT_LEAST = 500
_NOISE_BINS_HU = 0.5


@dataclass(frozen=True)
class Measured:
    """Numbers by their name, and why others could not be had."""

    values: Mapping[str, float] = field(default_factory=dict)
    not_measurable: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: "Measured") -> "Measured":
        """Both together."""
        return Measured(
            {**self.values, **other.values}, {**self.not_measurable, **other.not_measurable}
        )


def measure_mr(image: NDArray[Any], valid: Mask) -> Measured:
    """SNR, EFC and FBER of a magnitude image.

    snr
        ``0.655 * mean(body) / SD(air)`` (Dietrich et al., JMRI 2007;26:375): the SD of the
        air's Rayleigh distribution is 0.655 of that of the Gaussian noise.
    efc
        Entropy focus criterion (Atkinson et al., IEEE TMI 1997;16:903), 0 where all energy is
        in one pixel, 1 where it is the same in all; motion and ghosts raise it.
    fber
        Mean energy of the body over that of the air.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        Stored values, none negative.
    valid : ndarray of bool, shape (rows, columns)
    """
    pixels = np.asarray(image, dtype=np.float64)
    low, high = pixels[valid].min(), pixels[valid].max()
    if low < 0 or low == high:
        reason = "not a magnitude image" if low < 0 else "the image is blank"
        return Measured({}, dict.fromkeys(("snr", "fber", "efc"), reason))
    values = {"efc": entropy_focus(pixels[valid])}
    body = body_of(pixels, valid)
    inner = shrunk(body, _EDGE)
    air = valid & ~grown(body, _BODY_MARGIN)
    reason = _no_air(pixels, air) if inner.any() else "there is no body in the image"
    if reason:
        return Measured(values, dict.fromkeys(("snr", "fber"), reason))
    noise = float(pixels[air].std()) / AIR_FACTOR
    energy = float(np.mean(pixels[air] ** 2))
    values |= {
        "noise": noise,
        "snr": float(pixels[inner].mean()) / noise,
        "fber": float(np.mean(pixels[inner] ** 2)) / energy,
    }
    return Measured(values)


def _no_air(pixels: Image, air: Mask) -> str:
    """Why the air around the body tells nothing of noise; empty where it does."""
    if air.sum() < _AIR_AT_LEAST:
        return "there is no air around the body"
    values = pixels[air]
    if np.mean(values == values.min()) > _MASKED_SHARE or values.std() == 0:
        return "the air is masked"
    return ""


def entropy_focus(pixels: NDArray[Any]) -> float:
    """The entropy focus criterion of pixels: their entropy over that of a uniform image."""
    energy = float(np.sqrt(np.sum(np.square(pixels, dtype=np.float64))))
    if energy == 0 or pixels.size < 2:
        return 0.0
    share = np.abs(pixels[pixels != 0]) / energy
    largest = np.sqrt(pixels.size) * np.log(np.sqrt(pixels.size))
    return float(-np.sum(share * np.log(share)) / largest)


def measure_ct(hounsfield: NDArray[Any], valid: Mask) -> Measured:
    """Global noise level, metal, and whether the body reaches the edge.

    noise_hu
        The mode of the standard deviations of 7 x 7 neighbourhoods whose mean is 0 to 100 HU
        (Christianson et al., AJR 2015;205:W93). To be compared within a kernel only.
    metal_share
        The share of the body at 3000 HU or more.
    edge_share
        The share of the image's border that is body: anatomy may be cut off. Only where there
        is air.

    Parameters
    ----------
    hounsfield : ndarray, shape (rows, columns)
        Values in HU.
    """
    pixels = np.asarray(hounsfield, dtype=np.float64)
    body = valid & (pixels > _BODY_HU)
    if not body.any():
        return Measured({}, {"noise_hu": "there is no body in the image"})
    values = {"metal_share": float(np.mean(pixels[body] >= _METAL_HU))}
    if np.mean(body[valid]) < _ALL_BODY:
        values["edge_share"] = float(np.mean(_border(body)))
    mean, deviation = local_statistics(pixels, _KERNEL)
    whole = _windows(valid, _KERNEL).all(axis=(2, 3))
    soft = whole & (mean >= _SOFT_TISSUE_HU[0]) & (mean <= _SOFT_TISSUE_HU[1])
    if soft.sum() < _SOFT_TISSUE_AT_LEAST:
        return Measured(values, {"noise_hu": "too little soft tissue"})
    return Measured(values | {"noise_hu": mode_of(deviation[soft], _NOISE_BINS_HU)})


def _border(mask: Mask) -> Mask:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def local_statistics(pixels: Image, size: int) -> tuple[Image, Image]:
    """Mean and standard deviation of each whole neighbourhood, `size` pixels on a side.

    Returns
    -------
    mean, deviation : ndarray, shape (rows - size + 1, columns - size + 1)
    """
    offset = float(pixels.mean())  # squares of small numbers lose less
    centred = pixels - offset
    mean = _box_sums(centred, size) / size**2
    variance = _box_sums(centred**2, size) / size**2 - mean**2
    return mean + offset, np.sqrt(np.maximum(variance, 0) * size**2 / (size**2 - 1))


def _box_sums(pixels: Image, size: int) -> Image:
    sums = np.pad(pixels, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    total = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    return np.asarray(total)


def _windows(mask: Mask, size: int) -> Mask:
    return np.lib.stride_tricks.sliding_window_view(mask, (size, size))


def mode_of(values: NDArray[Any], width: float) -> float:
    """The most frequent of values, by a histogram of this width smoothed over three bins."""
    top = max(float(np.percentile(values, 99)), width * 4)
    counts, edges = np.histogram(values, bins=int(np.ceil(top / width)), range=(0, top))
    smooth = np.convolve(counts, np.ones(3), mode="same")
    at = int(np.argmax(smooth))
    near = slice(max(at - 1, 0), at + 2)
    centres = (edges[:-1] + edges[1:]) / 2
    return float(np.average(centres[near], weights=np.maximum(counts[near], 1e-9)))


def measure_dynamic(series: NDArray[Any], phase_axis: int | None) -> Measured:
    """tSNR, DVARS and ghost-to-signal of one slice over time.

    tsnr
        Median over the body of the mean over time by the standard deviation over time.
    dvars_percent
        Mean over time of the root mean square over the body of the change from one volume to
        the next, in per cent of the body's mean (Power et al. 2012).
    gsr
        (mean of the ghosts - mean of the rest of the air) / median of the body; the ghosts are
        where the body, moved by half of the field of view along the phase axis, meets air
        (Giannelli et al. 2010).

    Parameters
    ----------
    series : ndarray, shape (volumes, rows, columns)
    phase_axis : int or None
        0 where phase is encoded along columns, 1 along rows; None where that is not told.
    """
    pixels = np.asarray(series, dtype=np.float32)
    mean = pixels.mean(axis=0, dtype=np.float64)
    if np.ptp(mean) == 0:
        reason = "the slice is blank"
        return Measured({}, dict.fromkeys(("tsnr", "dvars_percent", "gsr"), reason))
    body = shrunk(body_of(mean, np.ones(mean.shape, dtype=np.bool_)), _EDGE)
    if not body.any():
        reason = "there is no body in the slice"
        return Measured({}, dict.fromkeys(("tsnr", "dvars_percent", "gsr"), reason))
    level = float(mean[body].mean())
    if level <= 0 or np.median(mean[body]) <= 0:
        reason = "the body has no signal"
        return Measured({}, dict.fromkeys(("tsnr", "dvars_percent", "gsr"), reason))
    deviation = pixels.std(axis=0, dtype=np.float64)[body]
    values: dict[str, float] = {}
    if np.all(deviation > 0):
        values["tsnr"] = float(np.median(mean[body] / deviation))
    changes = np.diff(pixels[:, body].astype(np.float64), axis=0)
    change = float(np.mean(np.sqrt(np.mean(changes**2, axis=1))))
    values["dvars_percent"] = 100 * change / level
    missing = {} if "tsnr" in values else {"tsnr": "some pixels never change"}
    ghost = _ghost(mean, body, phase_axis)
    if isinstance(ghost, str):
        return Measured(values, {**missing, "gsr": ghost})
    return Measured({**values, "gsr": ghost}, missing)


def _ghost(mean: Image, body: Mask, axis: int | None) -> float | str:
    if axis is None:
        return "the phase encoding direction is not told"
    near = grown(body, 2 * _EDGE)
    moved = np.roll(body, mean.shape[axis] // 2, axis=axis)
    ghosts, rest = moved & ~near, ~moved & ~near
    if ghosts.sum() < _AIR_AT_LEAST // 5 or rest.sum() < _AIR_AT_LEAST // 5:
        return "there is no air where ghosts would be"
    return float((mean[ghosts].mean() - mean[rest].mean()) / np.median(mean[body]))


def body_of(pixels: Image, valid: Mask) -> Mask:
    """The body of an image that was smoothed, so that noise is not taken for it."""
    half = _KERNEL // 2
    smooth, _ = local_statistics(np.pad(pixels, half, mode="edge"), _KERNEL)
    if np.ptp(smooth[valid]) == 0:
        return np.zeros(pixels.shape, dtype=np.bool_)
    return foreground(smooth, valid)


def structure(image: NDArray[Any], valid: Mask) -> float:
    """The correlation of neighbouring pixels: 0 for noise alone, near 1 for anatomy."""
    pixels = np.asarray(image, dtype=np.float64)
    found = []
    for one, other in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        both = valid[one] & valid[other]
        if both.sum() < 64:
            return 1.0
        pair = pixels[one][both], pixels[other][both]
        deviations = pair[0].std() * pair[1].std()
        if deviations == 0:
            return 1.0
        found.append(float(np.mean((pair[0] - pair[0].mean()) * (pair[1] - pair[1].mean()))))
        found[-1] /= float(deviations)
    return max(found)


def shrunk(mask: Mask, pixels: int) -> Mask:
    """A mask without its outermost pixels."""
    return ~grown(~mask, pixels)


def grown(mask: Mask, pixels: int) -> Mask:
    """A mask with a margin of some pixels around it."""
    result = mask.copy()
    for axis in (0, 1):
        sums = np.pad(result, [(pixels + 1, pixels) if at == axis else (0, 0) for at in (0, 1)])
        total = sums.cumsum(axis=axis)
        size = 2 * pixels + 1
        high = np.take(total, range(size, total.shape[axis]), axis=axis)
        low = np.take(total, range(total.shape[axis] - size), axis=axis)
        result = np.asarray(high > low)
    return result
