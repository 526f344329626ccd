"""Previews: window, polarity, aspect, colour, size.

Not covered: whether a picture pleases; that was looked at.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from processor.job import run_job
from processor.preview import render, window_of

RAMP = np.tile(np.arange(0, 4000, 20, dtype=np.uint16), (100, 1))


@pytest.fixture
def ramp(instance):
    def make(**elements):
        return instance(**{"pixels": RAMP, "PixelSpacing": [1, 1], **elements})

    return make


def shown(ds):
    return np.asarray(render(ds, RAMP, 896))


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


def test_the_aspect_of_the_pixels_is_kept(ramp):
    assert render(ramp(PixelSpacing=[2, 1]), RAMP, 896).size == (200, 200)


def test_the_longer_side_is_fitted_and_small_pictures_stay_small(ramp):
    assert render(ramp(), RAMP, 100).size == (100, 50)
    assert render(ramp(), RAMP, 896).size == (200, 100)


@pytest.mark.parametrize("name", ["SC_rgb_rle.dcm", "examples_palette.dcm", "SC_rgb_rle_16bit.dcm"])
def test_colour_is_shown_in_colour(name):
    ds = dcmread(get_testdata_file(name))
    picture = np.asarray(render(ds, ds.pixel_array, 896)).astype(int)
    assert picture.shape[2] == 3
    assert np.ptp(picture, axis=2).max() > 50


def test_the_middle_slice_is_drawn(job, stack):
    slices = stack(5)
    request = job(slices, "preview")
    result = run_job(request)
    assert result.steps[0].details["instance"] == slices[2].SOPInstanceUID
    with Image.open(request.results / result.folder / "preview.png") as picture:
        # Columns are 0.5 mm, rows 2 mm: 5 columns and 6 rows of 4 pixels each.
        assert picture.size == (5, 24)


def test_an_object_without_pixels_has_no_preview_and_says_why(job):
    step = run_job(job([Path(get_testdata_file("reportsi.dcm"))], "preview")).steps[0]
    assert step.state == "refused"
    assert "no pixel data (Basic Text SR Storage)" in step.summary
