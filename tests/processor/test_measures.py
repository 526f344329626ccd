"""Measures of quality against phantoms with known answers, and faults that must be named.

Not covered: whether healthy real series are left alone, which `make review-qc` shows.
"""

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from processor.job import run_job
from processor.measures import entropy_focus, measure_ct, measure_dynamic, measure_mr, structure
from processor.quality import sampled_of

SIZE = 256
ROW, COLUMN = np.ogrid[:SIZE, :SIZE]
ALL = np.ones((SIZE, SIZE), bool)


def disc(radius):
    return radius**2 > (ROW - SIZE / 2) ** 2 + (COLUMN - SIZE / 2) ** 2


def magnitude(signal, sigma, seed=1):
    """A disc in air with the noise of a magnitude image (Rician)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, sigma, (2, SIZE, SIZE))
    return np.hypot(np.where(disc(80), signal, 0) + noise[0], noise[1])


@pytest.mark.parametrize(("signal", "sigma"), [(200, 10), (100, 10), (500, 4), (60, 12)])
def test_snr_and_fber_of_a_disc_in_air(signal, sigma):
    measured = measure_mr(np.rint(magnitude(signal, sigma)), ALL).values
    assert measured["noise"] == pytest.approx(sigma, rel=0.03)
    assert measured["snr"] == pytest.approx(signal / sigma, rel=0.05)
    # The mean energy of Rician data is signal^2 + 2 sigma^2.
    expected = (signal**2 + 2 * sigma**2) / (2 * sigma**2)
    assert measured["fber"] == pytest.approx(expected, rel=0.05)


def test_entropy_focus_is_zero_for_a_point_and_one_for_a_flat_image():
    point = np.zeros(4096)
    point[7] = 5
    assert entropy_focus(point) == pytest.approx(0)
    assert entropy_focus(np.full(4096, 3)) == pytest.approx(1)
    # k of n pixels alike: (k / sqrt k) ln sqrt k over sqrt n ln sqrt n
    some = np.zeros(4096)
    some[:64] = 9
    assert entropy_focus(some) == pytest.approx(8 * np.log(8) / (64 * np.log(64)))


def test_ghosts_raise_the_entropy_focus():
    clean = magnitude(500, 5)
    ghost = clean + 0.2 * np.roll(clean, SIZE // 2, axis=0)
    assert measure_mr(ghost, ALL).values["efc"] > measure_mr(clean, ALL).values["efc"]


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (np.where(disc(80), 100 + COLUMN, 0.0), "the air is masked"),
        (500 + magnitude(0, 5), "there is no air around the body"),
    ],
)
def test_snr_without_air_is_not_measurable_and_says_why(image, why):
    measured = measure_mr(image, ALL)
    assert measured.not_measurable["snr"] == why
    assert "snr" not in measured.values


@pytest.mark.parametrize("sigma", [5, 12, 30])
def test_the_noise_level_of_a_water_phantom(sigma):
    noise = np.random.default_rng(1).normal(0, sigma, (SIZE, SIZE))
    measured = measure_ct(np.where(disc(90), 40, -1000) + noise, ALL)
    assert measured.values["noise_hu"] == pytest.approx(sigma, rel=0.06)
    assert measured.values["edge_share"] == 0


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(32, 70), st.integers(32, 70)),
    values=st.sampled_from(["zeros", "one pixel", "noise", "steps", "huge"]),
    share=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
)
def test_no_image_makes_a_measure_fail(shape, values, share):
    rng = np.random.default_rng(1)
    image = np.zeros(shape)
    if values == "one pixel":
        image[3, 4] = 9
    elif values != "zeros":
        image = rng.normal(0, 1e9 if values == "huge" else 9, shape)
        image = np.rint(image / 20) if values == "steps" else image
    valid = rng.random(shape) < share
    valid[0, 0] = True
    for measured in (
        *(measure_mr(np.abs(image), valid), measure_mr(image, valid), measure_ct(image, valid)),
        *(measure_dynamic(np.stack([image] * 3), axis) for axis in (0, 1, None)),
    ):
        assert all(np.isfinite(value) for value in measured.values.values())
        assert not set(measured.values) & set(measured.not_measurable)
    assert np.isfinite(structure(image, valid))


def test_a_body_without_signal_says_that_it_cannot_be_measured():
    image = np.rint(np.random.default_rng(1).normal(0, 9, (47, 68)) / 20)  # its mean is 0
    told = measure_dynamic(np.stack([image] * 3), 0)
    assert told.values == {}
    assert set(told.not_measurable.values()) == {"the body has no signal"}


def test_metal_and_a_body_at_the_edge_are_measured():
    image = np.where(disc(90), 40, -1000) + np.random.default_rng(1).normal(0, 5, ALL.shape)
    image[120:130, 120:130] = 4000
    image[:, :60] = 40
    measured = measure_ct(image, ALL).values
    assert measured["metal_share"] == pytest.approx(100 / np.sum(image > -300), rel=0.01)
    assert measured["edge_share"] == pytest.approx((SIZE + 2 * 59) / (4 * SIZE - 4), rel=0.01)


def test_a_lung_has_too_little_soft_tissue():
    assert "noise_hu" in measure_ct(np.where(disc(90), -250.0, -1000), ALL).not_measurable


def test_stability_over_time_and_ghosts():
    rng = np.random.default_rng(1)
    body = np.where(disc(50), 1000, 0)
    ghost = np.roll(body, SIZE // 2, axis=0)
    series = body + 0.05 * ghost + 200 + rng.normal(0, 10, (60, SIZE, SIZE))
    measured = measure_dynamic(series, 0).values
    assert measured["tsnr"] == pytest.approx(120, rel=0.03)
    assert measured["dvars_percent"] == pytest.approx(100 * np.sqrt(2) * 10 / 1200, rel=0.03)
    assert measured["gsr"] == pytest.approx(50 / 1200, rel=0.05)
    assert abs(measure_dynamic(series, 1).values["gsr"]) < 0.01
    assert "not told" in measure_dynamic(series, None).not_measurable["gsr"]


def test_of_a_long_4d_series_the_middle_volume_is_judged():
    positions = [[place + 30 * moment for moment in range(10)] for place in range(30)]
    assert sampled_of(300, positions) == [30 * 5 + place for place in range(12, 19)]
    assert sampled_of(150, positions[:15]) == list(range(150))


def mr_series(stack, pixels, **elements):
    slices = stack(len(pixels), Modality="MR", **elements)
    for ds, image in zip(slices, pixels, strict=True):
        ds.Rows, ds.Columns = image.shape
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        ds.PixelData = np.clip(np.rint(image), 0, 4095).astype("<u2").tobytes()
    return slices


def qc(job, instances):
    return run_job(job(instances, "qc")).steps[0]


def test_a_series_has_the_median_of_its_measures(job, stack):
    step = qc(job, mr_series(stack, [magnitude(200, 10, seed) for seed in range(3)]))
    assert step.details["low_quality_reason"] == "Normal"
    assert step.details["measures"]["snr"] == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("is_diffusion", [False, True])
def test_a_time_series_has_its_stability(job, stack, is_diffusion):
    images = [magnitude(200, 10, seed) for seed in range(12)]
    slices = mr_series(stack, images, InPlanePhaseEncodingDirection="COL")
    for number, ds in enumerate(slices):
        ds.ImagePositionPatient, ds.TemporalPositionIdentifier = [0, 0, 0], number + 1
        ds.DiffusionBValue = 1000.0 if is_diffusion and number else 0.0
    step = qc(job, slices)
    assert step.summary == "Normal"
    if is_diffusion:
        assert "b-value" in step.details["not_measurable"]["tsnr"]
    else:
        assert step.details["measures"]["tsnr"] == pytest.approx(20, rel=0.1)


FAULTS = {
    "blank": (np.full(ALL.shape, 7), "Blank image"),
    "two levels": (np.where(disc(80), 1000, 0), "Segmentation mask"),
    "noise alone": (np.random.default_rng(1).normal(500, 80, ALL.shape), "Low contrast"),
    "saturated": (np.minimum(magnitude(1000, 10) * 9 + COLUMN, 4095), "Over-exposed"),
    "almost constant": (500 + disc(80) + COLUMN % 9, "Low dynamic range"),
}


@pytest.mark.parametrize(("image", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_series_is_low_for_the_right_reason(job, stack, image, reason):
    details = qc(job, mr_series(stack, [image] * 3)).details
    assert details["low_quality"] == 1
    assert reason in details["low_quality_reason"]


def test_a_truncated_image_a_missing_slice_and_one_twice_are_said(job, stack):
    slices = mr_series(stack, [magnitude(200, 10, seed) for seed in range(8)])
    del slices[4]
    twice = deepcopy(slices[1])
    twice.SOPInstanceUID = generate_uid()
    slices[2].PixelData = slices[2].PixelData[:-100]
    step = qc(job, [*slices, twice])
    assert step.details["low_quality"] == 0
    assert [image["reason"] for image in step.details["images"]].count("Read error") == 1
    assert "1 slice position(s) missing" in step.summary
    assert "1 image(s) of the same place and moment as another" in step.summary


@pytest.mark.parametrize(
    ("told", "said"), [(3.0, "its exposure indices make it 3.0"), (-2.0, "make it 3.0")]
)
def test_exposure_indices_are_reported_and_compared(job, instance, told, said):
    image = 800 + 10 * COLUMN + np.random.default_rng(1).normal(0, 20, ALL.shape)
    ds = instance(Modality="DX", pixels=image.astype(np.uint16), AccessionNumber="A1")
    ds.ExposureIndex, ds.TargetExposureIndex, ds.DeviationIndex = "500", "250", str(told)
    step = qc(job, [ds])
    measures = step.details["measures"]
    assert measures["deviation_index_computed"] == pytest.approx(3.01, abs=0.01)
    assert (said in step.summary) is (told < 0)


def test_mammography_is_reported_and_not_judged(job, instance):
    image = 800 + 10 * COLUMN + np.random.default_rng(1).normal(0, 20, ALL.shape)
    ds = instance(Modality="MG", pixels=image.astype(np.uint16), AccessionNumber="A1")
    ds.CompressionForce, ds.BodyPartThickness = "90", "55"
    measures = qc(job, [ds]).details["measures"]
    assert measures == {"compression_force_n": 90, "body_part_thickness_mm": 55}
