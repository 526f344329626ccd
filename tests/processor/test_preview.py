"""Previews: window, polarity, aspect, colour, size, planes and their letters, sheets.

Not covered: whether a picture pleases; that was looked at.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from processor.errors import PixelDataError
from processor.job import run_job
from processor.picture import aspect_of, fitted, image_of
from processor.planes import hung, letters_of
from processor.preview import draw
from processor.settings import ProcessorSettings
from processor.source import SeriesSource
from processor.windowing import window_of

RAMP = np.tile(np.arange(0, 4000, 20, dtype=np.uint16), (100, 1))


@pytest.fixture
def ramp(instance):
    def make(**elements):
        return instance(**{"pixels": RAMP, "PixelSpacing": [1, 1], **elements})

    return make


def shown(ds):
    return image_of(ds, RAMP)


def test_the_window_of_the_header_is_used(ramp):
    picture = shown(ramp(WindowCenter=2000, WindowWidth=1000))
    assert (picture[0, 70], picture[0, 130]) == (0, 255)
    assert 120 < picture[0, 100] < 135


def test_monochrome1_is_shown_inverted(ramp):
    picture = shown(ramp(PhotometricInterpretation="MONOCHROME1"))
    assert picture[0, 0] > 250
    assert picture[0, -1] < 5


def test_the_window_refers_to_values_after_rescale(ramp):
    ds = ramp(RescaleSlope=1, RescaleIntercept=-1000, WindowCenter=1000, WindowWidth=100)
    picture = shown(ds)
    assert (picture[0, 90], picture[0, 110]) == (0, 255)


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 9000, "WindowWidth": 10},
        {"Modality": "DX", "WindowCenter": 300, "WindowWidth": 200},
        {"WindowCenter": 2000, "WindowWidth": 0},
    ],
)
def test_a_window_not_to_be_trusted_gives_way_to_percentiles(ramp, elements):
    ds = ramp(**elements)
    low, high = window_of(ds, RAMP, np.ones(RAMP.shape, bool))
    assert (low, high) == tuple(np.percentile(RAMP, (1, 99)))


@pytest.mark.parametrize("spikes", [0, 30])
def test_a_few_bright_pixels_do_not_darken_an_mr_image(ramp, spikes):
    rng = np.random.default_rng(1)
    image = np.where(RAMP < 2000, 20, 800) + rng.integers(0, 40, RAMP.shape)
    image[5, :spikes] = 30_000
    low, high = window_of(ramp(Modality="MR"), image, np.ones(image.shape, bool))
    assert 15 < low < 30
    assert 800 < high < 900


def test_a_window_that_leaves_an_mr_image_in_the_dark_is_not_trusted(ramp):
    image = np.where(RAMP < 2000, 20, 800)
    dark = ramp(Modality="MR", WindowCenter=5000, WindowWidth=10_000)
    assert window_of(dark, image, np.ones(image.shape, bool))[1] == 800
    good = ramp(Modality="MR", WindowCenter=450, WindowWidth=901)
    assert window_of(good, image, np.ones(image.shape, bool)) == (-0.5, 899.5)


@pytest.mark.parametrize(
    ("spacing", "box", "size"),
    [
        ([1, 1], 100, (100, 50)),
        ([2, 1], 100, (100, 100)),
        ([1, 2], 100, (100, 25)),
        ([1, 1], 896, (800, 400)),  # enlarged at most four times
    ],
)
def test_a_picture_keeps_its_aspect_and_fits(ramp, spacing, box, size):
    ds = ramp(PixelSpacing=spacing)
    assert fitted(image_of(ds, RAMP), aspect_of(ds), box, box).size == size


@pytest.mark.parametrize("name", ["SC_rgb_rle.dcm", "examples_palette.dcm", "SC_rgb_rle_16bit.dcm"])
def test_colour_is_shown_in_colour(name):
    ds = dcmread(get_testdata_file(name))
    picture = image_of(ds, ds.pixel_array).astype(int)
    assert picture.shape[2] == 3
    assert np.ptp(picture, axis=2).max() > 50


@pytest.mark.parametrize(
    ("direction", "letters"),
    [((1, 0, 0), "L"), ((0, 0, -2), "F"), ((0, -1, 0), "A"), ((0, 0.8, 0.6), "PH")],
)
def test_a_direction_has_its_letters(direction, letters):
    assert letters_of(np.array(direction, float)) == letters


@pytest.mark.parametrize(
    ("right", "down", "corner", "edges"),
    [
        # How rows and columns run; where pixel (0, 0) hangs; left, right, top, bottom.
        ((1, 0, 0), (0, 1, 0), (0, 0), "RLAP"),
        ((-1, 0, 0), (0, 1, 0), (0, -1), "RLAP"),
        ((0, -1, 0), (1, 0, 0), (-1, 0), "RLAP"),
        ((1, 0, 0), (0, 0, 1), (-1, 0), "RLHF"),
        ((0, 1, 0), (0, 0, -1), (0, 0), "APHF"),
        ((0, -1, 0), (0, 0, 1), (-1, -1), "APHF"),
    ],
)
def test_every_plane_hangs_as_radiologists_hang_it(right, down, corner, edges):
    image = np.zeros((4, 6))
    image[0, 0] = 9
    found = hung(image, np.array(right, float), 2 * np.array(down, float))
    assert found.values[corner] == 9
    assert "".join(found.letters[side] for side in ("left", "right", "top", "bottom")) == edges
    assert found.aspect in (2.0, 0.5)


def volume(stack, count=40, **elements):
    """Axial slices of 2 mm; bright are the head end, the patient's right and the back."""
    slices = stack(count, Modality="CT", **elements)
    for k, ds in enumerate(slices):
        image = np.zeros((64, 64), np.uint16)
        image[:, :8] += 300
        image[-8:] += 300
        image += np.uint16(600 if k >= count - 5 else 0)
        ds.Rows = ds.Columns = 64
        ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept = [1, 1], 1, 0
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [0, 0, 2 * k]
        ds.PixelData = image.tobytes()
    return slices


def test_a_volume_is_shown_in_three_planes(job, stack):
    request = job(volume(stack), "preview", settings=ProcessorSettings(preview_size=600))
    result = run_job(request)
    assert result.steps[0].details["shows"] == "three planes"
    with Image.open(request.results / result.folder / "preview.png") as picture:
        image = np.asarray(picture)
    # Axial 256 x 256 at the left; coronal and sagittal at its right: 64 x 80 mm.
    axial, across = image[:, :256], image[:, 260:]
    assert max(image.shape) <= 600
    rows = np.flatnonzero(axial.any(axis=1))
    axial = axial[rows[0] : rows[-1] + 1]
    assert axial[40:200, 2].mean() > axial[40:200, -3].mean() + 50  # right at the left
    assert axial[-4, 60:200].mean() > axial[100, 60:110].mean() + 50  # back at the bottom
    coronal = across[: across.shape[0] // 2 - 2]
    rows = np.flatnonzero(coronal.max(axis=1) > 60)
    top, bottom = coronal[rows[0] + 2], coronal[rows[-1] - 2]
    assert top.mean() > bottom.mean() + 50  # the head end on top


def test_a_time_series_is_a_sheet_of_its_volumes(job, stack):
    slices = []
    for moment in range(20):
        part = volume(stack, 3, TemporalPositionIdentifier=moment + 1)
        for ds in part:
            ds.SeriesInstanceUID = "1.2.3.77"
            ds.SOPInstanceUID = f"1.2.3.77.{len(slices) + 1}"
            ds.InstanceNumber = len(slices) + 1
            slices.append(ds)
    step = run_job(job(slices, "preview")).steps[0]
    assert step.details["shows"] == "16 of 20 volumes"


def test_a_localizer_shows_one_slice_of_each_orientation(job, stack):
    slices = volume(stack, 3)
    turned = [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]]
    for ds, orientation in zip(slices, turned, strict=True):
        ds.ImageOrientationPatient, ds.ImagePositionPatient = orientation, [0, 0, 0]
    assert run_job(job(slices, "preview")).steps[0].details["shows"] == "all images"


def test_a_radiograph_has_the_letters_of_its_header_only(instance, job):
    image = np.tile(np.arange(256, dtype=np.uint16) * 10, (256, 1))
    told = instance(Modality="DX", pixels=image, PixelSpacing=[1, 1], PatientOrientation=["L", "F"])
    plain = instance(Modality="DX", pixels=image, PixelSpacing=[1, 1])
    pictures = [
        np.asarray(draw(SeriesSource(job([ds], "preview").files), 256).picture)
        for ds in (told, plain)
    ]
    differ = np.argwhere(pictures[0] != pictures[1])
    assert 0 < len(differ) < 3000
    assert (pictures[1] == image_of(plain, image)).all()


def test_what_is_no_volume_shows_its_middle_image(job, stack):
    slices = volume(stack, 5)
    for ds, z in zip(slices, [0, 2, 4, 11, 19], strict=True):
        ds.ImagePositionPatient = [0, 0, z]
    step = run_job(job(slices, "preview")).steps[0]
    assert step.details["shows"] == "one image"


def test_an_image_that_cannot_be_decoded_is_left_out_of_the_sheet(instance, job):
    image = np.tile(np.arange(64, dtype=np.uint16) * 10, (64, 1))
    series = [instance(Modality="DX", pixels=image, InstanceNumber=n + 1) for n in range(3)]
    for ds in series:
        del ds.ImagePositionPatient
    series[0].PixelData = series[0].PixelData[:100]
    step = run_job(job(series, "preview")).steps[0]
    assert (step.state, step.details["shows"]) == ("done", "2 of 3 images")
    for ds in series[1:]:
        ds.PixelData = ds.PixelData[:100]
    with pytest.raises(PixelDataError, match="truncated"):
        draw(SeriesSource(job(series, "preview").files), 256)


def test_an_object_without_pixels_has_no_preview_and_says_why(job):
    step = run_job(job([Path(get_testdata_file("reportsi.dcm"))], "preview")).steps[0]
    assert step.state == "refused"
    assert "no pixel data (Basic Text SR Storage)" in step.summary
