"""Reports: what a page tells of a study, that it needs nothing beside itself, what breaks none."""

import base64
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pydicom.data import get_testdata_file

from processor.errors import RowsError
from processor.job import run_job
from processor.report import ReportedStudy, studies_below, write_batch_report, write_report
from processor.reported import Remark, ReportedSeries, read_series
from processor.study import StudyResults, write_study
from safelight.cli import cli


class Page(HTMLParser):
    """The text of a page and what it points to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags = ["document"]
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.pictures: list[bytes] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.ids.add(given.get("id", ""))
        if "href" in given:
            self.links.append(given["href"])
        if "src" in given:
            kind, _, content = given["src"].partition(";base64,")
            assert kind == "data:image/jpeg"
            self.pictures.append(base64.b64decode(content))

    def handle_data(self, data):
        if self.tags[-1] != "style":
            self.words.append(data)


@pytest.fixture
def published(job):
    """Function that runs a job and returns its folder below results."""

    def run(source, uid="1.2.3.4", *, study="1.2.3", key="", **facts):
        request = job(source)
        request = replace(
            request,
            key=(key or uid.encode().hex()).ljust(64, "0"),
            study_uid=study,
            series_uid=uid,
            facts={**request.facts, **facts},
        )
        return request.results / run_job(request).folder

    return run


@pytest.fixture
def page(tmp_path):
    """Function that writes the report of a study and reads it back."""

    def make(folders, others=(), header=None):
        series = [read_series(folder) for folder in folders]
        path = tmp_path / "page" / "report.html"
        return Page(write_report(path, ReportedStudy.of((*series, *others), header)))

    return make


def test_a_study_is_told_with_picture_verification_quality_and_files(published, page, stack):
    shown = page([published(stack(6, SeriesDescription="T2 TSE", SeriesNumber=7))])
    assert "Nothing to look at." in shown.text
    assert "7 T2 TSE CT" in shown.text
    assert "6 of 6" in shown.text
    assert "complete: " not in shown.text  # no evidence was given
    assert "6 instances; complete" in shown.text
    assert "007_T2_TSE.nii.gz NIfTI volume" in shown.text
    (picture,) = shown.pictures
    with Image.open(io.BytesIO(picture)) as image:
        assert max(image.size) <= 640
        assert np.ptp(np.asarray(image)) > 50


def test_a_series_without_quality_control_is_told_without_quality(published, page, stack):
    folder = published(stack(4))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["steps"] = [step for step in manifest["steps"] if step["processor"] != "qc"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "4 of 4" in page([folder]).text


def test_a_page_needs_nothing_beside_itself(published, page, stack):
    shown = page([published(stack(4))])
    assert not {"script", "link", "iframe", "object"} & set(shown.tags)
    assert all(link.startswith("#") for link in shown.links)
    assert {link.removeprefix("#") for link in shown.links} <= shown.ids
    assert "http" not in shown.source
    assert "url(" not in shown.source


def test_what_is_to_be_looked_at_comes_first_and_the_worst_before_all(published, page, stack):
    blank = stack(4, SeriesDescription="Blank")
    for ds in blank:
        ds.PixelData = bytes(len(ds.PixelData))
    low = published(blank, "1.1", key="a" * 64)
    short = published(
        stack(4, SeriesDescription="Short", SeriesNumber=9),
        "1.2",
        key="b" * 64,
        instances_expected=20,
        evidence="the PACS lists 20",
    )
    shown = page([low, short])
    look, _, rest = shown.text.partition("Details")
    assert "9 Short : 16 of 20 instances missing" in look
    assert look.index("16 of 20 instances missing") < look.index("low quality: ")
    assert "Blank image" in look
    assert "incomplete: the PACS lists 20" in rest
    assert "4 of 4 judged images low (100 %)" in rest


def test_what_comes_from_headers_is_text_and_never_markup(published, page, stack):
    evil = '<script>alert("x")</script><img src=http://evil.example/x>'
    folder = published(
        stack(3, SeriesDescription=evil, PatientName=evil, StudyDescription=evil, PatientID=evil)
    )
    shown = page([folder])
    assert "script" not in shown.tags
    assert "evil.example" in shown.text
    assert len(shown.pictures) == 1


def test_objects_without_images_are_nothing_to_look_at(published, page):
    folder = published([Path(get_testdata_file("reportsi.dcm"))])
    shown = page([folder])
    assert not read_series(folder).is_low_quality
    assert "Nothing to look at." in shown.text
    assert "no volume in this object" in shown.text
    assert not shown.pictures


def test_a_picture_that_is_gone_or_damaged_is_left_out(published, page, stack):
    folder = published(stack(4))
    (folder / "preview.png").write_bytes(b"no picture")
    assert not page([folder]).pictures
    (folder / "preview.png").unlink()
    assert not page([folder]).pictures


def test_series_without_results_are_told_with_the_reason(published, page, stack):
    others = [
        ReportedSeries("1.2.3", "1.9", {"SeriesNumber": 1}, 3, remark=Remark("calm", "left out")),
        ReportedSeries("1.2.3", "1.8", {"SeriesNumber": 2}, 5, remark=Remark("bad", "given up: x")),
    ]
    shown = page([published(stack(3))], others, {"StudyDescription": "Knee"})
    look, _, rest = shown.text.partition("Details")
    assert look.startswith("Study report Knee")
    assert "2 without description : given up: x" in look
    assert "left out" not in look
    assert "left out" in rest
    assert "3 series, 11 instances" in look


def test_the_workbook_and_the_report_of_a_study_are_written_together(published, stack, tmp_path):
    study = StudyResults(tmp_path / "study", (published(stack(3)),))
    assert write_study(study, None) == tmp_path / "study" / "metadata.xlsx"
    assert sorted(path.name for path in study.folder.iterdir()) == ["metadata.xlsx", "report.html"]
    assert (study.folder / "report.html").stat().st_mode & 0o007 == 0


def test_two_patients_of_one_accession_number_are_told_apart(published, page, stack):
    folders = [
        published(stack(3, PatientID=f"00{n}", PatientName=f"Name^{n}"), f"1.{n}", study=f"2.{n}")
        for n in (1, 2)
    ]
    shown = page(folders)
    assert "2 patients. Their studies have the same accession number" in shown.text
    assert "Patient Name, 1, 001" in shown.text
    assert "Patient Name, 2, 002" in shown.text
    assert "accession number, so" not in page(folders[:1]).text


def test_a_list_of_many_studies_fits_the_paper_it_is_printed_on(
    published, stack, tmp_path, chromium
):
    for n in (1, 2):
        long = "2.25.325800806774747395396932538195399309325"
        published(stack(3, StudyDescription="w" * 60), f"1.{n}", study=f"{long}.{n}")
    path = write_batch_report(tmp_path / "all.html", studies_below([tmp_path / "results"]))
    landscape_a4 = {"width": 1016, "height": 688}  # 297 - 28 by 210 - 28 mm
    with chromium.new_context(viewport=landscape_a4) as context:
        tab = context.new_page()
        tab.goto(path.as_uri())
        tab.emulate_media(media="print")
        assert tab.evaluate("getComputedStyle(document.body).page") == "wide"
        fits = "document.documentElement.scrollWidth <= innerWidth"
        assert tab.evaluate(fits)
        assert tab.evaluate("document.querySelector('.scroll').scrollWidth <= innerWidth")


def test_many_studies_are_listed_with_links_to_their_reports(published, stack, tmp_path):
    folders = [
        published(
            stack(3, AccessionNumber=f"A {n}", StudyDate="20260101"), f"1.{n}", study=f"2.{n}"
        )
        for n in (1, 2)
    ]
    write_report(folders[0].parent / "report.html", ReportedStudy.of([read_series(folders[0])]))
    studies = studies_below([tmp_path / "results"])
    shown = Page(write_batch_report(tmp_path / "all.html", studies))
    assert shown.text.startswith("Report of 2 studies 2 studies Series 2 Instances 6")
    assert "A 1" in shown.text
    assert "A 2" in shown.text
    (link,) = shown.links
    assert (tmp_path / link).samefile(folders[0].parent / "report.html")


def test_a_later_revision_takes_the_place_of_an_earlier_one(published, stack, tmp_path):
    first = published(stack(3), key="a" * 64)
    later = published(stack(5), key="b" * 64)
    manifest = json.loads((later / "manifest.json").read_text())
    (later / "manifest.json").write_text(json.dumps(manifest | {"revision": 2}))
    (study,) = studies_below([tmp_path / "results"])
    assert [one.folder for one in study.series] == [later]
    assert first.is_dir()


@pytest.mark.parametrize("content", ["{", "[]", '{"key": 1}', '{"key": 1, "steps": [{}]}'])
def test_a_damaged_manifest_is_an_error_that_names_its_folder(published, stack, tmp_path, content):
    folder = published(stack(3))
    (folder / "manifest.json").write_text(content)
    with pytest.raises(RowsError, match=f"{folder.name}: its manifest.json is not what was"):
        studies_below([tmp_path / "results"])


def test_the_command_writes_a_page_of_one_study_or_of_many(published, stack, tmp_path):
    published(stack(3, StudyDescription="Knee"), "1.1", study="2.1")
    results, out = tmp_path / "results", tmp_path / "out.html"
    ran = CliRunner().invoke(cli, ["report", str(results), "--out", str(out)])
    assert (ran.exit_code, ran.output) == (0, f"1 study in {out}\n")
    assert "Knee Patient" in Page(out).text
    published(stack(3, StudyDescription="Hip"), "1.2", study="2.2")
    ran = CliRunner().invoke(cli, ["report", str(results), "--out", str(out)])
    assert (ran.exit_code, ran.output) == (0, f"2 studies in {out}\n")
    assert {"Knee", "Hip"} <= set(Page(out).text.split())


def test_the_command_says_where_nothing_is_published(tmp_path):
    ran = CliRunner().invoke(cli, ["report", str(tmp_path), "--out", str(tmp_path / "x.html")])
    assert ran.exit_code == 1
    assert f"nothing is published below {tmp_path}" in ran.output
    assert not (tmp_path / "x.html").exists()
