"""The verifier catches every way in which a file can differ from its source.

Not covered: mosaics and 4D files, which are not written yet.
"""

import nibabel as nib
import numpy as np
import pytest

from processor.geometry import Plane, frame_matrix_lps, plan_stack
from processor.intensity import Rescale
from processor.nifti import write_image, write_volume
from processor.verify import SourceFrame, position_rounding_mm, verify_image, verify_volume

RESCALE = Rescale(0.1, -1024)


@pytest.fixture
def written(tmp_path):
    """A right file of four slices, its frames, its voxels and its affine."""
    rng = np.random.default_rng(1)
    planes = [
        Plane(6, 5, (1.0, 2.0, 3.0 * k), (1, 0, 0, 0, 1, 0), (2.0, 0.5), 3.0) for k in range(4)
    ]
    pixels = rng.integers(0, 4096, (4, 6, 5), dtype=np.uint16)
    frames = [
        SourceFrame(frame_matrix_lps(plane), image * RESCALE.slope + RESCALE.intercept)
        for plane, image in zip(planes, pixels, strict=True)
    ]
    return tmp_path / "v.nii.gz", frames, pixels[:, ::-1].transpose(2, 1, 0), plan_stack(planes)


def check(written, volume=None, affine=None, frames=None):
    path, source, right, plan = written
    voxels = right if volume is None else volume
    place = plan.affine_ras if affine is None else affine
    write_volume(path, voxels, place, RESCALE, 1)
    return verify_volume(path, source if frames is None else frames)


def test_a_right_file_matches_frame_by_frame(written):
    report = check(written)
    assert report.ok
    assert (report.frames, report.matched, report.worst_residual_voxel < 1e-3) == (4, 4, True)


def test_swapped_slices_are_caught(written):
    report = check(written, volume=written[2][:, :, [0, 2, 1, 3]])
    assert (report.ok, report.matched, report.value_different) == (False, 2, 2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_flipped_along_any_axis_is_caught(written, axis):
    assert not check(written, volume=np.flip(written[2], axis)).ok


def test_one_wrong_voxel_is_caught(written):
    volume = written[2].copy()
    volume[1, 2, 3] += 1
    assert check(written, volume=volume).value_different == 1


def test_an_affine_off_by_a_tenth_of_a_voxel_is_caught(written):
    affine = written[3].affine_ras.copy()
    affine[0, 3] += 0.05
    assert check(written, affine=affine).off_grid == 4


def test_positions_a_vendor_rounded_pass_only_with_that_rounding(written):
    path, frames, volume, plan = written
    frames[1].matrix_lps[1, 3] += 0.08
    write_volume(path, volume, plan.affine_ras, RESCALE, 1)
    assert verify_volume(path, frames).off_grid == 1
    positions = np.array([frame.matrix_lps[:3, 3] for frame in frames])
    # y is off by 0, 0.08, 0, 0: the best line is 0.032 - 0.008 k, so 0.056 is left at k = 1.
    assert position_rounding_mm(positions) == pytest.approx(0.056)
    assert verify_volume(path, frames, position_rounding_mm(positions)).ok


def test_a_wrong_slice_spacing_is_caught(written):
    affine = written[3].affine_ras.copy()
    affine[2, 2] = 2.9
    assert check(written, affine=affine).off_grid == 3


def test_a_plane_without_a_frame_is_caught(written):
    report = check(written, frames=written[1][:3])
    assert (report.ok, report.matched, report.unfilled) == (False, 3, 1)


def test_two_frames_on_one_plane_are_caught(written):
    report = check(written, frames=[*written[1], written[1][0]])
    assert (report.ok, report.repeated) == (False, 1)


def test_a_frame_outside_the_volume_is_caught(written):
    assert check(written, volume=written[2][:, :, :3]).off_grid == 1


def test_a_wrong_scale_is_caught(written):
    path, frames, volume, plan = written
    write_volume(path, volume, plan.affine_ras, Rescale(0.1, 0), 1)
    assert verify_volume(path, frames).value_different == 4


def test_no_frames_are_no_success(written):
    assert not check(written, frames=[]).ok


def test_a_file_of_either_handedness_is_understood(written):
    path, frames, volume, plan = written
    canonical = nib.as_closest_canonical(nib.Nifti1Image(volume, plan.affine_ras))
    write_volume(path, np.asarray(canonical.dataobj), canonical.affine, RESCALE, 1)
    assert verify_volume(path, frames).ok


def test_a_projection_image_that_differs_is_caught(tmp_path):
    values = np.arange(30, dtype=np.uint16).reshape(6, 5)
    path = tmp_path / "p.nii.gz"
    write_image(path, values[::-1].T[:, :, np.newaxis], (1.0, 1.0), Rescale(), 1)
    assert verify_image(path, values).ok
    assert not verify_image(path, values + 1).ok
    assert not verify_image(path, values[::-1]).ok
    assert not verify_image(path, values[:5]).ok
