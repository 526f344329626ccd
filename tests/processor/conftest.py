"""Series built in code and written as Part 10 files, and jobs to run on them."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from processor.job import job_key
from processor.model import JobRequest
from processor.settings import ProcessorSettings
from rules.model import Step

ROOT = Path(__file__).parents[2]


def build_instance(**elements: object) -> Dataset:
    """An axial CT slice, 6 rows and 5 columns; `pixels` replaces its ramp, None drops one."""
    pixels = elements.pop("pixels", None)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 7, 1
    ds.PatientID, ds.AccessionNumber, ds.StudyDate = "0042", "M22/042", "20240102"
    ds.SeriesDescription = "Routine Brain"
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    ds.PixelSpacing, ds.SliceThickness = [2, 0.5], 3
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    array = np.arange(30, dtype=np.uint16).reshape(6, 5) if pixels is None else np.asarray(pixels)
    ds.Rows, ds.Columns = array.shape[:2]
    ds.PixelData = array.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def build_stack(count: int, spacing: float = 3.0, **elements: object) -> list[Dataset]:
    """Axial slices that all differ, at z = 0, spacing, ..."""
    ramp = np.arange(30, dtype=np.uint16).reshape(6, 5)
    return [
        build_instance(
            **{
                "InstanceNumber": k + 1,
                "ImagePositionPatient": [10.0, 20.0, k * spacing],
                "pixels": ramp + 100 * k,
                **elements,
            }
        )
        for k in range(count)
    ]


def save(datasets: Sequence[Dataset], folder: Path) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for ds in datasets:
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{ds.SOPInstanceUID}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return tuple(paths)


def request_for(
    files: Sequence[Path],
    root: Path,
    names: Sequence[str] = ("convert", "qc", "preview", "metadata"),
    *,
    settings: ProcessorSettings | None = None,
    digest: str = "d",
) -> JobRequest:
    steps = tuple(Step(name, {}) for name in names)
    for folder in ("scratch", "results"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    return JobRequest(
        key=job_key("1.2.3.4", digest, "all", steps),
        study_uid="1.2.3",
        series_uid="1.2.3.4",
        revision=1,
        digest=digest,
        rule="all",
        steps=steps,
        files=tuple(files),
        facts={"grade": "released", "instances": len(files), "instances_expected": len(files)},
        scratch=root / "scratch",
        results=root / "results",
        settings=settings or ProcessorSettings(),
    )


@pytest.fixture
def instance() -> Callable[..., Dataset]:
    return build_instance


@pytest.fixture
def stack() -> Callable[..., list[Dataset]]:
    return build_stack


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., JobRequest]:
    """Write datasets (or take paths) and make a request of them."""

    def make(source: Sequence[Dataset | Path], *names: str, **more: object) -> JobRequest:
        paths = [item for item in source if isinstance(item, Path)]
        datasets = [item for item in source if isinstance(item, Dataset)]
        files = (*paths, *save(datasets, tmp_path / "spool"))
        chosen = names or ("convert", "qc", "preview", "metadata")
        return request_for(files, tmp_path, chosen, **more)

    return make


@pytest.fixture
def scans() -> Path:
    """The folder of real scans; the test is skipped where it is absent."""
    folder = Path(os.environ.get("SAFELIGHT_TEST_DATA", ROOT.parent / "shared" / "dicom"))
    if not folder.is_dir():
        pytest.skip("real scans are absent: set SAFELIGHT_TEST_DATA")
    return folder
