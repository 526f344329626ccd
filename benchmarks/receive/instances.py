"""The instances that are sent: CT, MR and DX of the usual sizes, with pixels of random bytes."""

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
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
from pynetdicom.dsutils import encode

UID_LENGTH = 44
# Stand where the real UIDs will be patched in: as long, and nowhere else in an instance.
STUDY = f"2.25.{10**38 + 1}"
SERIES = f"2.25.{10**38 + 2}"
INSTANCE = f"2.25.{10**38 + 3}"


@dataclass(frozen=True)
class Kind:
    """A kind of instance: one frame of 16-bit pixels."""

    modality: str
    sop_class_uid: str
    rows: int
    columns: int


CT = Kind("CT", CTImageStorage, 512, 512)
MR = Kind("MR", MRImageStorage, 256, 256)
DX = Kind("DX", DigitalXRayImageStorageForPresentation, 2800, 2800)
KINDS = {kind.modality: kind for kind in (CT, MR, DX)}


@dataclass(frozen=True)
class Series:
    """Where the instances of one association of one round belong.

    Attributes
    ----------
    first
        The number their SOP Instance UIDs begin with; each has the same length.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    first: int

    @classmethod
    def new(cls) -> "Series":
        """A series that nobody has seen before."""
        # 39 digits, and room to count on.
        study, series, first = (10**38 + secrets.randbelow(10**38) for _ in range(3))
        return cls(f"2.25.{study}", f"2.25.{series}", first)

    def instance_uids(self, count: int) -> Iterator[str]:
        """The SOP Instance UIDs of `count` instances."""
        return (f"2.25.{number}" for number in itertools.islice(itertools.count(self.first), count))


@cache
def encoded(kind: Kind) -> bytes:
    """An instance in Explicit VR Little Endian, with the placeholders as its UIDs."""
    dataset = encode(_dataset(kind), is_implicit_vr=False, is_little_endian=True)
    if dataset is None:
        raise ValueError(f"{kind.modality}: the instance cannot be encoded")
    return dataset


def encoded_as(kind: Kind, series: Series, sop_instance_uid: str) -> bytes:
    """The instance as a receiver must have stored it: the dataset with its real UIDs."""
    return (
        encoded(kind)
        .replace(STUDY.encode(), series.StudyInstanceUID.encode())
        .replace(SERIES.encode(), series.SeriesInstanceUID.encode())
        .replace(INSTANCE.encode(), sop_instance_uid.encode())
    )


def write_files(kind: Kind, folder: Path, count: int, accession: str = "BENCH0001") -> Series:
    """Write `count` instances of one new series, which is returned, as Part 10 files."""
    folder.mkdir(parents=True)
    series = Series.new()
    dataset = _dataset(kind)
    dataset.AccessionNumber = accession
    dataset.StudyInstanceUID = series.StudyInstanceUID
    dataset.SeriesInstanceUID = series.SeriesInstanceUID
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for uid in map(UID, series.instance_uids(count)):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.save_as(folder / f"{uid}.dcm", enforce_file_format=True)
    return series


def _dataset(kind: Kind) -> Dataset:
    dataset = Dataset()
    dataset.update(_general(kind))
    dataset.update(_plane(kind))
    # Random, so that nothing can be gained by noticing what the pixels are.
    dataset.PixelData = np.random.default_rng(0).bytes(kind.rows * kind.columns * 2)
    dataset["PixelData"].VR = "OW"
    return dataset


def _general(kind: Kind) -> Dataset:
    """Patient, study, series and equipment (PS3.3 C.7.1 to C.7.5)."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind.sop_class_uid, INSTANCE
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20260105"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = "101530.120"
    dataset.AccessionNumber, dataset.StudyID = "BENCH0001", "1"
    dataset.Modality, dataset.Manufacturer = kind.modality, "Benchmark"
    dataset.InstitutionName, dataset.StationName = "Benchmark Hospital", "STATION1"
    dataset.StudyDescription, dataset.SeriesDescription = "Benchmark", f"{kind.modality} series"
    dataset.PatientName, dataset.PatientID = "Benchmark^Patient", "BENCH"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
    dataset.ProtocolName, dataset.PatientPosition = "Benchmark protocol", "HFS"
    dataset.SeriesNumber = dataset.AcquisitionNumber = dataset.InstanceNumber = 1
    procedure = Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator = "P1", "99BENCH"
    procedure.CodeMeaning = "Benchmark procedure"
    dataset.ProcedureCodeSequence = [procedure]
    return dataset


def _plane(kind: Kind) -> Dataset:
    """Image plane and image pixel (PS3.3 C.7.6.2 and C.7.6.3)."""
    dataset = Dataset()
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-180, -180, 0]
    dataset.FrameOfReferenceUID = f"2.25.{10**38 + 4}"
    dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.7], 2
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = kind.rows, kind.columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
    return dataset
