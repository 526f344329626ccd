"""Downloads, and that nothing outside the results folder can be had. Not covered: huge files."""

import base64
import hashlib
from pathlib import Path

import pytest

from processor.model import Output, StepResult
from web_status.downloads import file_below
from web_status.errors import FileGone, OutsideResults


@pytest.fixture
def published(chronicle):
    """Folder of a job whose outputs are 1, a NIfTI, and 2, a picture."""
    chronicle.arrive(SeriesDescription="DOE JANE")
    chronicle.decide(chronicle.close())
    return chronicle.finish(chronicle.claim())


def record_output(chronicle, path: str) -> None:
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    output = Output(path, "nifti", 3, "0" * 64)
    step = StepResult("convert", "done", "ok", {}, (output,))
    chronicle.record(chronicle.claim(), Path("study"), (step,))


def test_a_result_is_downloaded_byte_for_byte_under_its_own_name(page, published):
    answer = page.get("/outputs/1", Accept_Encoding="gzip")
    assert answer.status == 200
    assert answer.body == (published / "007_T2.nii.gz").read_bytes()
    assert answer.headers["Content-Type"] == "application/gzip"
    assert answer.headers["Content-Encoding"] is None
    name = "attachment; filename*=UTF-8''007_T2.nii.gz"
    assert answer.headers["Content-Disposition"] == name


def test_a_picture_is_shown_in_the_page(page, published):
    answer = page.get("/outputs/2")
    assert answer.body == (published / "preview.png").read_bytes()
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] is None
    again = page.get("/outputs/2", If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


def test_part_of_a_result_can_be_had_to_go_on_with_a_download(page, published):
    answer = page.get("/outputs/1", Range="bytes=2-4")
    assert (answer.status, answer.body) == (206, (published / "007_T2.nii.gz").read_bytes()[2:5])


def test_the_size_can_be_asked_without_the_content(page, published):
    answer = page.get("/outputs/1", method="HEAD")
    size = (published / "007_T2.nii.gz").stat().st_size
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) == size


def test_a_study_has_a_workbook_once_it_is_written(page, chronicle):
    closed = chronicle.whole_series(2)
    assert page.get("/studies/1/workbook").status == 404
    chronicle.workbook(closed, b"PK workbook")
    assert 'href="/studies/1/workbook"' in page.get("/studies/1").text
    answer = page.get("/studies/1/workbook")
    assert (answer.status, answer.body) == (200, b"PK workbook")
    assert "metadata.xlsx" in answer.headers["Content-Disposition"]


def test_the_report_of_a_study_is_a_page_of_its_own_policy(page, chronicle, context):
    closed = chronicle.whole_series(2)
    assert page.get("/studies/1/report").status == 404
    chronicle.workbook(closed, b"PK workbook")
    assert 'href="/studies/1/report"' in page.get("/studies/1").text
    answer = page.get("/studies/1/report")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy
    assert "default-src 'none'" in policy
    (context.results / "study" / "report.html").unlink()
    assert "moved or removed it" in page.get("/studies/1/report").text


def test_a_result_that_was_removed_is_explained(page, published):
    (published / "007_T2.nii.gz").unlink()
    answer = page.get("/outputs/1")
    assert answer.status == 404
    assert "moved or removed it" in answer.text


@pytest.mark.parametrize("path", ["../../secret.txt", "/etc/hostname"])
def test_a_path_in_the_ledger_that_leads_out_of_the_results_is_not_followed(
    page, chronicle, context, path
):
    (context.results.parent / "secret.txt").write_text("secret")
    record_output(chronicle, path)
    answer = page.get("/outputs/1")
    assert answer.status == 404
    assert "secret" not in answer.text


def test_a_symbolic_link_that_leads_out_of_the_results_is_not_followed(page, chronicle, context):
    (context.results.parent / "secret.txt").write_text("secret")
    (context.results / "study").mkdir()
    (context.results / "study" / "link.nii.gz").symlink_to(context.results.parent / "secret.txt")
    record_output(chronicle, "link.nii.gz")
    assert page.get("/outputs/1").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fpyproject.toml",
        "/outputs/../../etc/passwd",
        "/outputs/1/../../../etc/passwd",
        "//etc/passwd",
    ],
)
def test_a_path_in_the_address_leads_nowhere(page, published, path):
    answer = page.get(path)
    assert answer.status == 404
    assert b"import" not in answer.body
    assert b"root:" not in answer.body


def test_a_result_is_never_a_page_of_ours(page, chronicle, context):
    record_output(chronicle, "report.html")
    (context.results / "study").mkdir()
    (context.results / "study" / "report.html").write_text("<script>alert(1)</script>")
    answer = page.get("/outputs/1")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_neighbour_whose_name_begins_like_the_results_is_outside(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results-old").mkdir()
    (tmp_path / "results-old" / "a").write_text("a")
    with pytest.raises(OutsideResults):
        file_below(tmp_path / "results", "../results-old/a")
    with pytest.raises(FileGone):
        file_below(tmp_path / "results", "a")


def test_the_checksum_on_the_page_is_that_of_the_download(page, published):
    digest = hashlib.sha256(page.get("/outputs/1").body).hexdigest()
    assert digest in page.get("/series/1").text
