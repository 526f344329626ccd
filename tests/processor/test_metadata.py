"""Templates, rows and workbooks, read back with openpyxl.

Not covered: what MR normalisation says (test_mr_clean.py); test_tables.py has CSV and Parquet.
"""

import json

import openpyxl
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from processor.cells import aggregated, cell_of
from processor.diffusion import b_value_of
from processor.errors import TemplateError
from processor.findings import MR_FINDINGS
from processor.job import run_job
from processor.templates import check_templates, parse_entry, template_for
from processor.workbook import LONGEST, merge_workbooks, write_workbook


def sheet(path, title):
    """A sheet as dictionaries, with formulas told apart from text."""
    book = openpyxl.load_workbook(path)
    columns, *rows = book[title].iter_rows()
    assert all(cell.data_type != "f" for row in rows for cell in row)
    names = [cell.value for cell in columns]
    return [dict(zip(names, (cell.value for cell in row), strict=True)) for row in rows]


def published(request):
    return request.results / run_job(request).folder


def test_a_ct_series_is_one_row_that_points_to_its_file(job, stack):
    request = job(stack(3))
    folder = published(request)
    (row,) = sheet(folder / "metadata.xlsx", "DICOM_Metadata")
    assert (request.results / row["FileName"]).exists()
    assert row["FileName"].startswith("M22_042/")
    assert (row["PatientID"], row["SeriesNumber"], row["TotalFilesInSeries"]) == ("0042", 7, 3)
    assert row["PixelSpacing"] == r"2.0\0.5"
    # Each slice is a ramp 0..29: its standard deviation is 8.7, its p98 - p2 27.8, all distinct.
    assert (row["Low_quality"], row["Low_quality_reason"]) == (0, "Normal")


def test_radiographs_are_one_row_an_instance_each_with_its_file(job, instance):
    images = [instance(Modality="DX", InstanceNumber=n, AccessionNumber="A1") for n in (1, 2)]
    folder = published(job(images))
    rows = sheet(folder / "metadata.xlsx", "DICOM_Metadata")
    assert [row["FileName"].rsplit("_", 1)[1] for row in rows] == ["0001.nii.gz", "0002.nii.gz"]
    assert [row["SOPInstanceUID"] for row in rows] == [ds.SOPInstanceUID for ds in images]


def test_the_summary_tells_what_became_of_the_series(job, stack):
    (row,) = sheet(published(job(stack(3))) / "metadata.xlsx", "Series_Summary")
    assert (row["Completeness"], row["InstancesExpected"]) == ("released", 3)
    assert (row["FramesVerified"], row["FramesInSource"], row["Shape"]) == (3, 3, "5 x 6 x 3")


def test_mr_series_have_a_sheet_and_findings_of_what_they_are(job, stack, tmp_path):
    mr = {"Modality": "MR", "AccessionNumber": "A1", "ScanningSequence": "GR", "EchoTime": 1.4}
    mr |= {"SequenceVariant": "SP", "StudyInstanceUID": "1.9", "RepetitionTime": 4}
    names = {"100000": "t1_vibe pre", "100100": "t1_vibe arterial"}
    requests = [
        job(stack(3, SeriesDescription=name, AcquisitionTime=at, **mr))
        for at, name in names.items()
    ]
    folders = [published(request) for request in [*requests, job(stack(2))]]
    found = run_job(requests[1]).steps[-1].details
    assert {name: found[name] for name in MR_FINDINGS} == {
        "sequenceClass": "T1_GRE_FLASH3D",
        "sequenceFamily": "T1_anatomic",
        "isFatSuppressed": False,
        "isContrastEnhanced": False,
    }
    (alone,) = sheet(folders[0] / "metadata.xlsx", "MR_Cleaned")
    assert (alone["sequenceClass"], alone["dynamicGroup"]) == ("T1_GRE_FLASH3D", None)
    rows = sheet(merge_workbooks(folders, tmp_path / "all.xlsx"), "MR_Cleaned")
    assert [row["dynamicPhase"] for row in rows] == ["PRE", "ARTERIAL"]
    assert rows[0]["FileName"].startswith("A1/")
    assert "MR_Cleaned" not in openpyxl.load_workbook(folders[2] / "metadata.xlsx").sheetnames


def test_values_that_look_like_formulas_stay_text(job, stack):
    nasty = '=HYPERLINK("http://evil","x")'
    request = job(stack(2, SeriesDescription=nasty, PatientID="@SUM(1)", StudyID="+1"))
    (row,) = sheet(published(request) / "metadata.xlsx", "DICOM_Metadata")
    assert (row["SeriesDescription"], row["PatientID"], row["StudyID"]) == (nasty, "@SUM(1)", "+1")


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "#N/A", "007", "TRUE"])
def test_text_stays_the_text_it_was(tmp_path, value):
    write_workbook(tmp_path / "b.xlsx", {"T": [{"v": value}]})
    book = openpyxl.load_workbook(tmp_path / "b.xlsx")
    cell = book["T"]["A2"]
    assert (cell.value, cell.data_type) == (value, "s")


def test_control_characters_go_and_long_values_are_cut_and_marked(tmp_path):
    rows = [{"a": "x\x00\x0b\ud800y", "b": "z" * 40_000, "c": float("nan"), "d": None}]
    write_workbook(tmp_path / "b.xlsx", {"T": rows})
    (row,) = sheet(tmp_path / "b.xlsx", "T")
    assert row["a"] == "xy"
    assert (len(row["b"]), row["b"][-5:]) == (LONGEST, "[cut]")
    assert row["c"] == "nan"


def test_workbooks_of_many_jobs_merge_without_their_dicom(job, stack, instance, tmp_path):
    first = job(stack(2))
    folders = [published(first), tmp_path / "no rows here"]
    second = job([instance(Modality="MR", SeriesNumber=8)], digest="other")
    folders.append(published(second))
    for path in (*first.files, *second.files):
        path.unlink()
    out = merge_workbooks(folders, tmp_path / "study" / "metadata.xlsx")
    rows = sheet(out, "DICOM_Metadata")
    assert [row["SeriesNumber"] for row in rows] == [7, 8]
    assert rows[0]["MagneticFieldStrength"] is None
    assert len(sheet(out, "Series_Summary")) == 2
    assert [path.name for path in out.parent.iterdir()] == ["metadata.xlsx"]


def test_the_rows_are_also_json(job, stack):
    content = json.loads((published(job(stack(1))) / "metadata.json").read_text())
    assert content["DICOM_Metadata"][0]["Modality"] == "CT"


def test_every_shipped_template_can_be_used_and_mr_holds_image_type():
    check_templates(None)
    assert "ImageType" in [entry.column for entry in template_for("MR")]
    dx = {entry.column for entry in template_for("DX")}
    assert dx < {entry.column for entry in template_for("MG")}
    assert template_for("DR") == template_for("CR") == template_for("DX")
    assert {entry.column for entry in template_for("NM")} < dx


def test_a_site_template_takes_the_place_of_the_one_shipped(tmp_path):
    (tmp_path / "ct.json").write_text('["KVP", {"keyword": "(0019,100c)", "column": "mine"}]')
    assert [entry.column for entry in template_for("CT", tmp_path)] == ["KVP", "mine"]
    assert len(template_for("DX", tmp_path)) > 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["EchoTimes"]', r"mr.json: EchoTimes: no such keyword \(did you mean EchoTime\?\)"),
        ('["EchoTime"]', "mr.json: ImageType is missing"),
        ('[{"keyword": "EchoTime", "agg": "mean"}]', "mr.json: EchoTime: agg 'mean': expected"),
        ('[{"keyword": "EchoTime", "colum": "x"}]', "mr.json: EchoTime: unknown key colum"),
        ("[3]", "mr.json: 3: expected a keyword"),
        ("[", "mr.json: line 1: "),
        ('{"include": "mr", "entries": []}', "include in a ring"),
    ],
)
def test_a_wrong_template_is_an_error_that_names_file_and_entry(tmp_path, content, message):
    (tmp_path / "mr.json").write_text(content)
    with pytest.raises(TemplateError, match=message):
        template_for("MR", tmp_path)


@pytest.mark.parametrize(
    ("agg", "expected"),
    [("first", 10), ("distinct", "10; 20"), ("min_max", "10 to 20"), ("count", 2)],
)
def test_the_values_of_a_series_become_one_cell(agg, expected):
    headers = [Dataset() for _ in range(3)]
    for header, echo in zip(headers, (10, 20, 20), strict=True):
        header.EchoTime = echo
    entry = parse_entry("t.json", {"keyword": "EchoTime", "agg": agg})
    assert aggregated(headers, entry) == expected


def test_elements_of_enhanced_objects_are_found_in_functional_groups():
    echo, shared, header = Dataset(), Dataset(), Dataset()
    echo.EffectiveEchoTime = 30.5
    shared.MREchoSequence = Sequence([echo])
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    assert cell_of(header, "EffectiveEchoTime") == 30.5


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00189087, "FD", 1000.0),
        (0x0019100C, "IS", 1000),
        (0x20011003, "FL", 1000.0),
        (0x00431039, "IS", [1000001000, 8, 0, 0]),
        (0x00431039, "UN", b"1000001000\\8\\0\\0"),
    ],
)
def test_the_b_value_is_read_from_every_vendor(tag, vr, value):
    header = Dataset()
    header.add_new(tag, vr, value)
    assert b_value_of(header) == 1000
