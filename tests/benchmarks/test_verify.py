"""The verify benchmark is honest: what it says of converters is what their files hold.

Which versions of other programs write what is not tested here.
"""

import nibabel as nib
import numpy as np
import pytest

from benchmarks.verify import report, rounds
from benchmarks.verify.cases import of_faults, of_scans
from benchmarks.verify.contestants import Made, with_ours


@pytest.fixture
def faults(tmp_path):
    return {case.name: case for case in of_faults(tmp_path / "faults")}


def outcomes(case, folder, contestants, monkeypatch):
    monkeypatch.setattr(rounds, "CONTESTANTS", contestants)
    return [(result.outcome, result.said) for result in rounds.results(case, folder)]


OURS = {
    "none: a regular CT": ("verified", "8 of 8 frames match"),
    "a slice missing": ("verified", "1 of 8 slices missing"),
    "InstanceNumber not spatial": ("verified", "8 of 8 frames match"),
    "two images at one position": ("nothing", "duplicate slice positions"),
    "a slice sent twice": ("verified", "8 of 8 frames match"),
    "gantry tilted by 15 degrees": ("verified", "sheared by 15.0 degrees"),
    "dynamics with 23 of 24 slices": ("in part", "1 of 3 volumes left out"),
    "MONOCHROME1 with ImagerPixelSpacing": ("verified", "1 of 1 frames match"),
}


@pytest.mark.parametrize("fault", OURS)
def test_ours_is_right_or_says_why_not(faults, tmp_path, monkeypatch, fault):
    (found,) = outcomes(faults[fault], tmp_path / "work", {"Safelight": with_ours}, monkeypatch)
    outcome, said = OURS[fault]
    assert found[0] == outcome
    assert said in found[1]


def test_every_fault_is_expected_to_end_in_a_known_way(faults):
    assert set(faults) == set(OURS)


def spoiled(series, folder):
    """Our conversion with one voxel changed, and without what its sidecar says."""
    made = with_ours(series, folder)
    (path,) = made.files
    image = nib.load(path)
    voxels = np.asarray(image.dataobj, dtype=np.float32)
    voxels[0, 0, 0] += 1
    nib.save(nib.Nifti1Image(voxels, image.affine), path)
    path.with_name(path.name.partition(".")[0] + ".json").unlink()
    return made


def silent(series, folder):
    return Made((), "it does not feel like it")


def test_what_differs_and_what_is_not_written_is_told(faults, tmp_path, monkeypatch):
    contestants = {"spoiled": spoiled, "silent": silent}
    found = outcomes(faults["none: a regular CT"], tmp_path / "work", contestants, monkeypatch)
    assert [outcome for outcome, _ in found] == ["mismatch", "nothing"]
    assert found[0][1].startswith("7 of 8 frames match; 1 with other values")
    assert found[1][1] == "it does not feel like it"


def test_the_tables_replace_what_stands_between_the_markers_only(faults, tmp_path):
    case = faults["none: a regular CT"]
    results = [
        rounds.Result(case, name, "verified", "8 of 8 frames match") for name in report.CONTESTANTS
    ]
    document = tmp_path / "conversion.md"
    document.write_text(f"before\n{report.BEGIN}\noutdated\n{report.END}\nafter\n")
    report.write(document, results, results, {"a report": "no volume in this object"})
    text = document.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "outdated" not in text
    assert "| Safelight | 1 | 0 | 0 | 0 | 0 |" in text
    assert "| a report | no volume in this object |" in text


def test_a_document_without_markers_is_not_touched(tmp_path):
    document = tmp_path / "other.md"
    document.write_text("nothing here")
    with pytest.raises(ValueError, match="lacks the markers"):
        report.write(document, [], [], {})
    assert document.read_text() == "nothing here"


def test_scans_are_taken_series_by_series_and_folder_by_folder(faults, tmp_path):
    (one, two) = (faults["a slice missing"].files, faults["a slice sent twice"].files)
    for folder, files in (("a", one), ("b", two)):
        place = tmp_path / "scans" / "source" / "dicom" / folder
        place.mkdir(parents=True)
        for path in files:
            (place / path.name).write_bytes(path.read_bytes())
    cases = list(of_scans(tmp_path / "scans"))
    assert [(case.name, len(case.files)) for case in cases] == [
        ("source 1: a", 7),
        ("source 2: b", 9),
    ]
