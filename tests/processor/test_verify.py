"""The verifier catches every way in which a file can differ from its source."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from processor.geometry import Plane, frame_matrix_lps
from processor.intensity import Rescale
from processor.nifti import Volume, write_nifti
from processor.stacks import plan_stack, position_rounding_mm
from processor.verify import SourceFrame, verify
from processor.written import NotReadable

RESCALE = Rescale(0.1, -1024)
SLICES = 4


def frames_of(pixels, planes, volume=0, rescale=RESCALE):
    return [
        SourceFrame(
            f"frame {k}", frame_matrix_lps(plane), volume, rescale, lambda image=image: image
        )
        for k, (plane, image) in enumerate(zip(planes, pixels, strict=True))
    ]


def axial(count=SLICES, step=3.0):
    return [
        Plane(6, 5, (1.0, 2.0, step * k), (1, 0, 0, 0, 1, 0), (2.0, 0.5), 3.0) for k in range(count)
    ]


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 4096, (SLICES, 6, 5), dtype=np.uint16)


@pytest.fixture
def right(pixels):
    """The voxels of a right file, (i, j, k)."""
    return pixels[:, ::-1].transpose(2, 1, 0)


@pytest.fixture
def check(tmp_path, pixels, right):
    """Write a file, right but for what is given, and verify it."""

    def write_and_verify(volume=right, affine=None, frames=None, rescale=RESCALE, **options):
        path = tmp_path / "v.nii.gz"
        affine = plan_stack(axial()).affine_ras if affine is None else affine
        save(path, volume, affine, rescale)
        frames = frames_of(pixels, axial()) if frames is None else frames
        return verify([path], frames, **options)

    return write_and_verify


def save(path, volume, affine, rescale=RESCALE):
    flat = volume.reshape(*volume.shape[:2], -1)
    planes = (flat[:, :, number].T for number in range(flat.shape[2]))
    # The file's order: k fastest, then t.
    if volume.ndim == 4:
        planes = (
            volume[:, :, k, t].T for t in range(volume.shape[3]) for k in range(volume.shape[2])
        )
    spacing = (1.0,) * volume.ndim
    write_nifti(
        path, Volume(volume.shape, volume.dtype, False, planes, affine, spacing, rescale), 1
    )


def test_a_right_file_matches_frame_by_frame(check):
    report = check()
    assert report.ok
    assert (report.frames, report.matched, report.worst_residual_voxel < 1e-3) == (4, 4, True)


def test_swapped_slices_are_caught_and_named(check, right):
    report = check(volume=right[:, :, [0, 2, 1, 3]])
    assert (report.ok, report.matched, report.value_different) == (False, 2, 2)
    assert report.named["value_different"] == ("frame 1", "frame 2")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_flipped_along_any_axis_is_caught(check, right, axis):
    assert not check(volume=np.flip(right, axis)).ok


def test_one_wrong_voxel_is_caught(check, right):
    volume = right.copy()
    volume[1, 2, 3] += 1
    assert check(volume=volume).value_different == 1


def test_an_affine_off_by_a_tenth_of_a_voxel_is_caught(check):
    affine = plan_stack(axial()).affine_ras.copy()
    affine[0, 3] += 0.05
    assert check(affine=affine).off_grid == 4


def test_positions_a_vendor_rounded_pass_only_with_that_rounding(check, pixels):
    frames = frames_of(pixels, axial())
    frames[1].matrix_lps[1, 3] += 0.08
    assert check(frames=frames).off_grid == 1
    positions = np.array([frame.matrix_lps[:3, 3] for frame in frames])
    # y is off by 0, 0.08, 0, 0: the best line is 0.032 - 0.008 k, so 0.056 is left at k = 1.
    rounding = position_rounding_mm(positions, np.arange(4))
    assert rounding == pytest.approx(0.056)
    assert check(frames=frames, rounding_mm=rounding).ok


def test_a_wrong_slice_spacing_is_caught(check):
    affine = plan_stack(axial()).affine_ras.copy()
    affine[2, 2] = 2.9
    assert check(affine=affine).off_grid == 3


def test_a_plane_without_a_frame_is_caught(check, pixels):
    report = check(frames=frames_of(pixels[:3], axial(3)))
    assert (report.ok, report.matched, report.unfilled) == (False, 3, 1)


def test_two_frames_on_one_plane_are_caught(check, pixels):
    report = check(frames=[*frames_of(pixels, axial()), *frames_of(pixels[:1], axial(1))])
    assert (report.ok, report.repeated) == (False, 1)


def test_a_frame_outside_the_volume_is_caught(check, right):
    assert check(volume=right[:, :, :3]).off_grid == 1


def test_a_volume_larger_than_its_frames_is_caught(check, right):
    assert check(volume=np.pad(right, ((0, 1), (0, 0), (0, 0)))).off_grid == 4


def test_a_wrong_scale_is_caught(check):
    assert check(rescale=Rescale(0.1, 0)).value_different == 4


def test_real_values_instead_of_stored_ones_are_as_right(check, right):
    real = (right * RESCALE.slope + RESCALE.intercept).astype(np.float32)
    assert check(volume=real, rescale=Rescale()).ok


def test_no_frames_are_no_success(check):
    assert not check(frames=[]).ok


@pytest.mark.parametrize("codes", ["RAS", "ASL", "PIR", "LPS"])
def test_a_file_with_any_order_of_axes_is_understood(check, right, codes):
    image = nib.Nifti1Image(right, plan_stack(axial()).affine_ras)
    turns = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes)
    )
    turned = image.as_reoriented(turns)
    assert check(volume=np.asarray(turned.dataobj), affine=turned.affine).ok


def test_a_missing_slice_must_be_announced_and_of_one_value(check, pixels, right):
    kept = [0, 1, 3]
    frames = frames_of(pixels[kept], [axial()[k] for k in kept])
    gone = frames_of(pixels[:1], [axial()[2]])
    blank = right.copy()
    blank[:, :, 2] = 7
    assert check(volume=blank, frames=frames).unfilled == 1
    assert check(volume=blank, frames=frames, missing=gone).ok
    assert check(frames=frames, missing=gone).unfilled == 1


def volumes(count):
    images = np.random.default_rng(2).integers(0, 4096, (count, SLICES, 6, 5), dtype=np.uint16)
    images[:, 0] = 0  # an empty slice looks alike in every volume
    frames = [frame for t in range(count) for frame in frames_of(images[t], axial(), volume=t)]
    return images[:, :, ::-1].transpose(3, 2, 1, 0).copy(), frames


def test_each_volume_of_a_series_holds_the_frames_of_one(check):
    voxels, frames = volumes(3)
    assert check(volume=voxels, frames=frames).ok
    assert check(volume=voxels, frames=frames[::-1], in_order=False).ok


def test_volumes_in_another_order_are_noticed_where_the_order_means_something(check):
    voxels, frames = volumes(3)
    turned = voxels[..., [2, 0, 1]]
    report = check(volume=turned, frames=frames)
    assert (report.ok, report.matched, report.reordered) == (False, 12, 1)
    assert report.named == {"reordered": ("v.nii.gz",)}
    assert "volumes stand in another order" in report.words
    assert check(volume=turned, frames=frames, in_order=False).ok
    apart = [replace(frame, stack=str(frame.volume)) for frame in frames]
    assert check(volume=turned, frames=apart).ok


def test_slices_swapped_between_volumes_are_called_mixed(check):
    voxels, frames = volumes(3)
    voxels[:, :, 2, [0, 1]] = voxels[:, :, 2, [1, 0]]
    report = check(volume=voxels, frames=frames)
    assert (report.ok, report.matched, report.mixed) == (False, 12, 2)
    assert report.named["mixed"] == ("v.nii.gz volume 0", "v.nii.gz volume 1")


def test_frames_are_looked_for_in_all_files_of_the_series(tmp_path, pixels, right):
    planes = axial()
    paths = [tmp_path / "a.nii.gz", tmp_path / "b.nii"]
    for path, part in zip(paths, (slice(0, 2), slice(2, 4)), strict=True):
        save(path, right[:, :, part], plan_stack(planes[part]).affine_ras)
    assert verify(paths, frames_of(pixels, planes)).ok
    assert verify(paths[:1], frames_of(pixels, planes)).off_grid == 2


def test_images_without_a_place_are_compared_in_their_order(tmp_path, pixels):
    path = tmp_path / "p.nii.gz"
    save(path, pixels[:1, ::-1].transpose(2, 1, 0), None)
    image = SourceFrame("image", None, 0, RESCALE, lambda: pixels[0])
    assert verify([path], [image]).ok
    for wrong in (pixels[0] + 1, pixels[0][::-1], pixels[0][:5]):
        other = SourceFrame("image", None, 0, RESCALE, lambda wrong=wrong: wrong)
        assert verify([path], [other]).value_different == 1


def test_a_place_that_the_source_does_not_tell_is_not_believed(check, pixels):
    unplaced = [SourceFrame("image", None, 0, RESCALE, lambda: pixels[0])]
    assert not check(frames=unplaced).ok


@pytest.mark.parametrize("size", [200, 400, -30])
def test_a_file_that_is_cut_off_cannot_be_read(tmp_path, pixels, right, size):
    path = tmp_path / "v.nii"
    save(path, right, plan_stack(axial()).affine_ras)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(NotReadable, match=r"v\.nii: "):
        verify([path], frames_of(pixels, axial()))


@pytest.mark.parametrize("damage", [b"", b"no gzip at all", None])
def test_a_file_that_is_damaged_cannot_be_read(tmp_path, pixels, right, damage):
    path = tmp_path / "v.nii.gz"
    save(path, right, plan_stack(axial()).affine_ras)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(NotReadable, match=r"v\.nii\.gz: "):
        verify([path], frames_of(pixels, axial()))


def test_an_npz_is_compared_where_its_sidecar_says(tmp_path, pixels):
    real = (pixels * RESCALE.slope + RESCALE.intercept).astype(np.float32)
    path = tmp_path / "v.npz"
    np.savez_compressed(path, data=real[::-1])  # z increases toward Inferior
    # x is column 0's Left at 0.5 mm, y Posterior at 2 mm, z Inferior at 3 mm from z = 9.
    affine = [[-0.5, 0, 0, -1], [0, -2, 0, -2], [0, 0, -3, 9], [0, 0, 0, 1]]
    path.with_suffix(".json").write_text(json.dumps({"Safelight": {"affine_ras": affine}}))
    assert verify([path], frames_of(pixels, axial())).ok
    np.savez_compressed(path, data=real)
    assert verify([path], frames_of(pixels, axial())).value_different == 4
    path.with_suffix(".json").unlink()
    with pytest.raises(NotReadable, match=r"v\.json: missing"):
        verify([path], frames_of(pixels, axial()))
