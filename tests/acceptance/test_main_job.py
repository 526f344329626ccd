"""From a C-STORE to a NIfTI, a workbook and a preview, with DCMTK's storescu as the sender."""

import json
import zipfile

import nibabel
import numpy as np
import openpyxl
import pytest
from PIL import Image


def test_a_stack_becomes_a_verified_volume_a_workbook_and_a_preview(daemon, stack, storescu):
    node = daemon()
    files = stack(slices=8)
    storescu(files[0].parent, port=node.port, called="SAFELIGHT", calling="CT01")
    ((_, row),) = node.wait_for_ended(1).items()
    assert row.state == "done"
    assert (row.grade, row.instances, row.calling_ae) == ("released", 8, "CT01")
    assert "8/8 frames verified" in row.results["convert"]

    (nifti,) = node.outputs(row, "nifti")
    image = nibabel.load(nifti)
    # Source, LPS: voxel (column, row, slice) lies at (-8 + column, -8 + row, 2 * slice) mm.
    # RAS turns x and y around: (8 - column, 8 - row, 2 * slice). Rows are stored bottom up, so
    # j = 15 - row and y = 8 - (15 - j) = j - 7.
    affine = [[-1, 0, 0, 8], [0, 1, 0, -7], [0, 0, 2, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    expected = np.arange(16)[:, None, None] + 10 * np.arange(8)[None, None, :]
    np.testing.assert_array_equal(image.get_fdata(), np.broadcast_to(expected, (16, 16, 8)))

    (preview,) = node.outputs(row, "preview")
    with Image.open(preview) as picture:
        assert picture.format == "PNG"

    manifest = json.loads((nifti.parent / "manifest.json").read_text())
    assert manifest["series_uid"] == row.SeriesInstanceUID
    workbook = node.data / "results" / "A0001" / "metadata.xlsx"
    node.wait_until(workbook.exists, "the study's workbook")
    sheets = openpyxl.load_workbook(workbook)
    assert {"DICOM_Metadata", "Series_Summary"} <= set(sheets.sheetnames)
    header, values = list(sheets["DICOM_Metadata"].values)[:2]
    metadata = dict(zip(header, values, strict=True))
    assert metadata["AccessionNumber"] == "A0001"
    assert metadata["FileName"] == str(nifti.relative_to(node.data / "results"))
    assert zipfile.is_zipfile(workbook)
    report = workbook.with_name("report.html").read_text(encoding="utf-8")
    assert "8 of 8" in report
    assert "data:image/jpeg;base64," in report
    assert node.stop() == 0


# Regular stacks among the real scans, with the reference output of dcm2niix for each.
REFERENCES = {
    "10_imagedata": [
        "dicom_s4_t2_tse_tra",
        "dicom_s5_t2_tse_cor",
        "dicom_s3_t2_tse_sag",
        "dicom_s3_t2_haste_tra",
        "dicom_s4_t1_vibe_flip3",
        "dicom_s5001_",
        "dicom_s8001_",
        "dicom_s9001_",
        "dicom_s10001_",
        "dicom_s12001_",
    ],
}


@pytest.mark.parametrize("source", REFERENCES)
def test_affine_and_voxels_of_real_scans_equal_the_reference(daemon, test_data, storescu, source):
    node = daemon()
    folder = test_data / source
    references = [
        nibabel.load(folder / "ref_dcm2niix" / f"{name}.nii.gz") for name in REFERENCES[source]
    ]
    storescu(folder / "dicom", port=node.port, called="SAFELIGHT")
    spooled = len(list((node.data / "spool" / "instances").rglob("*.dcm")))

    def all_recorded():
        return sum(row.instances for row in node.series().values()) == spooled

    node.wait_until(all_recorded, "every instance to be grouped")
    rows = node.wait_for_ended(len(node.series()))
    published = [nibabel.load(path) for row in rows.values() for path in node.outputs(row, "nifti")]
    for name, reference in zip(REFERENCES[source], references, strict=True):
        assert any(same(image, reference) for image in published), f"no output equals {name}"


def same(image, reference):
    return (
        image.shape == reference.shape
        and np.allclose(image.affine, reference.affine, atol=1e-3)
        and np.array_equal(image.get_fdata(), reference.get_fdata())
    )


def test_instances_that_come_later_make_a_new_revision_and_supersede_the_old_outputs(
    daemon, stack, storescu
):
    node = daemon()
    files = stack(slices=8)
    storescu(*files[:6], port=node.port, called="SAFELIGHT")
    (row,) = node.wait_for_ended(1).values()
    (first,) = node.outputs(row, "nifti")
    storescu(*files[6:], port=node.port, called="SAFELIGHT")

    def second_revision():
        (now,) = node.series().values()
        return now.revision == 2 and now.state == "done"

    node.wait_until(second_revision, "the second revision", 60)
    (row,) = node.series().values()
    (second,) = node.outputs(row, "nifti")
    assert nibabel.load(first).shape == (16, 16, 6)  # the old output is kept
    assert nibabel.load(second).shape == (16, 16, 8)
    reader = node.reader()
    assert sorted(job.state for job in reader.jobs_of(row.id)) == ["done", "superseded"]
    reader.close()


def test_sites_rules_decide_what_is_made_and_what_is_left_out(daemon, stack, storescu, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "rules.toml").write_text(
        """
        [[rule]]
        name = "No scouts"
        match = { SeriesDescription = { regex = "(?i)scout" } }
        then = { drop = "a scout" }
        [[rule]]
        name = "Only QC"
        match = { Modality = "CT", instances = { min = 4 }, EchoTime = { present = false } }
        run = { qc = {} }
        [[rule]]
        name = "Needs an echo time"
        match = { Modality = "MR", EchoTime = { max = 30 } }
        run = { qc = {} }
        """
    )
    node = daemon(toml='[rules]\nfile = "rules.toml"')
    sent = {
        "checked": stack(slices=4),
        "dropped": stack(slices=4, SeriesDescription="SCOUT"),
        "kept": stack(slices=2),
        "held": stack(slices=2, Modality="MR"),
    }
    for files in sent.values():
        storescu(files[0].parent, port=node.port, called="SAFELIGHT")
    rows = node.wait_for_ended(4)
    state = {name: rows[files[0].parent.name].state for name, files in sent.items()}
    assert state == {"checked": "done", "dropped": "dropped", "kept": "kept", "held": "attention"}
    assert set(rows[sent["checked"][0].parent.name].results) == {"qc"}
    reader = node.reader()
    held = reader.decision(rows[sent["held"][0].parent.name].id)
    reader.close()
    assert held.summary == 'held: rule "Needs an echo time" cannot be evaluated: EchoTime is absent'


def test_status_prints_what_the_ledger_knows(daemon, stack, storescu):
    node = daemon()
    storescu(stack()[0].parent, port=node.port, called="SAFELIGHT")
    node.wait_for_ended(1)
    shown = node.run("status", "--json")
    document = json.loads(shown.stdout)
    assert document["overview"]["instances"] == 8
    assert document["series"][0]["state"] == "done"
    table = node.run("status")
    assert table.returncode == 0
    assert "Thorax" in table.stdout
    assert "Doe" not in table.stdout
