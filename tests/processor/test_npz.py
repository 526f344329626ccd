"""NPZ files: the axes they promise, from series of every orientation."""

import json

import numpy as np
import pytest

from processor.convert import Settings, convert_series


@pytest.fixture
def run(job, tmp_path):
    """Convert datasets to NPZ: the arrays and the sidecars, by file name."""

    def run(series):
        out = tmp_path / "out"
        out.mkdir()
        result = convert_series(job(series).files, out, "x", settings=Settings(format="npz"))
        assert result.state == "done", result.reason
        return {
            file.path.name: (
                np.load(file.path)["data"],
                json.loads(file.path.with_suffix(".json").read_text())["Safelight"],
            )
            for file in result.files
        }

    return run


def images(series):
    return np.stack([np.frombuffer(ds.PixelData, np.uint16).reshape(6, 5) for ds in series])


def placed(stack, orientation, positions):
    series = stack(len(positions), ImageOrientationPatient=orientation)
    for ds, position in zip(series, positions, strict=True):
        ds.ImagePositionPatient = list(position)
    return series


def test_an_axial_slice_is_its_dicom_image_and_z_goes_down(run, stack):
    series = stack(3, RescaleSlope=2, RescaleIntercept=-10)
    ((data, sidecar),) = run(series).values()
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, images(series)[::-1] * 2.0 - 10)
    # Voxel (x, y, z) = (0, 0, 0) is column 0, row 0 of the highest slice: LPS (10, 20, 6).
    assert sidecar["affine_ras"] == [
        [-0.5, 0, 0, -10],
        [0, -2, 0, -20],
        [0, 0, -3, 6],
        [0, 0, 0, 1],
    ]
    assert sidecar["shape"] == [3, 6, 5]
    assert sidecar["spacing_mm"] == [3, 2, 0.5]


def test_a_sagittal_stack_has_z_from_rows_y_from_columns_x_from_slices(run, stack):
    series = placed(stack, [0, 1, 0, 0, 0, -1], [(4 * k, 0, 0) for k in range(3)])
    ((data, _),) = run(series).values()
    np.testing.assert_array_equal(data, images(series).transpose(1, 2, 0))


def test_a_coronal_stack_has_z_from_rows_y_from_slices_x_from_columns(run, stack):
    series = placed(stack, [1, 0, 0, 0, 0, -1], [(0, 4 * k, 0) for k in range(3)])
    ((data, _),) = run(series).values()
    np.testing.assert_array_equal(data, images(series).transpose(1, 0, 2))


def test_a_stack_with_a_gap_keeps_the_place_of_the_missing_slice(run, stack):
    series = stack(4, RescaleSlope=1, RescaleIntercept=-1024)
    gap = series.pop(1)
    ((data, sidecar),) = run(series).values()
    assert data.shape == (4, 6, 5)
    assert np.all(data[2] == -1024)
    assert sidecar["missing_slices"] == [1]
    assert gap.ImagePositionPatient[2] == 3


def test_each_volume_is_a_file_called_by_its_b_value_or_number(run, stack):
    series = []
    for number, b_value in enumerate((0.0, 1000.0)):
        for ds in stack(2, Modality="MR", DiffusionBValue=b_value):
            ds.InstanceNumber += 2 * number
            ds.PixelData = np.full((6, 5), number, np.uint16).tobytes()
            series.append(ds)
    found = run(series)
    assert {name: float(data.max()) for name, (data, _) in found.items()} == {
        "x_b0.npz": 0,
        "x_b1000.npz": 1,
    }


def test_phases_are_numbered_from_one(run, stack):
    series = []
    for time in (1, 2):
        for ds in stack(2, TemporalPositionIdentifier=time):
            ds.PixelData = np.full((6, 5), time, np.uint16).tobytes()
            series.append(ds)
    assert list(run(series)) == ["x_t001.npz", "x_t002.npz"]


def test_a_radiograph_is_stored_as_it_is_without_a_claim(run, instance):
    ds = instance(Modality="DX", ImagerPixelSpacing=[0.2, 0.1], PixelSpacing=None)
    ((data, sidecar),) = run([ds]).values()
    np.testing.assert_array_equal(data, images([ds]))
    assert (sidecar["affine_ras"], sidecar["anatomical_orientation"]) == (None, None)
    assert sidecar["spacing_mm"] == [1.0, 0.2, 0.1]
    assert sidecar["spacing_from"] == "ImagerPixelSpacing"
