"""The viewer's slices: what they show, in which plane, and what is refused."""

import gzip
import io
import json
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from processor.convert import convert_series
from web_status import volumes as volumes_module
from web_status.errors import NotViewable
from web_status.slices import planes_of, slice_values
from web_status.volumes import Volumes

SHAPE = (7, 9, 11)


def written(folder, values, affine, name="v.nii.gz"):
    """A NIfTI file of stored values."""
    path = folder / name
    nib.Nifti1Image(values, affine).to_filename(path)
    return path


@pytest.fixture
def opened(tmp_path):
    """Function that opens a file as the viewer does."""
    return Volumes(tmp_path / "cache").open


def ramp(shape=SHAPE):
    """Each voxel by its place: i + 100 j + 10,000 k."""
    i, j, k = np.indices(shape[:3])
    return (i + 100 * j + 10_000 * k).astype(np.int32)


AXIAL = np.diag([-1.0, -1.0, 2.0, 1.0])  # i to the left, j to posterior, k to the head: LPS
# k to the left, i to posterior, j to the feet: a sagittal acquisition
SAGITTAL = np.array([[0, 0, -3.0, 0], [-1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]])


def test_an_axial_volume_is_hung_in_three_planes(tmp_path, opened):
    volume = opened(written(tmp_path, ramp(), AXIAL))
    axial, coronal, sagittal = planes_of(volume.layout)
    assert [plane.name for plane in (axial, coronal, sagittal)] == ["axial", "coronal", "sagittal"]
    assert (axial.slices, axial.rows, axial.columns, axial.aspect) == (11, 9, 7, 1.0)
    assert (coronal.slices, coronal.rows, coronal.columns, coronal.aspect) == (9, 11, 7, 2.0)
    assert (sagittal.slices, sagittal.rows, sagittal.columns) == (7, 11, 9)
    assert axial.letters == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert coronal.letters == {"left": "R", "right": "L", "top": "H", "bottom": "F"}
    assert sagittal.letters == {"left": "A", "right": "P", "top": "H", "bottom": "F"}
    values = ramp()
    np.testing.assert_array_equal(slice_values(volume, axial, 3, 0), values[:, :, 3].T)
    np.testing.assert_array_equal(slice_values(volume, coronal, 2, 0), values[:, 2, ::-1].T)
    np.testing.assert_array_equal(slice_values(volume, sagittal, 5, 0), values[5, :, ::-1].T)


def test_the_plane_of_acquisition_comes_first_and_all_hang_alike(tmp_path, opened):
    volume = opened(written(tmp_path, ramp(), SAGITTAL))
    first, *others = planes_of(volume.layout)
    assert (first.name, first.slices) == ("sagittal", 11)
    assert {plane.name for plane in others} == {"axial", "coronal"}
    assert first.letters == {"left": "A", "right": "P", "top": "H", "bottom": "F"}
    np.testing.assert_array_equal(slice_values(volume, first, 4, 0), ramp()[:, :, 4].T)
    axial = next(plane for plane in others if plane.name == "axial")
    assert axial.letters == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert axial.aspect == pytest.approx(1 / 3)


def test_rescale_phases_and_colour(tmp_path, opened):
    image = nib.Nifti1Image(np.stack([ramp(), ramp() + 1], axis=-1).astype(np.float32), AXIAL)
    image.header.set_slope_inter(2.0, -5.0)
    path = tmp_path / "4d.nii.gz"
    image.to_filename(path)
    stored = nib.load(path)
    volume = opened(path)
    assert volume.layout.shape == (*SHAPE, 2)
    (plane, *_) = planes_of(volume.layout)
    expected = np.asarray(stored.dataobj)[:, :, 6, 1].T
    np.testing.assert_allclose(slice_values(volume, plane, 6, 1), expected)
    colour = np.zeros((5, 4, 1), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["G"] = 200
    volume = opened(written(tmp_path, colour, AXIAL, "colour.nii"))
    (plane,) = planes_of(volume.layout)
    assert slice_values(volume, plane, 0, 0).shape == (4, 5, 3)
    assert slice_values(volume, plane, 0, 0)[0, 0].tolist() == [0, 200, 0]


def test_an_image_without_a_place_stands_upright(tmp_path, opened):
    image = nib.Nifti1Image(ramp((7, 9, 1)), None)
    image.header["pixdim"][1:3] = 0.5, 1.0
    path = tmp_path / "flat.nii.gz"
    image.to_filename(path)
    volume = opened(path)
    (plane,) = planes_of(volume.layout)
    assert (plane.name, plane.aspect, plane.letters) == ("image", 2.0, {})
    np.testing.assert_array_equal(slice_values(volume, plane, 0, 0), ramp()[:, ::-1, 0].T)


def test_an_array_is_shown_with_the_spacing_of_its_sidecar(tmp_path, opened):
    path = tmp_path / "v.npz"
    data = np.ascontiguousarray(ramp().astype(np.float32).transpose(2, 1, 0))
    np.savez_compressed(path, data=data)
    path.with_suffix(".json").write_text(json.dumps({"Safelight": {"spacing_mm": [4, 2, 2]}}))
    volume = opened(path)
    axial, coronal, _ = planes_of(volume.layout)
    assert (axial.name, coronal.name, coronal.aspect) == ("axial", "coronal", 2.0)
    np.testing.assert_array_equal(slice_values(volume, axial, 2, 0), data[2])
    np.testing.assert_array_equal(slice_values(volume, coronal, 3, 0), data[:, 3])


def test_what_safelight_converts_equals_its_instance(tmp_path, opened):
    path = Path(get_testdata_file("CT_small.dcm"))
    (converted,) = convert_series([path], tmp_path).files
    volume = opened(converted.path)
    (plane, *_) = planes_of(volume.layout)
    instance = dcmread(path)
    expected = instance.pixel_array * instance.RescaleSlope + instance.RescaleIntercept
    np.testing.assert_array_equal(slice_values(volume, plane, 0, 0), expected)


def test_the_first_slices_are_there_while_the_rest_is_unpacked(tmp_path, monkeypatch, wait_until):
    path = written(tmp_path, ramp((64, 64, 600)), AXIAL)
    may_go_on = threading.Event()
    real_open = volumes_module._opened

    class Slow:
        """Gives a megabyte, and the rest when it may."""

        def __init__(self, stream):
            self._stream, self._given = stream, 0

        def read(self, size):
            return self._stream.read(size)

        def readinto(self, target):
            if self._given >= 1 << 20:
                assert may_go_on.wait(60)
            count = self._stream.readinto(target)
            self._given += count
            return count

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._stream.close()

    monkeypatch.setattr(volumes_module, "_opened", lambda source: Slow(real_open(source)))
    volume = Volumes(tmp_path / "cache").open(path)
    (plane, *_) = planes_of(volume.layout)
    assert slice_values(volume, plane, 3, 0)[0, 0] == 30_000
    assert not volume.is_whole
    may_go_on.set()
    assert slice_values(volume, plane, 599, 0)[0, 0] == 5_990_000
    assert volume.is_whole


def test_a_slice_is_read_without_turning_the_volume(tmp_path, opened):
    volume = opened(written(tmp_path, ramp((4, 5, 6)), AXIAL))
    volume.wait(60)
    for axis in range(3):
        assert np.shares_memory(volume.values(axis, 1, 0), volume.values(axis, 1, 0))


@pytest.mark.parametrize("harm", ["cut", "text", "empty"])
def test_a_damaged_file_is_told(tmp_path, opened, harm):
    path = written(tmp_path, np.random.default_rng(0).integers(0, 9999, SHAPE, "i4"), AXIAL)
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "text": b"hello", "empty": b""}[harm])
    with pytest.raises(NotViewable):
        slice_values((volume := opened(path)), planes_of(volume.layout)[0], SHAPE[2] - 1, 0)


def test_only_so_much_is_kept_open(tmp_path, monkeypatch):
    monkeypatch.setattr(volumes_module, "_CACHE_BYTES", 3 * ramp().nbytes)
    volumes = Volumes(tmp_path / "cache")
    paths = [written(tmp_path, ramp(), AXIAL, f"{n}.nii.gz") for n in range(5)]
    kept = [volumes.open(path) for path in paths]
    assert volumes.bytes == 3 * ramp().nbytes
    assert volumes.open(paths[4]) is kept[4]
    assert volumes.open(paths[0]) is not kept[0]
    assert not list((tmp_path / "cache").iterdir())  # their files have no name any more


@pytest.fixture
def published(page, chronicle):
    """The path of the slices of a published volume of 5 slices."""
    chronicle.whole_series(5)
    return "/outputs/1/slices"


def picture(answer):
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "image/jpeg"
    return np.asarray(Image.open(io.BytesIO(answer.body)))


def test_a_slice_comes_as_a_picture_in_the_window_asked_for(page, published):
    shown = picture(page.get(f"{published}/axial/2?centre=225&width=100"))
    i, j = np.meshgrid(np.arange(8)[::-1], np.arange(6)[::-1])
    expected = np.clip((i + 10 * j + 200 - 175) * 2.55, 0, 255)
    assert np.abs(shown - expected).max() < 12  # it is a JPEG
    inverted = picture(page.get(f"{published}/axial/2?centre=225&width=100&invert=1"))
    assert np.abs(255 - inverted - expected).max() < 12


def test_an_automatic_window_is_told(page, published):
    answer = page.get(f"{published}/axial/0")
    centre, width, is_final = map(float, answer.headers["X-Window"].split())
    assert is_final == 1
    assert 200 < centre - width / 2 < centre + width / 2 < 260  # of the middle slice


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/axial/5", 404),
        ("/oblique/0", 404),
        ("/axial/0?phase=1", 404),
        ("/axial/0?phase=-1", 400),
        ("/axial/0?centre=1", 400),
        ("/axial/0?centre=x&width=1", 400),
        ("/axial/0?centre=1&width=0", 400),
        ("/axial/0?centre=nan&width=1", 400),
        ("/axial/0?centre=1&width=inf", 400),
        ("/axial/-1", 404),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_refused(page, published, path, status):
    assert page.get(published + path).status == status


def test_what_is_no_volume_has_no_viewer(page, published):
    assert page.get("/outputs/2/viewer").status == 404  # the preview
    assert page.get("/outputs/9/viewer").status == 404


def test_a_file_that_is_damaged_or_gone_is_told(page, published, context):
    (file,) = context.results.rglob("*.nii.gz")
    file.write_bytes(gzip.compress(b"hello"))
    answer = page.get("/outputs/1/viewer")
    assert answer.status == 422
    assert "This volume cannot be shown: the file is damaged." in answer.text
    file.unlink()
    assert "no longer in the results folder" in page.get("/outputs/1/viewer").text


def test_the_page_offers_windows_by_modality_and_hides_names(
    page, chronicle, published, users, log_in
):
    chronicle.whole_series(2, series="1.2.9", Modality="CT", SeriesDescription="DOE thorax")
    headers = log_in(page, "victor")
    shown = page.get("/outputs/3/viewer", **headers).text
    assert '<option value="-600 1500">lung</option>' in shown
    assert "DOE" not in shown
    assert "thorax" in shown
    assert "lung" not in page.get("/outputs/1/viewer", **headers).text


def test_volumes_of_an_earlier_run_are_removed(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "1").write_bytes(b"old")
    Volumes(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
