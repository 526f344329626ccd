"""The JSON sidecar beside a NIfTI, in BIDS terms where they exist. It names no patient.

Times are in seconds, where DICOM has milliseconds. Free text beyond the series description and
the protocol name is left out: people write names into comments.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pydicom.dataset import Dataset

from processor.diffusion import b_value_of
from processor.headers import image_types, number, text

_TEXTS = MappingProxyType(
    {
        "Modality": "Modality",
        "Manufacturer": "Manufacturer",
        "ManufacturersModelName": "ManufacturerModelName",
        "SoftwareVersions": "SoftwareVersions",
        "BodyPartExamined": "BodyPartExamined",
        "PatientPosition": "PatientPosition",
        "SeriesDescription": "SeriesDescription",
        "ProtocolName": "ProtocolName",
        "ScanningSequence": "ScanningSequence",
        "SequenceVariant": "SequenceVariant",
        "ScanOptions": "ScanOptions",
        "SequenceName": "SequenceName",
        "MRAcquisitionType": "MRAcquisitionType",
        "ConvolutionKernel": "ConvolutionKernel",
        "ViewPosition": "ViewPosition",
        "ImageLaterality": "ImageLaterality",
        "Units": "Units",
        "RescaleType": "RescaleType",
    }
)
_NUMBERS = MappingProxyType(
    {
        "MagneticFieldStrength": "MagneticFieldStrength",
        "ImagingFrequency": "ImagingFrequency",
        "SeriesNumber": "SeriesNumber",
        "AcquisitionNumber": "AcquisitionNumber",
        "SliceThickness": "SliceThickness",
        "SpacingBetweenSlices": "SpacingBetweenSlices",
        "SAR": "SAR",
        "NumberOfAverages": "NumberOfAverages",
        "EchoTrainLength": "EchoTrainLength",
        "FlipAngle": "FlipAngle",
        "PixelBandwidth": "PixelBandwidth",
        "KVP": "KVP",
        "XRayTubeCurrent": "XRayTubeCurrent",
        "XRayExposure": "Exposure",
    }
)
_MILLISECONDS = MappingProxyType(
    {
        "EchoTime": "EchoTime",
        "RepetitionTime": "RepetitionTime",
        "InversionTime": "InversionTime",
        "ExposureTime": "ExposureTime",
    }
)


def sidecar(header: Dataset, ours: Mapping[str, object]) -> dict[str, object]:
    """The sidecar's content: acquisition facts from one header, then `ours`.

    >>> header = Dataset()
    >>> header.EchoTime = 30
    >>> sidecar(header, {})
    {'EchoTime': 0.03}
    """
    content: dict[str, object] = {}
    for name, keyword in _TEXTS.items():
        content[name] = text(header, keyword) or None
    for name, keyword in _NUMBERS.items():
        content[name] = number(header, keyword)
    for name, keyword in _MILLISECONDS.items():
        milliseconds = number(header, keyword)
        content[name] = None if milliseconds is None else round(milliseconds / 1000, 9)
    content["ImageType"] = list(image_types(header)) or None
    content["DiffusionBValue"] = b_value_of(header)
    return {name: value for name, value in content.items() if value is not None} | dict(ours)


def write_sidecar(path: Path, content: Mapping[str, object]) -> None:
    """Write a sidecar as indented UTF-8 JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
