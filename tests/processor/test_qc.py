"""Quality control: the seed's checks on synthetic faults, series sampling, header checks.

Not covered: the measures by modality (test_measures.py).
"""

import numpy as np
import pytest

from processor.job import run_job
from processor.qc import judge_image
from processor.quality import sample_indices
from processor.regions import otsu_threshold, shutter_opening
from processor.settings import ProcessorSettings, QcSettings, QcThresholds

SETTINGS = QcSettings()


def phantom(rng, level=1000, noise=60):
    """A disc in air, as a stored CT or MR slice."""
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    body = np.where(x**2 + y**2 < 0.5, level + 300 * x, 20)
    return np.clip(body + rng.normal(0, noise / 4, body.shape), 0, 4095).astype(np.uint16)


@pytest.fixture
def judge(instance):
    def run(pixels, modality="CT", **elements):
        ds = instance(Modality=modality, pixels=pixels, **elements)
        return judge_image(ds, pixels, SETTINGS.thresholds_for(modality))

    return run


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_healthy_slice_is_normal(judge, modality):
    assert judge(phantom(np.random.default_rng(1)), modality).words == "Normal"


def test_a_slice_of_soft_tissue_with_little_bone_is_normal(judge):
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    radius = np.hypot(x, y)
    tissue = np.where(radius < 0.7, 1080, np.interp(radius, [0.77, 0.83], [920, 20]))
    tissue[radius < 0.1] = 1400
    noisy = tissue + np.random.default_rng(1).normal(0, 15, tissue.shape)
    assert judge(np.clip(noisy, 0, 4095).astype(np.uint16)).words == "Normal"


def test_a_slice_whose_body_is_saturated_is_over_exposed(judge):
    saturated = phantom(np.random.default_rng(1))
    saturated[saturated > 960] = 4095
    assert "Over-exposed" in judge(saturated).reasons


def test_a_healthy_radiograph_is_normal(judge):
    y, x = np.mgrid[0:1:128j, 0:1:128j]
    image = 800 + 2000 * np.sin(3 * x) * np.cos(y) + np.random.default_rng(1).normal(0, 20, x.shape)
    assert judge(image.astype(np.uint16), "DX").words == "Normal"


@pytest.mark.parametrize(
    ("name", "pixels", "reason"),
    [
        ("flat", np.full((64, 64), 7, np.uint16), "Blank image"),
        ("mask", np.eye(64, dtype=np.uint16), "Segmentation mask"),
        ("dim", np.arange(4096).reshape(64, 64) % 10 + 50, "Low dynamic range"),
        ("grey", np.arange(4096).reshape(64, 64) % 10 + 50, "Low contrast"),
        ("steps", np.arange(4096).reshape(64, 64) // 200 * 100, "Low complexity"),
    ],
)
def test_a_faulty_ct_slice_is_named(judge, name, pixels, reason):
    assert reason in judge(pixels.astype(np.uint16)).reasons


def exposed(low, high, share):
    """A radiograph, 12 bits, with a share of its patches from low to high, the rest mid-grey."""
    rng = np.random.default_rng(2)
    image = rng.integers(1500, 2500, (100, 100))
    places = rng.permutation(400).reshape(20, 20)
    extreme = np.kron(places, np.ones((5, 5))) < share * 400
    image[extreme] = rng.integers(low, high, int(extreme.sum()))
    return image.astype(np.uint16)


@pytest.mark.parametrize(
    ("low", "high", "share", "reasons"),
    [
        (0, 150, 0.7, {"Under-exposed"}),
        (3950, 4096, 0.7, {"Over-exposed"}),
        (0, 150, 0.5, set()),
        (3950, 4096, 0.5, set()),
    ],
)
def test_a_radiograph_mostly_at_one_end_of_its_range_is_named(judge, low, high, share, reasons):
    assert set(judge(exposed(low, high, share), "DX").reasons) == reasons


def test_exposure_of_monochrome1_is_judged_as_shown(judge):
    image = exposed(0, 150, 0.7)
    shown = judge(image, "DX", PhotometricInterpretation="MONOCHROME1")
    assert shown.reasons == ("Over-exposed",)


def test_a_bright_border_is_reported_but_makes_no_image_low(judge):
    image = exposed(0, 1, 0)
    rng = np.random.default_rng(3)
    image[25:75, 25:75] = rng.integers(300, 900, (50, 50))
    for edge in (np.s_[:8], np.s_[-8:], np.s_[:, :8], np.s_[:, -8:]):
        image[edge] = rng.integers(3000, 3800, image[edge].shape)
    quality = judge(image, "DX")
    assert quality.reasons == ("Potential inverted border",)
    assert not quality.low


def test_padding_is_not_measured(judge):
    rng = np.random.default_rng(1)
    image = rng.integers(1000, 1012, (64, 64)).astype(np.uint16)
    image[:, :40] = 4000
    assert "Low contrast" not in judge(image).reasons
    assert "Low contrast" in judge(image, PixelPaddingValue=4000).reasons


def test_a_shutter_leaves_its_opening(instance):
    ds = instance(
        ShutterShape="RECTANGULAR",
        ShutterLeftVerticalEdge=1,
        ShutterRightVerticalEdge=5,
        ShutterUpperHorizontalEdge=2,
        ShutterLowerHorizontalEdge=6,
    )
    # Between columns 1 and 5 are columns 2, 3, 4; between rows 2 and 6 are rows 3, 4, 5.
    opening = shutter_opening(ds, (6, 5))
    assert opening.sum() == 9
    assert opening[2:5, 1:4].all()


def test_otsu_separates_two_classes():
    pixels = np.concatenate([np.full(700, 12.0), np.full(300, 88.0)])
    assert 12 < otsu_threshold(pixels) < 88


def test_exposure_of_ultrasound_is_not_measurable_and_says_why(judge):
    quality = judge(phantom(np.random.default_rng(1)), "US")
    assert quality.not_measurable == {"exposure": "no exposure is defined for US"}


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [0]), (200, list(range(200))), (201, list(range(97, 104))), (400, list(range(197, 204)))],
)
def test_long_series_are_judged_by_seven_slices_in_the_middle(count, expected):
    assert sample_indices(count) == expected


def test_thresholds_come_from_the_modality_else_from_default():
    strict = QcSettings({"DEFAULT": QcThresholds(std_min=9), "CT": QcThresholds(std_min=7)})
    assert strict.thresholds_for("CT").std_min == 7
    assert strict.thresholds_for("US").std_min == 9
    assert strict.thresholds_for("MR").unique_ratio_min == 0.008
    radiograph = SETTINGS.thresholds_for("MG")
    assert (radiograph.std_min, radiograph.dynamic_range_min) == (3, 10)


def series(stack, blank):
    rng = np.random.default_rng(1)
    flat = np.zeros((128, 128), np.uint16)
    slices = stack(10)
    for k, ds in enumerate(slices):
        ds.Rows = ds.Columns = 128
        ds.PixelData = (flat if k < blank else phantom(rng)).tobytes()
    return slices


@pytest.mark.parametrize(("blank", "low", "reason"), [(3, 0, "Normal"), (4, 1, "Blank image")])
def test_a_series_is_low_above_the_ratio(job, stack, blank, low, reason):
    step = run_job(job(series(stack, blank), "qc")).steps[0]
    assert (step.details["low_quality"], step.details["low_quality_reason"]) == (low, reason)
    assert step.details["low_quality_ratio"] == blank / 10
    assert (step.details["qc_mode"], step.details["qc_sample_indices"]) == ("full", [*range(10)])


def test_a_stricter_threshold_of_the_site_is_used(job, stack):
    settings = ProcessorSettings(qc=QcSettings({"CT": QcThresholds(std_min=4000)}))
    step = run_job(job(series(stack, 0), "qc", settings=settings)).steps[0]
    assert step.summary == "Low contrast"


def test_the_header_checks_count_what_is_wrong(job, stack):
    slices = series(stack, 0)
    del slices[4]
    slices[0].InstanceNumber = 30
    step = run_job(job(slices, "qc")).steps[0]
    header = step.details["header"]
    # Numbers 2..10 without 5, and 30: of 2..30, 29 numbers, 9 are there.
    assert (header["missing_positions"], header["missing_instance_numbers"]) == (1, 20)
    assert header["spacing_range_mm"] == [3, 6]
    assert step.summary == "Normal; 1 slice position(s) missing"


def test_truncated_pixels_are_a_read_error(job, stack):
    slices = stack(1)
    slices[0].PixelData = slices[0].PixelData[:10]
    assert run_job(job(slices, "qc")).steps[0].summary == "Read error"


def test_one_image_that_cannot_be_decoded_is_told_beside_a_verdict_on_the_rest(job, stack):
    slices = stack(8, pixels=phantom(np.random.default_rng(1)))
    slices[3].PixelData = slices[3].PixelData[:10]
    step = run_job(job(slices, "qc")).steps[0]
    assert step.details["low_quality"] == 0
    assert "1 image(s) cannot be decoded" in step.summary
