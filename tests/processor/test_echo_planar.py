"""Phase encoding and timing along the axes of the file, against hand-made and real series."""

import json

import numpy as np
import pytest
from pydicom.misc import is_dicom

from processor.convert import Settings, convert_series

EPI = {"Modality": "MR", "ScanningSequence": "EP", "MRAcquisitionType": "2D"}
SIEMENS = EPI | {"Manufacturer": "SIEMENS", "RepetitionTime": 2000}


@pytest.fixture
def told(job, tmp_path):
    """The sidecar of the one file a series becomes."""

    def told(series, **settings):
        out = tmp_path / "out"
        out.mkdir()
        chosen = Settings(**settings)
        (file,) = convert_series(job(series).files, out, "x", settings=chosen).files
        return json.loads(file.beside[0].read_text())

    return told


def _with_private(series, tag, vr, value):
    for ds in series:
        ds.add_new(tag, vr, value)
    return series


@pytest.mark.parametrize(
    ("axis", "positive", "direction"),
    [("ROW", 1, "i"), ("ROW", 0, "i-"), ("COL", 1, "j-"), ("COL", 0, "j")],
)
def test_the_direction_follows_the_axes_of_the_file(told, stack, axis, positive, direction):
    """Rows run along +x LPS as i does; columns run down, and j up."""
    series = stack(3, InPlanePhaseEncodingDirection=axis, **SIEMENS)
    sidecar = told(_with_private(series, 0x0021111C, "IS", str(positive)))
    assert sidecar["PhaseEncodingDirection"] == direction
    assert "PhaseEncodingAxis" not in sidecar


def test_axes_that_are_turned_to_ras_take_the_direction_with_them(told, stack):
    """A 3D acquisition has i to the right of the patient: against its rows."""
    series = stack(3, **SIEMENS | {"InPlanePhaseEncodingDirection": "ROW"})
    for ds in series:
        ds.MRAcquisitionType = "3D"
    sidecar = told(_with_private(series, 0x0021111C, "IS", "1"))
    assert sidecar["PhaseEncodingDirection"] == "i-"


def test_a_direction_without_sign_is_an_axis(told, stack):
    sidecar = told(stack(3, InPlanePhaseEncodingDirection="COL", **EPI))
    assert sidecar["PhaseEncodingAxis"] == "j"
    assert "PhaseEncodingDirection" not in sidecar


@pytest.mark.parametrize("vr", ["FD", "UN"])
def test_the_echo_spacing_comes_from_the_bandwidth_of_siemens(told, stack, vr):
    """Of 6 lines at 20 Hz a line: 1 / (20 * 6) s, and 5 of these between first and last."""
    value = np.float64(20).tobytes() if vr == "UN" else 20.0
    series = stack(3, InPlanePhaseEncodingDirection="COL", **SIEMENS)
    sidecar = told(_with_private(series, 0x00191028, vr, value))
    assert sidecar["EffectiveEchoSpacing"] == round(1 / 120, 9)
    assert sidecar["TotalReadoutTime"] == round(5 / 120, 9)


@pytest.mark.parametrize(("acceleration", "spacing"), [(["1", "1"], 0.0004), (["0.5", "1"], None)])
def test_ge_tells_the_echo_spacing_where_nothing_was_accelerated(
    told, stack, acceleration, spacing
):
    series = stack(3, InPlanePhaseEncodingDirection="COL", Manufacturer="GE", **EPI)
    for ds in series:
        ds.AcquisitionMatrix = [5, 0, 0, 6]
    series = _with_private(series, 0x0043102C, "SS", 400)
    sidecar = told(_with_private(series, 0x00431083, "DS", acceleration))
    assert sidecar.get("EffectiveEchoSpacing") == spacing


def _timed(stack, *times, **more):
    series = stack(len(times), **SIEMENS | more)
    for ds, time in zip(series, times, strict=True):
        ds.AcquisitionTime = time
    return series


def test_slices_are_timed_after_the_first_one_read(told, stack):
    sidecar = told(_timed(stack, "120001.0", "120000.0", "120001.5"))
    assert sidecar["SliceTiming"] == [1, 0, 1.5]


def test_slices_of_an_npz_are_timed_from_the_head_down(told, stack):
    sidecar = told(_timed(stack, "120000.0", "120001.0", "120001.5"), format="npz")
    assert sidecar["SliceTiming"] == [1.5, 1, 0]


def test_slices_that_lie_along_another_axis_of_an_npz_are_not_timed(told, stack):
    series = _timed(stack, "120000.0", "120001.0", "120001.5")
    for k, ds in enumerate(series):
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [0, 1, 0, 0, 0, -1], [3 * k, 0, 0]
    assert "SliceTiming" not in told(series, format="npz")


@pytest.mark.parametrize(
    "more",
    [
        {"MRAcquisitionType": "3D"},
        {"ScanningSequence": "SE"},
        {"RepetitionTime": 1500},
        {"Manufacturer": "Other"},
    ],
)
def test_slices_are_not_timed_where_times_may_mean_something_else(told, stack, more):
    sidecar = told(_timed(stack, "120001.0", "120000.0", "120001.5", **more))
    assert "SliceTiming" not in sidecar


def test_slices_are_not_timed_where_one_is_missing(told, stack):
    series = _timed(stack, "120000.0", "120000.5", "120001.0", "120001.5", "120001.7")
    del series[2]
    sidecar = told(series)
    assert sidecar["Safelight"]["missing_slices"] == [2]
    assert "SliceTiming" not in sidecar


def _pet(stack, starts):
    series = []
    for volume, start in enumerate(starts):
        for ds in stack(3, Modality="PT", AcquisitionTime=start):
            ds.InstanceNumber += 3 * volume
            ds.TemporalPositionIdentifier = volume + 1
            ds.ActualFrameDuration = 60000 * (volume + 1)
            ds.PixelData = np.full((6, 5), 9 * volume + ds.InstanceNumber, np.uint16).tobytes()
            series.append(ds)
    return series


def test_pet_frames_are_timed_after_the_first_one(told, stack):
    sidecar = told(_pet(stack, ["235900", "235930.5"]))
    assert sidecar["TimeZero"] == "23:59:00.000000"
    assert (sidecar["ScanStart"], sidecar["FrameTimesStart"]) == (0, [0, 30.5])
    assert sidecar["FrameDuration"] == [60, 120]


def test_pet_frames_that_go_past_midnight_are_not_timed(told, stack):
    sidecar = told(_pet(stack, ["235900", "000000"]))
    assert "FrameTimesStart" not in sidecar
    assert sidecar["FrameDuration"] == [60, 120]


KEYS = (
    "EchoTime",
    "RepetitionTime",
    "FlipAngle",
    "PhaseEncodingDirection",
    "EffectiveEchoSpacing",
    "TotalReadoutTime",
    "SliceTiming",
    "AcquisitionMatrixPE",
    "ReconMatrixPE",
    "DwellTime",
    "MagneticFieldStrength",
    "PixelBandwidth",
    "InPlanePhaseEncodingDirectionDICOM",
)
NIH, TS, XA = "04_dcm_qa_nih", "05_dcm_qa_ts", "06_dcm_qa_enh"
SKYRA = f"{NIH}/dicom/In/20180918Si"


@pytest.mark.parametrize(
    ("folder", "reference"),
    [
        (f"{SKYRA}/mr_0003", f"{NIH}/ref/EPI_PE=AP_3"),
        (f"{SKYRA}/mr_0004", f"{NIH}/ref/EPI_PE=PA_4"),
        (f"{SKYRA}/mr_0005", f"{NIH}/ref/EPI_PE=RL_5"),
        (f"{SKYRA}/mr_0006", f"{NIH}/ref/EPI_PE=LR_6"),
        (f"{TS}/**/In", f"{TS}/ref/1"),
        (f"{XA}/**/XA10", f"{XA}/ref/Siemens_REST1_w_SMS_PF7-8_6"),
    ],
)
def test_real_echo_planar_series_are_told_as_dcm2niix_tells_them(
    scans, tmp_path, folder, reference
):
    found = [path for path in sorted(scans.glob(f"{folder}/*")) if is_dicom(path)]
    if not found:
        pytest.skip(f"{folder} is absent")
    (file,) = convert_series(found, tmp_path).files
    ours = json.loads(file.beside[0].read_text())
    expected = json.loads((scans / f"{reference}.json").read_text())
    for key in KEYS:
        # Slices are timed by a clock of 2.5 ms: ours is the median of all volumes.
        tolerance = {"SliceTiming": 0.0026}.get(key, 0)
        if isinstance(expected.get(key), str):
            assert ours[key] == expected[key], key
        else:
            assert ours[key] == pytest.approx(expected[key], rel=2e-6, abs=tolerance), key
