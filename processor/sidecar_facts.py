"""What a sidecar tells, and the elements each fact is read from."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydicom.dataset import Dataset

from processor.diffusion import b_value_of
from processor.headers import (
    element_value,
    image_types,
    number,
    numbers,
    private_numbers,
    text,
    values,
)

_SIEMENS_ACCELERATION = 0x00511011
_SMALLEST_DOSE_BQ = 1e4
_CLOCK = re.compile(r"(?:\d{8})?(\d\d)(\d\d)(\d\d(?:\.\d+)?)")


@dataclass(frozen=True)
class Fact:
    """One entry of a sidecar.

    Attributes
    ----------
    keys : tuple of str or int
        Keywords, or tags of private elements.
    read : callable
        Reads the value from a header and one of the keys; the first that is not None counts.
    choose : callable or None
        Picks one of the values of a volume; without it they must be equal.
    """

    keys: tuple[str | int, ...]
    read: Callable[[Dataset, Any], object | None]
    choose: Callable[[Sequence[Any]], object] | None = None

    def told(self, header: Dataset) -> object | None:
        """What a header tells."""
        read = (self.read(header, key) for key in self.keys)
        return next((value for value in read if value is not None), None)


def _word(header: Dataset, keyword: str) -> str | None:
    return text(header, keyword) or None


def _words(header: Dataset, keyword: str) -> list[str] | None:
    return [str(item) for item in values(header, keyword)] or None


def _number(header: Dataset, key: str) -> float | None:
    found = number(header, key)
    return int(found) if found is not None and found.is_integer() else found


def _seconds(header: Dataset, key: str) -> float | None:
    """0 is what vendors write into images that are computed from several."""
    milliseconds = number(header, key)
    return round(milliseconds / 1000, 9) if milliseconds else None


def _directions(header: Dataset, keyword: str) -> list[float] | None:
    return [round(value, 6) + 0.0 for value in numbers(header, keyword)] or None


def _private(header: Dataset, tag: int) -> float | None:
    return next(iter(private_numbers(header, tag)), None)


def _siemens_dwell(header: Dataset, tag: int) -> float | None:
    """Siemens has nanoseconds; the same element is another thing of other vendors."""
    found = _private(header, tag) if is_siemens(header) else None
    return None if found is None else round(found / 1e9, 12)


def _acceleration(header: Dataset, key: str | int) -> float | None:
    """Siemens writes it as "p2", of simultaneous slices as "p2 s2"."""
    if key != _SIEMENS_ACCELERATION:
        return _number(header, str(key))
    value = element_value(header, key)
    words = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    found = re.match(r"p(\d+)(?!\d)", words) if is_siemens(header) else None
    return int(found[1]) if found else None


def _is_used(header: Dataset, keyword: str) -> bool | None:
    found = text(header, keyword)
    return found not in {"NONE", "NO"} if found else None


def _types(header: Dataset, _: str) -> list[str] | None:
    return list(image_types(header)) or None


def _is_undistorted(header: Dataset, _: str) -> bool | None:
    """Siemens tells it as a word of ImageType."""
    found = set(image_types(header))
    if not is_siemens(header):
        return None
    return True if found & {"DIS2D", "DIS3D"} else False if "ND" in found else None


def is_siemens(header: Dataset) -> bool:
    """Whether private elements are those of Siemens."""
    return text(header, "Manufacturer").upper().startswith("SIEMENS")


def clock(header: Dataset, keyword: str) -> str | None:
    """The time of day of a TM or DT element; None without one.

    >>> header = Dataset()
    >>> header.AcquisitionTime = "122458.1025"
    >>> clock(header, "AcquisitionTime")
    '12:24:58.102500'
    """
    found = _CLOCK.match(text(header, keyword))
    return f"{found[1]}:{found[2]}:{float(found[3]):09.6f}" if found else None


def _phase_axis(header: Dataset, keyword: str) -> str | None:
    return {"COL": "COL", "COLUMN": "COL", "ROW": "ROW"}.get(text(header, keyword))


def _radiopharmaceutical(header: Dataset, keyword: str) -> Dataset:
    items: Any = element_value(header, keyword)
    return items[0] if items else Dataset()


def _megabecquerel(header: Dataset, keyword: str) -> float | None:
    """None below 10 kBq: some write megabecquerel where PS3.3 C.8.9.2 wants becquerel."""
    found = number(_radiopharmaceutical(header, keyword), "RadionuclideTotalDose") or 0
    return round(found / 1e6, 6) if found > _SMALLEST_DOSE_BQ else None


def _dose_unit(header: Dataset, keyword: str) -> str | None:
    return None if _megabecquerel(header, keyword) is None else "MBq"


def _half_life(header: Dataset, keyword: str) -> float | None:
    return number(_radiopharmaceutical(header, keyword), "RadionuclideHalfLife")


def _b_value(header: Dataset, _: str | int) -> float | None:
    return b_value_of(header)


def _facts(
    read: Callable[[Dataset, Any], object | None], **names: str | int | tuple[str | int, ...]
) -> dict[str, Fact]:
    return {
        name: Fact(keys if isinstance(keys, tuple) else (keys,), read)
        for name, keys in names.items()
    }


def _named_alike(read: Callable[[Dataset, Any], object | None], *names: str) -> dict[str, Fact]:
    return {name: Fact((name,), read) for name in names}


_GENERAL = {
    **_named_alike(_word, "Modality", "Manufacturer"),
    **_facts(_word, ManufacturersModelName="ManufacturerModelName"),
    **_facts(_word, BodyPart="BodyPartExamined"),
    **_named_alike(_word, "SoftwareVersions", "BodyPartExamined", "PatientPosition"),
    **_named_alike(_word, "SeriesDescription", "ProtocolName"),
    **_named_alike(_number, "SeriesNumber", "AcquisitionNumber"),
    **_facts(_types, ImageType="ImageType"),
    "AcquisitionTime": Fact(("AcquisitionTime", "AcquisitionDateTime"), clock, min),
    "ImageOrientationPatientDICOM": Fact(("ImageOrientationPatient",), _directions),
    **_named_alike(_number, "SliceThickness", "SpacingBetweenSlices"),
}
_RESONANCE = {
    **_named_alike(_number, "MagneticFieldStrength"),
    **_facts(_number, ImagingFrequency=("ImagingFrequency", "TransmitterFrequency")),
    **_named_alike(_word, "MRAcquisitionType", "ScanningSequence", "SequenceVariant"),
    **_named_alike(_word, "ScanOptions", "SequenceName", "PulseSequenceName"),
    **_named_alike(_word, "EchoPulseSequence", "ReceiveCoilName", "ParallelAcquisitionTechnique"),
    **_facts(
        _seconds,
        EchoTime=("EchoTime", "EffectiveEchoTime"),
        RepetitionTime="RepetitionTime",
        InversionTime=("InversionTime", "InversionTimes"),
    ),
    **_named_alike(_number, "FlipAngle", "NumberOfAverages", "PixelBandwidth", "PercentSampling"),
    **_facts(
        _number,
        EchoNumber="EchoNumbers",
        SAR="SAR",
        EchoTrainLength=("EchoTrainLength", "RFEchoTrainLength", "GradientEchoTrainLength"),
        PercentPhaseFOV="PercentPhaseFieldOfView",
        PhaseEncodingSteps=(
            "NumberOfPhaseEncodingSteps",
            "MRAcquisitionPhaseEncodingStepsInPlane",
        ),
        PhaseEncodingStepsOutOfPlane="MRAcquisitionPhaseEncodingStepsOutOfPlane",
        FrequencyEncodingSteps="MRAcquisitionFrequencyEncodingSteps",
    ),
    "ParallelReductionFactorInPlane": Fact(
        ("ParallelReductionFactorInPlane", _SIEMENS_ACCELERATION), _acceleration
    ),
    **_named_alike(_number, "ParallelReductionFactorOutOfPlane"),
    **_named_alike(_number, "AcquisitionDuration", "NumberOfKSpaceTrajectories"),
    **_facts(_is_used, MTState="MagnetizationTransfer", SpoilingState="Spoiling"),
    **_facts(_is_undistorted, NonlinearGradientCorrection="ImageType"),
    **_facts(_phase_axis, InPlanePhaseEncodingDirectionDICOM="InPlanePhaseEncodingDirection"),
    **_facts(_siemens_dwell, DwellTime=(0x00191018, 0x00211142)),
    **_facts(_private, WaterFatShift=0x20011022),
    "DiffusionBValue": Fact(
        ("DiffusionBValue", "MRDiffusionSequence", 0x0019100C, 0x20011003, 0x00431039, 0x00651009),
        _b_value,
    ),
}
_XRAY = {
    **_named_alike(_word, "ConvolutionKernel", "FilterType", "ViewPosition", "ImageLaterality"),
    **_named_alike(_number, "KVP", "XRayTubeCurrent", "GantryDetectorTilt", "CTDIvol"),
    **_named_alike(_number, "ReconstructionDiameter", "SpiralPitchFactor"),
    **_facts(_number, XRayExposure="Exposure"),
    **_facts(_seconds, ExposureTime="ExposureTime"),
}
_RADIOPHARMACEUTICAL = "RadiopharmaceuticalInformationSequence"
_NUCLEAR = {
    **_named_alike(_word, "Units", "RescaleType", "DecayCorrection", "AttenuationCorrectionMethod"),
    **_named_alike(_word, "RandomsCorrectionMethod", "ScatterCorrectionMethod"),
    **_facts(_word, ReconMethodName="ReconstructionMethod"),
    **_facts(_words, CorrectedImage="CorrectedImage"),
    **_facts(_megabecquerel, InjectedRadioactivity=_RADIOPHARMACEUTICAL),
    **_facts(_dose_unit, InjectedRadioactivityUnits=_RADIOPHARMACEUTICAL),
    **_facts(_half_life, RadionuclideHalfLife=_RADIOPHARMACEUTICAL),
    **_named_alike(_number, "DoseCalibrationFactor"),
}
FACTS: Mapping[str, Fact] = MappingProxyType({**_GENERAL, **_RESONANCE, **_XRAY, **_NUCLEAR})
"""By name, in the order of a sidecar."""


def seconds_of_day(header: Dataset, keyword: str) -> float | None:
    """The time of day of a TM or DT element."""
    found = clock(header, keyword)
    if found is None:
        return None
    hours, minutes, seconds = map(float, found.split(":"))
    return (hours * 60 + minutes) * 60 + seconds
