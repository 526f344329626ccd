"""What ``verify-nifti`` says of a conversion, and its exit codes."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from pydicom.data import get_testdata_file

from processor.convert import convert_series
from safelight.cli import cli


@pytest.fixture
def folder(config, land):
    """The folder of a series of four slices."""
    return config.storage.spool / "instances" / "1.2.3" / land(instances=4)


@pytest.fixture
def converted(folder, tmp_path):
    """The file that was made of it."""
    place = tmp_path / "converted"
    place.mkdir()
    (file,) = convert_series(folder, place).files
    return file.path


def ask(*arguments):
    return CliRunner().invoke(cli, ["verify-nifti", *map(str, arguments)])


def test_a_right_conversion_is_verified(folder, converted):
    result = ask(folder, converted)
    assert (result.exit_code, result.output) == (
        0,
        "verified: 4 of 4 frames of the source match\n",
    )


def test_a_wrong_voxel_is_a_mismatch_that_names_frame_and_plane(folder, converted):
    image = nib.load(converted)
    voxels = np.asarray(image.dataobj).copy()
    voxels[3, 3, 2] += 1
    wrong = converted.with_name("wrong.nii.gz")
    nib.save(nib.Nifti1Image(voxels, image.affine), wrong)
    result = ask(folder, wrong)
    assert result.exit_code == 1
    assert "MISMATCH: 3 of 4 frames of the source match" in result.output
    assert "wrong.nii.gz plane 2 of volume 0" in result.output
    assert f"{folder.name}.2" in result.output


def test_json_holds_the_counts(folder, converted):
    result = ask("--json", folder, converted)
    report = json.loads(result.output)
    assert (report["ok"], report["frames"], report["matched"]) == (True, 4, 4)


def test_what_is_no_image_of_the_series_in_the_folder_is_left_out(folder, converted):
    (folder / "notes.txt").write_text("not of the series")
    shutil.copy(get_testdata_file("DICOMDIR"), folder)
    assert ask(folder, converted).exit_code == 0


def test_with_a_file_that_is_damaged_nothing_is_judged(folder, converted):
    first = next(folder.glob("*.dcm"))
    (folder / "cut.dcm").write_bytes(first.read_bytes()[:300])
    result = ask(folder, converted)
    assert (result.exit_code, result.output.startswith("cannot judge: 1 of 5 ")) == (2, True)


def test_uids_are_told_whole(folder, converted):
    uid = next(folder.glob("*.dcm"))
    wrong = converted.with_name(f"{'wrong_' * 20}.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((5, 6, 4)), nib.load(converted).affine), wrong)
    result = ask(folder, wrong)
    assert "…" not in result.output
    assert uid.stem in result.output


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[: len(data) // 2], "damaged|ends too early"),
        (lambda _: b"nothing of the kind", "not a NIfTI"),
    ],
)
def test_a_file_that_cannot_be_read_is_not_judged(folder, converted, damage, reason):
    converted.write_bytes(damage(converted.read_bytes()))
    result = ask(folder, converted)
    assert result.exit_code == 2
    assert result.output.startswith(f"cannot judge: {converted.name}")
    assert any(words in result.output for words in reason.split("|"))


def test_two_series_in_one_folder_are_not_judged(folder, land, converted):
    land(instances=1)
    result = ask(folder.parent, converted)
    assert result.exit_code == 2
    assert "cannot judge: 2 series in 1.2.3" in result.output


def test_a_folder_without_dicom_is_not_judged(tmp_path, converted):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = ask(empty, converted)
    assert (result.exit_code, result.output) == (2, "cannot judge: the series has no files\n")
