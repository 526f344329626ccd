"""Series with the faults that converters stumble over, built in code; their pixels are noise.

Noise, since every frame must be told from every other one.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

_SLICES = 8
_ROWS, _COLUMNS = 24, 20


def _instance(number: int, sop_class_uid: UID, modality: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, f"2.25.{10**20 + number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.201", "2.25.202"
    dataset.FrameOfReferenceUID, dataset.StudyID = "2.25.203", "1"
    dataset.Modality, dataset.Manufacturer = modality, "SIEMENS"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.AcquisitionNumber = 1, number, 1
    dataset.SeriesDescription, dataset.PatientPosition = "fault", "HFS"
    dataset.PatientID, dataset.PatientName = "FAULT", "Fault"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20260105"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = "101530"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = _ROWS, _COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    noise = np.random.default_rng(number).integers(0, 4096, (_ROWS, _COLUMNS), np.uint16)
    dataset.PixelData = noise.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _placed(dataset: Dataset, position: Sequence[float], orientation: Sequence[float]) -> Dataset:
    dataset.ImagePositionPatient = [round(value, 6) for value in position]
    dataset.ImageOrientationPatient = [round(value, 9) for value in orientation]
    dataset.PixelSpacing, dataset.SliceThickness = [1.5, 1.25], 2
    dataset.SliceLocation = round(position[2], 6)
    return dataset


def _ct(number: int, z: float, *, y: float = -18.0, tilt_degrees: float = 0.0) -> Dataset:
    dataset = _instance(number, CTImageStorage, "CT")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP, dataset.ConvolutionKernel, dataset.GantryDetectorTilt = 120, "B30f", tilt_degrees
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    angle = np.radians(tilt_degrees)
    orientation = (1, 0, 0, 0, float(np.cos(angle)), float(-np.sin(angle)))
    return _placed(dataset, (-12.0, y, z), orientation)


def regular() -> list[Dataset]:
    """Eight slices, as they should be."""
    return [_ct(k + 1, 2.0 * k) for k in range(_SLICES)]


def missing_slice() -> list[Dataset]:
    """Eight slices of which the fifth was never sent."""
    return [dataset for dataset in regular() if dataset.InstanceNumber != 5]


def number_not_spatial() -> list[Dataset]:
    """InstanceNumber in the order of a bit reversal, as after a reconstruction in parts."""
    numbers = (1, 5, 3, 7, 2, 6, 4, 8)
    return [_ct(number, 2.0 * k) for k, number in enumerate(numbers)]


def duplicate_position() -> list[Dataset]:
    """Eight slices, and another image at the place of the fourth."""
    return [*regular(), _ct(9, 6.0)]


def sent_twice() -> list[Dataset]:
    """Eight slices, one of them again under another SOP Instance UID."""
    copy = _ct(4, 6.0)
    copy.SOPInstanceUID, copy.InstanceNumber = "2.25.299", 9
    return [*regular(), copy]


def tilted() -> list[Dataset]:
    """A gantry tilted by 15 degrees: the table moves along z, slices 2 mm apart on it."""
    return [_ct(k + 1, 2.0 * k, tilt_degrees=15.0) for k in range(_SLICES)]


def uneven_dynamics() -> list[Dataset]:
    """Three times eight slices, of which the last was never sent."""
    return [
        _mr(8 * t + k + 1, 2.0 * k, t) for t in range(3) for k in range(_SLICES) if (t, k) != (2, 7)
    ]


def _mr(number: int, z: float, time: int) -> Dataset:
    dataset = _instance(number, MRImageStorage, "MR")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.ScanningSequence, dataset.SequenceVariant = "GR", "SP"
    dataset.MRAcquisitionType, dataset.SequenceName = "2D", "fl2d1"
    dataset.RepetitionTime, dataset.EchoTime, dataset.FlipAngle = 100, 2.5, 20
    dataset.EchoNumbers, dataset.MagneticFieldStrength = 1, 3
    dataset.AcquisitionNumber = dataset.TemporalPositionIdentifier = time + 1
    dataset.NumberOfTemporalPositions = 3
    dataset.AcquisitionTime = dataset.ContentTime = f"1015{30 + 5 * time}"
    return _placed(dataset, (-12.0, -18.0, z), (1, 0, 0, 0, 1, 0))


def monochrome1() -> list[Dataset]:
    """A projection in MONOCHROME1 that tells only the spacing at the detector."""
    dataset = _instance(1, DigitalXRayImageStorageForPresentation, "DX")
    dataset.ImageType, dataset.PhotometricInterpretation = ["DERIVED", "PRIMARY"], "MONOCHROME1"
    dataset.ImagerPixelSpacing, dataset.PixelIntensityRelationshipSign = [0.15, 0.14], 1
    dataset.PresentationLUTShape = "INVERSE"
    del dataset.FrameOfReferenceUID
    return [dataset]


FAULTS: Mapping[str, Callable[[], list[Dataset]]] = {
    "none: a regular CT": regular,
    "a slice missing": missing_slice,
    "InstanceNumber not spatial": number_not_spatial,
    "two images at one position": duplicate_position,
    "a slice sent twice": sent_twice,
    "gantry tilted by 15 degrees": tilted,
    "dynamics with 23 of 24 slices": uneven_dynamics,
    "MONOCHROME1 with ImagerPixelSpacing": monochrome1,
}
"""What each is called in the table, and what builds it."""


def write(datasets: Sequence[Dataset], folder: Path) -> list[Path]:
    """Write instances as Part 10 files, named by their order."""
    folder.mkdir(parents=True)
    paths = []
    for number, dataset in enumerate(datasets):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{number:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
