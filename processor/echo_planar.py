"""How images were read out, along the axes of the file: phase encoding, slice and frame timing.

Only what is certain: a sign or an echo spacing that a vendor does not tell is left out, since
distortion correction would go wrong in silence.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from processor.csa import IMAGE, csa_header, csa_scalar
from processor.frames import Frame
from processor.geometry import LPS_TO_RAS, Array
from processor.headers import element_value, integer, number, numbers, private_numbers, text
from processor.plan import Stack
from processor.sidecar_facts import FACTS, is_siemens, seconds_of_day

_SIEMENS_POLARITY = 0x0021111C
_SIEMENS_BANDWIDTH = (0x00191028, 0x00211153)
_SIEMENS_SLICE_TIMES = 0x00191029
_GE_ECHO_SPACING, _GE_ACCELERATION = 0x0043102C, 0x00431083
_UIH_TILES = 0x00651051
_CLOCK_TICK_SECONDS = 0.0051
"""Two ticks of the clock by which Siemens tells when slices were read."""

_SAME_AXIS = 0.999


def read_out(stack: Stack, affine_ras: Array | None) -> dict[str, object]:
    """BIDS entries that depend on where voxels lie in the file.

    Parameters
    ----------
    affine_ras : ndarray, shape (4, 4), or None
        Of the written file; its axes are those that "i", "j" and "k" mean.

    Returns
    -------
    dict
        PhaseEncodingDirection, or PhaseEncodingAxis where the sign is not told;
        EffectiveEchoSpacing, TotalReadoutTime and SliceTiming in seconds; of PET FrameTimesStart,
        FrameDuration and the like. What is not certain is absent.
    """
    modality = text(stack.first.header, "Modality")
    if modality == "PT":
        return _pet_timing(stack)
    if modality != "MR" or affine_ras is None or stack.plan is None:
        return {}
    found: dict[str, object | None] = {
        **_phase_encoding(stack, affine_ras),
        "SliceTiming": _along_k(_slice_timing(stack), stack, affine_ras),
    }
    return {name: value for name, value in found.items() if value is not None}


def _phase_encoding(stack: Stack, affine_ras: Array) -> dict[str, object | None]:
    """Of the first frame, where all frames say the same."""
    headers = list({id(frame.header): frame.header for _, frame in stack.present}.values())
    axis = _agreed([_phase_axis(header) for header in headers])
    if axis is None or stack.first.plane is None:
        return {}
    plane = stack.first.plane
    size = plane.rows if axis == "COL" else plane.columns
    matrix = {"ReconMatrixPE": size, "AcquisitionMatrixPE": _acquired(stack.first.header, axis)}
    orientation = np.reshape(plane.orientation_lps, (2, 3))
    letter, sign = _file_axis(orientation[1 if axis == "COL" else 0], affine_ras)
    polarity = _agreed([_polarity(header) for header in headers])
    if polarity is None:
        direction: dict[str, object] = {"PhaseEncodingAxis": letter}
    else:
        direction = {"PhaseEncodingDirection": letter + ("" if sign * polarity > 0 else "-")}
    spacing = _agreed([_echo_spacing(header, axis, size) for header in headers])
    if spacing is None:
        return {**matrix, **direction}
    return {
        **matrix,
        **direction,
        "EffectiveEchoSpacing": round(spacing, 9),
        "TotalReadoutTime": round(spacing * (size - 1), 9),
    }


def _agreed(told: Sequence[Any]) -> Any:
    return told[0] if all(value == told[0] for value in told) else None


def _phase_axis(header: Dataset) -> object:
    return FACTS["InPlanePhaseEncodingDirectionDICOM"].told(header)


def _acquired(header: Dataset, axis: str) -> int | None:
    """How many lines were read; enhanced objects have no AcquisitionMatrix."""
    matrix = numbers(header, "AcquisitionMatrix")
    if len(matrix) != 4:
        return integer(header, "MRAcquisitionPhaseEncodingStepsInPlane") or None
    # Frequency rows, frequency columns, phase rows, phase columns; some vendors swap the axes.
    rows, columns = matrix[2:]
    return int((rows or columns) if axis == "COL" else (columns or rows)) or None


def _file_axis(direction_lps: Array, affine_ras: Array) -> tuple[str, float]:
    """The file's axis that runs closest to a direction, and 1 or -1 if it runs against it."""
    axes = affine_ras[:3, :3] / np.linalg.norm(affine_ras[:3, :3], axis=0)
    along = np.linalg.inv(axes) @ LPS_TO_RAS[:3, :3] @ direction_lps
    closest = int(np.argmax(np.abs(along)))
    return "ijk"[closest], float(np.sign(along[closest]))


def _polarity(header: Dataset) -> float | None:
    """1 where phase is encoded along increasing rows or columns, -1 against; Siemens only."""
    if not is_siemens(header):
        return None
    found = private_numbers(header, _SIEMENS_POLARITY)
    told = found[0] if found else _csa_number(header, "PhaseEncodingDirectionPositive")
    return None if told not in (0, 1) else 1.0 if told else -1.0


def _csa_number(header: Dataset, name: str) -> float | None:
    found = csa_scalar(csa_header(header, IMAGE), name)
    try:
        return None if found is None else float(found)
    except (TypeError, ValueError):
        return None


def _echo_spacing(header: Dataset, axis: str, size: int) -> float | None:
    """Seconds between echoes as the lines of the image see them."""
    if is_siemens(header):
        found = (private_numbers(header, tag) for tag in _SIEMENS_BANDWIDTH)
        told = next(filter(None, found), None) or (
            _csa_number(header, "BandwidthPerPixelPhaseEncode"),
        )
        return 1 / (told[0] * size) if told[0] and told[0] > 0 else None
    microseconds = private_numbers(header, _GE_ECHO_SPACING)
    accelerated = any(value != 1 for value in private_numbers(header, _GE_ACCELERATION))
    known = microseconds and microseconds[0] > 0 and _acquired(header, axis) == size
    return microseconds[0] / 1e6 if known and _is_ge(header) and not accelerated else None


def _is_ge(header: Dataset) -> bool:
    return text(header, "Manufacturer").upper().startswith("GE")


def _along_k(times: list[float] | None, stack: Stack, affine_ras: Array) -> list[float] | None:
    """Times in the order of the file's third axis, which may be turned; None if it is another."""
    if times is None or stack.plan is None:
        return None
    planned, written = stack.plan.affine_ras[:3, 2], affine_ras[:3, 2]
    cosine = planned @ written / (np.linalg.norm(planned) * np.linalg.norm(written))
    if abs(cosine) < _SAME_AXIS:
        return None
    return times if cosine > 0 else times[::-1]


def _slice_timing(stack: Stack) -> list[float] | None:
    """For each k the seconds after the volume's first slice; of 2D echo-planar images only."""
    volumes = [[frame for frame in volume if frame is not None] for volume in stack.frames]
    whole = len(volumes[0]) == len(stack.frames[0]) > 1
    if not whole or not all(_is_2d_echo_planar(frame.header) for frame in volumes[0]):
        return None
    told = [_times(volume) for volume in volumes]
    if any(times is None or len(times) != len(volumes[0]) for times in told):
        return None
    times = np.array(told, dtype=np.float64)
    times -= times.min(axis=1, keepdims=True)
    repetition = number(stack.first.header, "RepetitionTime") or 0.0
    if np.ptp(times, axis=0).max() > _CLOCK_TICK_SECONDS or not times.any():
        return None
    if times.max() * 1000 >= repetition:
        return None
    return [round(float(value), 6) for value in np.median(times, axis=0)]


def _is_2d_echo_planar(header: Dataset) -> bool:
    echo_planar = "EP" in text(header, "ScanningSequence").split("\\")
    planar = text(header, "MRAcquisitionType") == "2D"
    return planar and (echo_planar or text(header, "EchoPlanarPulseSequence") == "YES")


def _times(volume: Sequence[Frame]) -> Sequence[float] | None:
    """When each slice of a volume was read, in seconds of any beginning."""
    found = [_time(frame) for frame in volume]
    return None if None in found else [time for time in found if time is not None]


def _time(frame: Frame) -> float | None:
    header = frame.header
    if frame.tile is not None and _UIH_TILES in header:
        items: Any = element_value(header, _UIH_TILES)
        return seconds_of_day(items[frame.part], "AcquisitionTime")
    if frame.tile is not None:
        milliseconds = private_numbers(header, _SIEMENS_SLICE_TIMES)
        return milliseconds[frame.part] / 1000 if frame.part < len(milliseconds) else None
    if "FrameAcquisitionDateTime" in header:
        return seconds_of_day(header, "FrameAcquisitionDateTime")
    # Other vendors write the time of the whole volume, or of the series.
    return seconds_of_day(header, "AcquisitionTime") if is_siemens(header) else None


def _pet_timing(stack: Stack) -> dict[str, object]:
    """BIDS has the time of day that is zero, and everything else in seconds after it."""
    headers = [[frame.header for frame in volume if frame] for volume in stack.frames]
    durations = [
        _agreed([number(header, "ActualFrameDuration") for header in volume]) for volume in headers
    ]
    found: dict[str, object] = {}
    if None not in durations:
        found["FrameDuration"] = [round(value / 1000, 6) for value in durations]
    starts = [_earliest(volume) for volume in headers]
    known = [start for start in starts if start is not None]
    if len(known) < len(starts) or known != sorted(known):
        return found
    zero = known[0]
    found["TimeZero"] = _time_of_day(zero)
    found["ScanStart"] = 0
    found["FrameTimesStart"] = [round(start - zero, 6) for start in known]
    injected = _injected(headers[0][0])
    if injected is not None:
        found["InjectionStart"] = round(injected - zero, 6)
    return found


def _earliest(volume: Sequence[Dataset]) -> float | None:
    found = [seconds_of_day(header, "AcquisitionTime") for header in volume]
    return min((time for time in found if time is not None), default=None)


def _injected(header: Dataset) -> float | None:
    items: Any = element_value(header, "RadiopharmaceuticalInformationSequence")
    return seconds_of_day(items[0], "RadiopharmaceuticalStartTime") if items else None


def _time_of_day(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60:02d}:{int(minutes) % 60:02d}:{rest:09.6f}"
