"""``safelight convert`` on a folder of several series and other files."""

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from pydicom import dcmread

from safelight.cli import cli


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
    assert "already: choose another --out" in result.output
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_series_that_cannot_be_converted_says_why(folder, tmp_path):
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".txt":
            dataset = dcmread(path)
            del dataset.PixelData
            dataset.save_as(path)
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "pixel data missing" in " ".join(result.output.split())
    assert result.output.endswith("2 series not converted\n")


def test_a_folder_without_dicom_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no DICOM")
    result = run(tmp_path, "--out", tmp_path / "out")
    assert (result.exit_code, "no DICOM files in" in result.output) == (1, True)


def test_a_wrong_name_is_explained(folder, tmp_path):
    result = run(folder, "--out", tmp_path / "out", "--name", "{Modalty}")
    assert result.exit_code == 2
    assert "Modalty" in result.output
