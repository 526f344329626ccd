"""The series that are converted: a CT, an MR and the CT in JPEG 2000, with noise over ellipses.

The noise decides how well a series can be compressed: it is that of usual doses and field
strengths, and the air around a patient has it as well.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)

Image = NDArray[np.uint16]

_PRIVATE_ELEMENTS = 40


@dataclass(frozen=True)
class Kind:
    """A series: its size, its pixels and how they are encoded."""

    name: str
    modality: str
    sop_class_uid: UID
    slices: int
    side: int
    image: Callable[[int, "Kind"], Image]
    transfer_syntax_uid: UID = ExplicitVRLittleEndian

    @property
    def megabytes(self) -> float:
        """Of the decoded pixels."""
        return self.slices * self.side**2 * 2 / 1e6


def _ct(number: int, kind: Kind) -> Image:
    """Stored values are HU + 1024: a body with lungs and spine in air, a reconstruction circle."""
    rng = np.random.default_rng(number)
    along = number / kind.slices
    grid = _grid(kind.side)
    image = np.full((kind.side, kind.side), 24.0)
    image[_ellipse(grid, 0, 0.1, 0.75, 0.55)] = 1080
    for sign in (-1, 1):
        lung = _ellipse(grid, sign * 0.35, 0.05, 0.25 * (1 - along / 2), 0.35)
        image[lung] = 180 + 60 * _texture(grid, number)[lung]
    image[_ellipse(grid, 0, 0.45, 0.1, 0.1)] = 1500
    image[_ellipse(grid, 0.1, -0.1, 0.15, 0.2)] = 1180
    noise = rng.normal(0, 14, image.shape)
    noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 1.7
    values = np.clip(image + noise, 0, 4095)
    values[grid[0] ** 2 + grid[1] ** 2 > 1] = 0
    return values.astype(np.uint16)


def _mr(number: int, kind: Kind) -> Image:
    """A head with Rician noise, which the background has too."""
    rng = np.random.default_rng(number)
    grid = _grid(kind.side)
    image = np.zeros((kind.side, kind.side))
    size = 0.6 + 0.3 * np.sin(np.pi * number / kind.slices)
    image[_ellipse(grid, 0, 0, 0.8 * size, size)] = 700
    image[_ellipse(grid, 0, 0, 0.7 * size, 0.9 * size)] = 300
    brain = _ellipse(grid, 0, 0, 0.65 * size, 0.82 * size)
    image[brain] = 420 + 120 * _texture(grid, number)[brain]
    image[_ellipse(grid, 0, 0.05, 0.12, 0.2)] = 900
    real, imaginary = rng.normal(0, 12, (2, *image.shape))
    return np.asarray(np.clip(np.hypot(image + real, imaginary), 0, 4095), dtype=np.uint16)


def _grid(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns from -1 to 1."""
    line = np.linspace(-1, 1, side)
    return line[:, np.newaxis], line[np.newaxis, :]


def _ellipse(
    grid: tuple[NDArray[np.float64], NDArray[np.float64]],
    column: float,
    row: float,
    width: float,
    height: float,
) -> NDArray[np.bool_]:
    rows, columns = grid
    return np.asarray(((columns - column) / width) ** 2 + ((rows - row) / height) ** 2 <= 1)


def _texture(
    grid: tuple[NDArray[np.float64], NDArray[np.float64]], number: int
) -> NDArray[np.float64]:
    rows, columns = grid
    return np.asarray(np.sin(23 * columns + number / 9) * np.cos(19 * rows - number / 7))


CT = Kind("CT", "CT", CTImageStorage, 400, 512, _ct)
MR = Kind("MR", "MR", MRImageStorage, 1000, 256, _mr)
CT_JPEG2000 = Kind("CT JPEG 2000", "CT", CTImageStorage, 400, 512, _ct, JPEG2000Lossless)
KINDS = (CT, MR, CT_JPEG2000)


def write_series(kind: Kind, folder: Path, slices: int = 0) -> Path:
    """Write the files of a series, or its first `slices`; nothing where they are there already."""
    place = folder / kind.name.replace(" ", "-")
    count = slices or kind.slices
    if len(list(place.glob("*.dcm"))) == count:
        return place
    place.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(_write, [kind] * count, range(count), [place] * count, chunksize=8))
    return place


def _write(kind: Kind, number: int, place: Path) -> None:
    write_slice(kind, number, place, kind.image(number, kind))


def write_slice(kind: Kind, number: int, place: Path, image: Image) -> None:
    """Write one instance of a series, with the pixels given."""
    dataset = Dataset()
    for part in (_general(kind, number), _plane(kind, number), _private()):
        dataset.update(part)
    dataset.PixelData = image.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if kind.transfer_syntax_uid != ExplicitVRLittleEndian:
        dataset.compress(kind.transfer_syntax_uid, generate_instance_uid=False)
    dataset.save_as(place / f"{dataset.SOPInstanceUID}.dcm", enforce_file_format=True)


def _general(kind: Kind, number: int) -> Dataset:
    """Patient, study, series, equipment and acquisition: about 60 elements, as scanners write."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind.sop_class_uid, f"2.25.{10**30 + number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.101", "2.25.102"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20260105"
    dataset.ContentDate, dataset.ContentTime = "20260105", f"1015{number % 60:02d}.120"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = "101530.120"
    dataset.AccessionNumber, dataset.StudyID = "BENCH0001", "1"
    dataset.Modality, dataset.Manufacturer = kind.modality, "Benchmark"
    dataset.ManufacturerModelName, dataset.SoftwareVersions = "Model 1", ["1.0", "2.0"]
    dataset.InstitutionName, dataset.StationName = "Benchmark Hospital", "STATION1"
    dataset.StudyDescription, dataset.SeriesDescription = "Benchmark", f"{kind.modality} series"
    dataset.PatientName, dataset.PatientID = "Benchmark^Patient", "BENCH"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19700101", "O", "056Y"
    dataset.ProtocolName, dataset.PatientPosition = "Benchmark protocol", "HFS"
    dataset.SeriesNumber = dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = number + 1
    dataset.update(_acquisition(kind))
    procedure = Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator = "P1", "99BENCH"
    procedure.CodeMeaning = "Benchmark procedure"
    dataset.ProcedureCodeSequence = [procedure]
    return dataset


def _acquisition(kind: Kind) -> Dataset:
    dataset = Dataset()
    dataset.BodyPartExamined, dataset.DeviceSerialNumber = "CHEST", "12345"
    if kind.modality == "MR":
        dataset.ScanningSequence, dataset.SequenceVariant = "SE", "SK"
        dataset.MRAcquisitionType, dataset.SequenceName = "2D", "tse2d1"
        dataset.RepetitionTime, dataset.EchoTime, dataset.FlipAngle = 500, 12, 90
        dataset.MagneticFieldStrength, dataset.ImagingFrequency = 3, 123.2
        dataset.EchoTrainLength, dataset.NumberOfAverages, dataset.PixelBandwidth = 3, 1, 200
    else:
        dataset.KVP, dataset.XRayTubeCurrent, dataset.Exposure = 120, 200, 100
        dataset.ConvolutionKernel, dataset.GantryDetectorTilt = "B30f", 0
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
        dataset.DataCollectionDiameter = dataset.ReconstructionDiameter = 500
    return dataset


def _plane(kind: Kind, number: int) -> Dataset:
    """Image plane and image pixel (PS3.3 C.7.6.2 and C.7.6.3)."""
    dataset = Dataset()
    spacing, half = 400 / kind.side, 200.0
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-half, -half, float(number)]
    dataset.SliceLocation, dataset.SliceThickness = float(number), 1
    dataset.FrameOfReferenceUID = "2.25.103"
    dataset.PixelSpacing = [spacing, spacing]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = kind.side
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    return dataset


def _private() -> Dataset:
    dataset = Dataset()
    block = dataset.private_block(0x0029, "BENCHMARK", create=True)
    for element in range(_PRIVATE_ELEMENTS):
        block.add_new(element, "LO", f"private value {element}")
    return dataset
