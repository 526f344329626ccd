"""Conversion of series built in code: what is written, and what is refused for which reason.

Not covered: equality with dcm2niix, which is tested on real scans.
"""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEG2000Lossless, SegmentationStorage

from processor.errors import OptionError
from processor.job import run_job
from processor.registry import PROCESSORS


def convert(request):
    result = run_job(request)
    return result.steps[0], request.results / result.folder


def load(folder):
    return nib.load(next(folder.glob("*.nii.gz")))


def test_a_stack_becomes_a_verified_nifti_with_rows_from_the_bottom(job, stack):
    step, folder = convert(job(stack(4), "convert"))
    assert step.summary == "nifti ok (4/4 frames verified)"
    image = load(folder)
    ramp = np.arange(30).reshape(6, 5)
    for k in range(4):
        np.testing.assert_array_equal(np.asarray(image.dataobj)[:, ::-1, k].T, ramp + 100 * k)
    # Voxel (0, 0, 0) is column 0 of row 5: LPS (10, 20 + 5 * 2, 0), RAS (-10, -30, 0).
    expected = [[-0.5, 0, 0, -10], [0, 2, 0, -30], [0, 0, 3, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(image.affine, expected)
    assert (image.header["qform_code"], image.header["sform_code"]) == (1, 1)


def test_a_constant_slope_keeps_the_stored_integers(job, stack):
    _, folder = convert(job(stack(3, RescaleSlope=2, RescaleIntercept=-1024), "convert"))
    image = load(folder)
    assert image.get_data_dtype() == np.uint16
    assert (image.dataobj.slope, image.dataobj.inter) == (2, -1024)
    assert image.get_fdata()[0, 5, 0] == -1024


def test_a_slope_that_varies_gives_real_values_as_float32(job, stack):
    series = stack(3, Modality="PT", RescaleIntercept=0)
    for k, ds in enumerate(series):
        ds.RescaleSlope = k + 1
    step, folder = convert(job(series, "convert"))
    assert step.state == "done"
    image = load(folder)
    assert image.get_data_dtype() == np.float32
    assert [image.get_fdata()[1, 5, k] for k in range(3)] == [1, 202, 603]


def test_the_sidecar_has_seconds_and_no_patient(job, stack):
    series = stack(2, Modality="MR", EchoTime=30, PatientName="Doe^Jane", PatientComments="Doe")
    _, folder = convert(job(series, "convert"))
    text = next(path for path in folder.glob("*.json") if path.name != "manifest.json").read_text()
    assert json.loads(text)["EchoTime"] == 0.03
    assert not any(secret in text for secret in ("Doe", "0042", "M22", "1.2.3"))


def test_a_radiograph_becomes_a_2d_image_without_anatomical_claim(job, instance):
    ds = instance(
        Modality="DX",
        ImageOrientationPatient=None,
        ImagePositionPatient=None,
        PixelSpacing=None,
        ImagerPixelSpacing=[0.2, 0.1],
    )
    step, folder = convert(job([ds], "convert"))
    assert step.summary == "2D nifti ok (1/1 images verified)"
    image = load(folder)
    assert image.shape == (5, 6, 1)
    assert (image.header["qform_code"], image.header["sform_code"]) == (0, 0)
    np.testing.assert_allclose(image.header.get_zooms()[:2], (0.1, 0.2))


def test_monochrome1_is_inverted_over_the_nominal_range_and_padding_stays_dark(job, instance):
    pixels = np.array([[0, 4095], [100, 63]], dtype=np.uint16)
    ds = instance(
        Modality="CR", PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=63, pixels=pixels
    )
    _, folder = convert(job([ds], "convert"))
    shown = np.asarray(load(folder).dataobj)[:, ::-1, 0].T
    np.testing.assert_array_equal(shown, [[4095, 0], [3995, 0]])


def test_monochrome1_in_hounsfield_units_is_left_alone_and_flagged(job, stack):
    step, folder = convert(job(stack(2, PhotometricInterpretation="MONOCHROME1"), "convert"))
    assert step.details["monochrome1_inverted"] is False
    assert load(folder).get_fdata()[4, 0, 0] == 29


def moved(stack, positions):
    series = stack(len(positions))
    for ds, z in zip(series, positions, strict=True):
        ds.ImagePositionPatient = [10, 20, z]
    return series


def truncated(stack):
    series = stack(3)
    series[1].PixelData = series[1].PixelData[:40]
    return series


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda s: moved(s, (0, 3, 3, 6)), "duplicate slice positions: 1 of 3 repeated with other"),
        (lambda s: moved(s, (0, 3, 7.5, 8)), "uneven slice spacing: 0.50 to 4.50 mm"),
        (
            lambda s: s(1, ImageType=["ORIGINAL", "PRIMARY", "MOSAIC"]),
            "a mosaic image without the Siemens header that describes it",
        ),
        (lambda s: s(1, NumberOfFrames=3), "3 of 3 images without position"),
        (truncated, "pixel data truncated: 40 of 60 bytes in instance"),
        (lambda s: s(2, ImagePositionPatient=None), "2 of 2 images without position"),
        (lambda s: s(1, SOPClassUID=SegmentationStorage), "no volume in this object: Segmentation"),
    ],
)
def test_what_is_no_volume_is_refused_with_the_true_reason(job, stack, make, reason):
    step, folder = convert(job(make(stack), "convert"))
    assert step.state == "refused"
    assert step.summary.startswith("cannot convert because: ")
    assert reason in step.summary
    assert not list(folder.glob("*.nii.gz"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("MR_truncated.dcm", "pixel data truncated: 8130 of 8192 bytes in instance 1.3.6"),
        ("reportsi.dcm", "no volume in this object: Basic Text SR Storage"),
        ("rtplan.dcm", "no volume in this object: RT Plan Storage"),
        ("rtdose.dcm", "no volume in this object: RT Dose Storage"),
        ("waveform_ecg.dcm", "no volume in this object: 12-lead ECG Waveform Storage"),
        ("JPEG-lossy.dcm", "cannot decode JPEG Extended (Process 2 and 4)"),
    ],
)
def test_files_of_other_makers_are_refused_with_the_true_reason(job, name, reason):
    step, _ = convert(job([Path(get_testdata_file(name))], "convert"))
    assert step.state == "refused"
    assert reason in step.summary


def test_one_bad_radiograph_costs_only_itself(job, instance):
    good, bad = instance(Modality="DX"), instance(Modality="DX", InstanceNumber=2)
    bad.PixelData = bad.PixelData[:10]
    step, _ = convert(job([good, bad], "convert"))
    assert step.state == "done"
    assert step.summary.startswith("2D nifti ok (1/2 images verified); 1 cannot convert because: ")


def test_bytes_that_are_no_dicom_are_a_finding(job, stack, tmp_path):
    path = tmp_path / "noise.dcm"
    path.write_bytes(b"not dicom at all")
    step, _ = convert(job([*stack(2), path], "convert"))
    assert step.summary == "cannot convert because: 1 of 3 files unreadable: not a DICOM file"


def test_compressed_pixels_that_are_cut_off_are_called_truncated(job, tmp_path):
    whole = Path(get_testdata_file("MR_small_jp2klossless.dcm")).read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(whole[: len(whole) - 2500])
    step, _ = convert(job([path], "convert"))
    assert step.state == "refused"
    assert "pixel data truncated in instance 1.3.6" in step.summary


def test_a_file_cut_off_in_its_pixels_still_has_its_metadata(job, tmp_path):
    whole = Path(get_testdata_file("MR_small_jp2klossless.dcm")).read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(whole[:-2500])
    request = job([path], "metadata")
    rows = json.loads((request.results / run_job(request).folder / "metadata.json").read_text())
    assert rows["DICOM_Metadata"][0]["Rows"] == 64


def test_damaged_compressed_pixels_name_their_transfer_syntax(job, tmp_path):
    whole = bytearray(Path(get_testdata_file("MR_small_jp2klossless.dcm")).read_bytes())
    start = whole.index(b"\xff\x4f\xff\x51")  # the start of the JPEG 2000 codestream
    whole[start : start + 200] = bytes(200)
    path = tmp_path / "damaged.dcm"
    path.write_bytes(whole)
    step, _ = convert(job([path], "convert"))
    assert f"cannot decode {JPEG2000Lossless.name}" in step.summary


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compresion": 3}, "convert: unknown option compresion (did you mean compression?)"),
        ({"compression": 12}, "expected a whole number from 0 to 9"),
        ({"compression": True}, "expected a whole number from 0 to 9"),
        ({"format": "mgz"}, 'option format = \'mgz\': expected "nifti" or "npz"'),
        ({"format": "npz", "engine": "dcm2niix"}, 'engine = "dcm2niix" writes format = "nifti"'),
    ],
)
def test_a_wrong_option_is_named_with_what_was_expected(options, message):
    with pytest.raises(OptionError) as error:
        PROCESSORS["convert"].check_options(options)
    assert message in str(error.value)
