"""Anyone's files are judged by the frames of their series, not by what made them."""

import json

import nibabel as nib
import numpy as np
import pytest

from processor.convert import Settings, convert_series
from processor.errors import NotConvertible
from processor.judging import judge, source_frames
from processor.source import SeriesSource


@pytest.fixture
def series(job):
    """Function that writes datasets and returns their series."""
    return lambda datasets: SeriesSource(job(datasets, "convert").files)


@pytest.fixture
def convert(tmp_path):
    """Function that converts a series and returns the files."""

    def files(source, kind="nifti"):
        folder = tmp_path / kind
        folder.mkdir()
        made = convert_series(source, folder, settings=Settings(format=kind))
        return [file.path for file in made.files]

    return files


def dynamics(build, times=2, slices=3):
    """A series of several times, without which its frames could not be told apart."""
    made = []
    for t in range(times):
        for k, ds in enumerate(build(slices, Modality="MR")):
            ds.TemporalPositionIdentifier, ds.InstanceNumber = t + 1, t * slices + k + 1
            ds.PixelData = (np.arange(30, dtype=np.uint16) + 100 * (t * slices + k)).tobytes()
            made.append(ds)
    return made


@pytest.mark.parametrize("kind", ["nifti", "npz"])
def test_our_own_files_are_right(series, stack, convert, kind):
    source = series(stack(4))
    judgement = judge(source, convert(source, kind))
    assert judgement.verification.ok
    assert (judgement.notes, judgement.announced) == ((), ())


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SRA", "PIL"])
def test_a_file_of_any_axes_is_right(series, stack, convert, axes):
    source = series(stack(4))
    (path,) = convert(source)
    image = nib.load(path)
    turns = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes)
    )
    turned = path.with_name("turned.nii")
    nib.save(image.as_reoriented(turns), turned)
    assert judge(source, [turned]).verification.ok


@pytest.mark.parametrize("kind", ["nifti", "npz"])
def test_missing_slices_may_be_blank_only_where_the_sidecar_announces_them(
    series, stack, convert, kind
):
    source = series([ds for ds in stack(5) if ds.InstanceNumber != 2])
    (path,) = convert(source, kind)
    judgement = judge(source, [path])
    assert judgement.verification.ok
    assert "1 of 5 slices missing" in judgement.announced[0]
    sidecar = path.with_name(path.name.partition(".")[0] + ".json")
    told = json.loads(sidecar.read_text())
    del told["Safelight"]["missing_slices"]
    sidecar.write_text(json.dumps(told))
    assert judge(source, [path]).verification.unfilled == 1


def test_volumes_that_are_mixed_up_are_noticed(series, stack, convert):
    source = series(dynamics(stack))
    (path,) = convert(source)
    assert judge(source, [path]).verification.ok
    image = nib.load(path)
    data = np.asarray(image.dataobj).copy()
    data[:, :, 1] = data[:, :, 1, ::-1]
    mixed = path.with_name("mixed.nii.gz")
    nib.save(nib.Nifti1Image(data, image.affine), mixed)
    verification = judge(source, [mixed]).verification
    assert (verification.matched, verification.mixed, verification.ok) == (6, 2, False)


def test_a_time_series_that_is_turned_round_is_noticed(series, stack, convert):
    source = series(dynamics(stack))
    (path,) = convert(source)
    image = nib.load(path)
    turned = path.with_name("turned.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., ::-1], image.affine), turned)
    verification = judge(source, [turned]).verification
    assert (verification.matched, verification.reordered, verification.ok) == (6, 1, False)


def test_diffusion_may_stand_in_another_order_since_b_values_tell_it(series, stack, convert):
    datasets = dynamics(stack)
    for ds in datasets:
        ds.DiffusionBValue = 1000.0 * (ds.TemporalPositionIdentifier - 1)
        del ds.TemporalPositionIdentifier
    source = series(datasets)
    (path,) = convert(source)
    image = nib.load(path)
    turned = path.with_name("turned.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., ::-1], image.affine), turned)
    assert judge(source, [turned]).verification.ok


def test_a_qform_that_contradicts_the_sform_is_told(series, stack, convert):
    source = series(stack(4))
    (path,) = convert(source)
    image = nib.load(path)
    elsewhere = image.affine.copy()
    elsewhere[0, 3] += 5
    image.set_qform(elsewhere, 1)
    other = path.with_name("other.nii.gz")
    nib.save(image, other)
    judgement = judge(source, [other])
    assert judgement.verification.ok
    (note,) = judgement.notes
    assert note.startswith("other.nii.gz: judged by its sform")
    assert note.endswith("places voxels up to 5.0 mm elsewhere")


def test_a_header_that_is_a_file_of_its_own_is_judged_with_its_voxels(series, stack, convert):
    source = series(stack(4))
    (path,) = convert(source)
    image = nib.load(path)
    pair = path.with_name("pair.hdr")
    nib.save(nib.Nifti1Pair(np.asarray(image.dataobj), image.affine), pair)
    assert judge(source, [pair]).verification.ok


def test_a_volume_for_each_file_is_as_right_as_one_file(series, stack, convert):
    source = series(dynamics(stack))
    (path,) = convert(source)
    image = nib.load(path)
    files = []
    for t in range(2):
        files.append(path.with_name(f"t{t}.nii.gz"))
        nib.save(image.slicer[..., t], files[t])
    assert judge(source, files).verification.ok
    assert judge(source, files[:1]).verification.matched == 3


def test_a_repeated_frame_may_be_in_the_files_again_but_need_not(series, stack, instance, convert):
    datasets = stack(4)
    copy = instance(InstanceNumber=9, ImagePositionPatient=datasets[3].ImagePositionPatient)
    copy.PixelData = datasets[3].PixelData
    source = series([*datasets, copy])
    (path,) = convert(source)
    once = judge(source, [path])
    assert (once.verification.ok, once.verification.frames) == (True, 4)
    assert once.notes == ("frames that repeat others pixel for pixel: 1",)
    again = path.with_name("again.nii.gz")
    nib.save(nib.load(path).slicer[:, :, 3:], again)
    twice = judge(source, [path, again]).verification
    assert (twice.ok, twice.frames) == (True, 5)
    assert not judge(source, [path, path]).verification.ok


def test_an_image_without_a_place_in_two_files_is_one_image(instance, job, tmp_path, convert):
    image = instance(Modality="DX", ImagePositionPatient=None)
    (path,) = job([image], "convert").files
    twin = path.with_name("twin.dcm")
    twin.write_bytes(path.read_bytes())
    (file,) = convert(SeriesSource([path]))
    assert judge(SeriesSource([path, twin]), [file]).verification.ok
    assert judge(SeriesSource([path, twin]), [file, file]).verification.ok


def test_a_series_without_order_is_judged_but_for_its_volumes(series, stack):
    """Slices at uneven distances: none follows from its neighbours, each has its own place."""
    datasets = stack(5)
    for ds, z in zip(datasets, (0, 1, 5, 6.5, 13), strict=True):
        ds.ImagePositionPatient = [10, 20, z]
    expected = source_frames(series(datasets))
    assert [frame.volume for frame in expected.frames] == [None] * 5
    assert "uneven slice spacing" in expected.notes[0]


def test_a_series_whose_frames_do_not_tell_their_place_cannot_be_judged(series, stack):
    with pytest.raises(NotConvertible, match="3 of 3 frames do not tell their place"):
        source_frames(series(stack(3, ImagePositionPatient=None)))
