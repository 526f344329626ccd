"""Headers and voxels of written files, read back with nibabel.

Not covered: what dcm2niix writes for the same series, which is tested on real scans.
"""

import gzip
import weakref

import nibabel as nib
import numpy as np
import pytest

from processor.errors import NotConvertible
from processor.intensity import Rescale
from processor.nifti import Volume, write_nifti

AFFINE = np.array([[-0.5, 0, 0, -10], [0, 2, 0, -30], [0, 0, 3, 5], [0, 0, 0, 1]])
SHAPE = (5, 6, 4)


def volume(dtype=np.int16, shape=SHAPE, **changes):
    planes = np.prod(shape[2:])
    values = np.arange(shape[0] * shape[1] * planes).reshape(planes, shape[1], shape[0])
    given = {
        "shape": shape,
        "dtype": np.dtype(dtype),
        "colour": False,
        "planes": iter(values.astype(dtype)),
        "affine_ras": AFFINE,
        "spacing_mm": (0.5, 2.0, 3.0, 1.5)[: len(shape)],
        "rescale": Rescale(),
    }
    return Volume(**given | changes)


@pytest.fixture
def written(tmp_path):
    def write(volume, name="v.nii.gz", level=1):
        write_nifti(tmp_path / name, volume, level)
        return nib.load(tmp_path / name)

    return write


def codes(image):
    return int(image.header["qform_code"]), int(image.header["sform_code"])


@pytest.mark.parametrize("name", ["v.nii.gz", "v.nii"])
def test_planes_follow_each_other_with_rows_from_the_bottom(written, name):
    image = written(volume(), name)
    found = np.asarray(image.dataobj)
    assert found.dtype == np.int16
    assert [found[i, j, k] for i, j, k in ((1, 0, 0), (0, 1, 0), (0, 0, 1))] == [1, 5, 30]
    np.testing.assert_allclose(image.affine, AFFINE)
    np.testing.assert_allclose(image.get_qform(), AFFINE, atol=1e-6)
    assert codes(image) == (1, 1)


def test_volumes_come_after_slices_and_have_their_time_between_them(written):
    image = written(volume(shape=(5, 6, 4, 3)))
    assert image.shape == (5, 6, 4, 3)
    assert np.asarray(image.dataobj)[0, 0, 1, 2] == (2 * 4 + 1) * 30
    np.testing.assert_allclose(image.header.get_zooms(), (0.5, 2, 3, 1.5))
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_a_sheared_affine_goes_to_the_sform_only(written):
    """15 degrees of gantry tilt: from slice to slice 3 mm along the normal and 0.8 mm along y."""
    sheared = AFFINE.copy()
    sheared[1, 2] = 3 * np.tan(np.radians(15))
    image = written(volume(affine_ras=sheared))
    assert codes(image) == (0, 1)
    np.testing.assert_allclose(image.affine, sheared, atol=1e-6)
    np.testing.assert_allclose(image.header.get_zooms(), (0.5, 2, 3))


def test_a_shear_below_the_tolerance_keeps_the_qform(written):
    nearly = AFFINE.copy()
    nearly[1, 2] = 0.001
    assert codes(written(volume(affine_ras=nearly))) == (1, 1)


def test_without_a_place_both_codes_are_0_and_the_spacing_stays(written):
    image = written(volume(affine_ras=None))
    assert codes(image) == (0, 0)
    np.testing.assert_allclose(image.header.get_zooms(), (0.5, 2, 3))


def test_colour_is_rgb24_without_a_scale(written):
    planes = np.arange(4 * 6 * 5 * 3, dtype=np.uint8).reshape(4, 6, 5, 3)
    image = written(volume(np.uint8, colour=True, planes=planes, rescale=Rescale(2, 1)))
    found = np.asarray(image.dataobj)
    assert (int(image.header["datatype"]), int(image.header["bitpix"])) == (128, 24)
    assert tuple(found[1, 2, 3]) == tuple(planes[3, 2, 1])


def test_the_scale_is_in_the_header_and_not_in_the_values(written):
    image = written(volume(rescale=Rescale(0.5, -1024)))
    assert (image.dataobj.slope, image.dataobj.inter) == (0.5, -1024)
    assert image.dataobj.get_unscaled()[1, 0, 0] == 1


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("bool", "u1"), (">u2", "<u2"), ("<i4", "<i4"), ("f8", "<f8"), ("i8", "<f4"), ("f2", "<f4")],
)
def test_each_dtype_becomes_one_that_nifti_has(written, dtype, stored):
    image = written(volume(dtype))
    assert image.get_data_dtype() == np.dtype(stored)
    expected = np.arange(30).astype(dtype).astype(float).reshape(6, 5).T
    np.testing.assert_array_equal(image.get_fdata()[:, :, 0], expected)


def test_the_same_volume_gives_the_same_bytes(written, tmp_path):
    written(volume(), "a.nii.gz")
    written(volume(), "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_voxels_begin_at_352_and_nothing_comes_after_them(written, tmp_path):
    written(volume())
    assert len(gzip.decompress((tmp_path / "v.nii.gz").read_bytes())) == 352 + 5 * 6 * 4 * 2


@pytest.mark.parametrize(
    "planes", [np.zeros((3, 6, 5)), np.zeros((5, 6, 5)), np.zeros((4, 5, 6))], ids=str
)
def test_planes_that_do_not_fill_the_shape_are_an_error(written, planes):
    with pytest.raises(ValueError, match="plane"):
        written(volume(planes=planes))


def test_an_axis_too_long_for_nifti_is_named(written):
    with pytest.raises(NotConvertible, match="40000 voxels along an axis"):
        written(volume(shape=(1, 1, 40000)))


def test_planes_are_asked_for_one_at_a_time_and_not_kept(written):
    made, most = [], 0

    def planes():
        nonlocal most
        for number in range(64):
            plane = np.full((256, 256), number, dtype=np.int16)
            made.append(weakref.ref(plane))
            most = max(most, sum(each() is not None for each in made))
            yield plane

    written(volume(shape=(256, 256, 64), planes=planes(), affine_ras=None))
    assert (len(made), most <= 2) == (64, True)
