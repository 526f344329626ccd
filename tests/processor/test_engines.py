"""dcm2niix as the engine: what it writes is verified like our own, and auto says what it did."""

import nibabel as nib
import numpy as np
import pytest

from processor import convert
from processor.convert import Settings, convert_series
from processor.engine import Made
from processor.errors import NotConvertible


@pytest.fixture
def run(job, tmp_path):
    def run(series, **settings):
        out = tmp_path / "out"
        out.mkdir()
        return convert_series(
            job(series).files, out, "x", settings=Settings(**settings), unverified=tmp_path / "bad"
        )

    return run


def test_its_file_of_a_regular_stack_is_verified_and_has_our_name(run, stack, tmp_path):
    result = run(stack(6), engine="dcm2niix")
    assert (result.state, result.engine) == ("done", "dcm2niix")
    assert result.verification.matched == 6
    (file,) = result.files
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.json", "x.nii.gz"]
    assert file.shape == nib.load(file.path).shape == (5, 6, 6)
    assert file.spacing_mm == (0.5, 2.0, 3.0)


def test_its_file_of_a_series_with_a_gap_is_never_handed_on(run, stack, tmp_path):
    series = stack(6)
    del series[2]
    result = run(series, engine="dcm2niix")
    assert result.state == "unverified"
    assert result.reason.startswith("of the written files ")
    assert not list((tmp_path / "out").iterdir())
    kept = tmp_path / "bad" / "dcm2niix"
    assert (kept / "verification.json").exists()
    assert list(kept.glob("*.nii.gz"))


@pytest.mark.parametrize("failure", ["mismatch", "refusal"])
def test_auto_takes_the_other_engine_and_says_why(run, stack, monkeypatch, failure):
    def wrong(request):
        if failure == "refusal":
            raise NotConvertible("it will not")
        made = convert.natively(request)
        image = nib.load(made.files[0].path)
        voxels = np.asarray(image.dataobj) + 1
        nib.Nifti1Image(voxels, image.affine).to_filename(made.files[0].path)
        return Made(made.files, made.stacks)

    monkeypatch.setattr(convert, "_MAKERS", {**convert._MAKERS, "native": wrong})
    result = run(stack(6))
    assert (result.state, result.engine) == ("done", "dcm2niix")
    (attempt,) = result.attempts
    assert attempt.engine == "native"
    assert (attempt.verification is None) == (failure == "refusal")


def test_an_image_without_a_place_is_not_given_to_it(run, instance):
    result = run([instance(Modality="DX", PixelSpacing=None)], engine="dcm2niix")
    assert result.state == "refused"
    assert "not used for images without a place" in result.reason


def test_a_crash_of_it_is_a_reason(run, stack, monkeypatch, tmp_path):
    program = tmp_path / "dcm2niix"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setattr("dcm2niix.bin", str(program))
    assert run(stack(3), engine="dcm2niix").reason == "dcm2niix was ended by signal 11"


def test_a_diffusion_series_keeps_its_gradient_table(run, stack):
    series = []
    for volume, (b_value, direction) in enumerate(
        [(0, None), (1000, (1, 0, 0)), (1000, (0, 1, 0))]
    ):
        for ds in stack(3, Modality="MR", DiffusionBValue=float(b_value)):
            ds.InstanceNumber += 3 * volume
            ds.PixelData = np.full((6, 5), 10 * volume + ds.InstanceNumber, np.uint16).tobytes()
            if direction:
                ds.DiffusionGradientOrientation = [float(value) for value in direction]
            series.append(ds)
    (file,) = run(series).files
    tables = {path.suffix: path.read_text() for path in file.beside}
    assert tables[".bval"] == "0 1000 1000\n"
    # i runs along +x LPS as rows do, j against +y; the axes are left-handed, nothing is turned.
    assert tables[".bvec"] == "0 1 0\n0 0 -1\n0 0 0\n"


@pytest.mark.parametrize("engine", ["auto", "native", "dcm2niix"])
def test_pixels_that_cannot_be_decoded_are_converted_by_nobody(run, stack, engine):
    """dcm2niix would write something; without the frame it cannot be compared."""
    series = stack(3)
    series[1].PixelData = series[1].PixelData[:40]
    result = run(series, engine=engine)
    assert result.state == "refused"
    truncated = "pixel data truncated: 40 of 60 bytes in instance" in result.reason
    assert truncated or (engine == "dcm2niix" and result.reason == "dcm2niix wrote nothing")
