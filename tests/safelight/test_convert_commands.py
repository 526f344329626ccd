"""``safelight convert`` on a folder of several series and other files."""

import errno
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from pydicom import dcmread
from pydicom.data import get_testdata_file

from safelight.cli import cli
from safelight.errors import in_one_line


@pytest.fixture
def folder(config, land):
    """A folder of two series with one name, and a file that is no DICOM."""
    place = config.storage.spool / "instances"
    land(instances=4)
    land(instances=3)
    (place / "notes.txt").write_text("no DICOM")
    return place


def run(*arguments):
    return CliRunner().invoke(cli, ["convert", *map(str, arguments)])


def words(result):
    return " ".join(result.output.split())


def test_every_series_becomes_a_verified_file_of_its_own_name(folder, tmp_path):
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert result.output.endswith("2 series converted and verified\n")
    assert "4/4" in result.output
    found = sorted((tmp_path / "out").glob("*.nii.gz"))
    assert sorted(nib.load(path).shape[2] for path in found) == [3, 4]


def test_npz_and_a_name_of_ones_own(folder, tmp_path):
    result = run(folder, "--out", tmp_path / "out", "--format", "npz", "--name", "{Modality}_x")
    assert result.exit_code == 0
    names = [path.stem.partition("-")[0] for path in (tmp_path / "out").glob("*.npz")]
    assert names == ["CT_x", "CT_x"]
    assert all(np.load(path)["data"].ndim == 3 for path in (tmp_path / "out").glob("*.npz"))


def test_nothing_that_is_there_is_overwritten(folder, tmp_path):
    run(folder, "--out", tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "exists already: choose another --out" in words(result)
    assert result.output.endswith("2 series not converted\n")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_series_that_cannot_be_converted_says_why(folder, tmp_path):
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".txt":
            dataset = dcmread(path)
            del dataset.PixelData
            dataset.save_as(path)
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "pixel data missing" in words(result)
    assert result.output.endswith("2 series not converted\n")


def test_an_object_without_images_is_no_failure(folder, tmp_path):
    shutil.copy(get_testdata_file("reportsi.dcm"), folder)
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert result.output.endswith("2 series converted and verified; 1 series without images\n")


def test_a_series_of_which_an_image_is_missing_is_told_as_a_part(tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    good = dcmread(get_testdata_file("SC_rgb_small_odd.dcm"))
    good.save_as(place / "good.dcm")
    good.SOPInstanceUID += ".1"
    good.file_meta.MediaStorageSOPInstanceUID = good.SOPInstanceUID
    good.PixelData = good.PixelData[:4]
    good.save_as(place / "cut.dcm")
    result = run(place, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.output.endswith("1 series converted in part\n")
    assert "left out: pixel data truncated" in words(result)
    assert "1/2" in words(result)
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 1


def test_long_names_and_uids_are_told_whole(folder, tmp_path):
    stem = "a_name_that_is_longer_than_the_columns_of_a_table_are_wide_when_nobody_looks_at_it"
    result = run(folder, "--out", tmp_path / "out", "--name", stem)
    lines = [line.split() for line in result.output.splitlines()]
    assert "…" not in result.output
    assert stem in "".join(line[0] for line in lines if line)


def test_files_are_compressed_as_a_rule_would_have_them(folder, tmp_path):
    run(folder, "--out", tmp_path / "out")
    run(folder, "--out", tmp_path / "same", "--compression", 3)
    sizes = [
        sorted(path.stat().st_size for path in (tmp_path / place).glob("*.nii.gz"))
        for place in ("out", "same")
    ]
    assert sizes[0] == sizes[1]


def test_a_disk_that_fills_is_told_beside_what_was_converted(folder, tmp_path, monkeypatch):
    rename, renamed = Path.rename, []

    def filling(path, target):
        if len(renamed) == 2:  # the two files of the first series
            raise OSError(errno.ENOSPC, "no room", str(path))
        renamed.append(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", filling)
    result = run(folder, "--out", tmp_path / "out")
    assert "1 series converted and verified" in result.output
    told = in_one_line(result.exception)
    assert told.startswith("No space left on device (at test_convert_commands.py:")
    assert told.endswith("): free some space, or write elsewhere")
    assert not list((tmp_path / "out").glob(".converting-*"))


def test_a_folder_without_dicom_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no DICOM")
    result = run(tmp_path, "--out", tmp_path / "out")
    assert (result.exit_code, "no DICOM files in" in result.output) == (1, True)


def test_a_wrong_name_is_explained(folder, tmp_path):
    result = run(folder, "--out", tmp_path / "out", "--name", "{Modalty}")
    assert result.exit_code == 2
    assert "Modalty" in result.output
