"""The list of studies and what is done on the page of one. What filters find: tests/ledger."""

import dataclasses
import http.client
import io
import json
import re
import zipfile
from gettext import NullTranslations
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ledger.reader import LedgerReader
from listener.retrievals import ListedSeries, Retrieval
from processor.model import Output, StepResult
from web_status.wording import Wording

FORM = {"Content_Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def olga(page, users, log_in):
    """Headers of an operator."""
    return log_in(page, "olga")


@pytest.fixture
def victor(page, users, log_in):
    """Headers of a viewer."""
    return log_in(page, "victor")


@pytest.fixture
def three(chronicle):
    """Three studies, of two patients."""
    jane = {"PatientName": "DOE^JANE", "PatientID": "P1"}
    chronicle.whole_series(series="1.1.1", study="1.1", AccessionNumber="A1", **jane)
    chronicle.whole_series(series="1.2.1", study="1.2", Modality="CT", AccessionNumber="", **jane)
    chronicle.whole_series(series="1.3.1", study="1.3", PatientName="ROE^RICHARD", PatientID="P3")


def search(page, headers, **given):
    return page.get("/studies", "POST", urlencode(given).encode(), **FORM, **headers)


def listed(answer):
    return re.findall(r'<tr id="study-(\d+)"', answer.text)


def audited(context):
    lines = (context.data / "audit.log").read_text().splitlines()
    return [(told["user"], told["action"], told["target"]) for told in map(json.loads, lines)]


def test_studies_are_listed_the_latest_first_with_what_is_known_of_them(page, chronicle, three):
    chronicle.close_study("1.3")
    answer = page.get("/studies")
    assert listed(answer) == ["3", "2", "1"]
    row = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text.partition("study-3")[2]))
    for word in ("Spine", "MR", "2026-11-03", "ROE, RICHARD", "P3", "Normal", "1 done"):
        assert word in row
    assert "complete: all series are closed" in row


def test_what_tells_of_nobody_is_in_the_address_and_what_names_somebody_is_not(page, three, olga):
    answer = search(page, olga, modality="ct", state="done", first="2026-01-01")
    assert answer.status == 303
    where = answer.headers["Location"]
    assert where == "/studies?first=2026-01-01&modality=CT&state=done"
    assert listed(page.get(where, **olga)) == ["2"]
    answer = search(page, olga, patient="jane", modality="MR")
    assert (answer.status, listed(answer)) == (200, ["1"])
    assert 'value="jane"' in answer.text
    assert listed(search(page, olga, accession="A1")) == ["1"]
    for link in re.findall(r'(?:href|action)="([^"]+)"', answer.text):
        assert "jane" not in link


def test_a_search_for_somebody_is_audited_without_who_it_was(page, context, three, olga):
    search(page, olga, patient="jane")
    assert audited(context)[-1] == ("olga", "studies searched", "")
    assert "jane" not in (context.data / "audit.log").read_text().lower()


def test_viewers_find_no_patient_and_learn_no_name(page, three, victor):
    answer = page.get("/studies", **victor)
    assert listed(answer) == ["3", "2", "1"]
    assert 'name="patient"' not in answer.text
    for name in ("DOE", "JANE", "ROE", "P1", "P3"):
        assert name not in answer.text
    answer = search(page, victor, patient="jane")
    assert answer.status == 403
    assert listed(answer) == []
    assert listed(search(page, victor, accession="A1")) == ["1"]
    assert search(page, victor, modality="MR").status == 303


@pytest.mark.parametrize(
    "query",
    [
        *("patient=jane", "accession=A1", "state=well", "grade=x", "first=1.1.2026", "low=yes"),
        *("before=x", "after=-1", "before=1234567890123456789", f"modality={'x' * 17}"),
    ],
)
def test_what_is_not_offered_or_would_name_somebody_is_refused_in_an_address(page, three, query):
    assert page.get(f"/studies?{query}").status == 400


def test_pages_of_a_list_and_of_a_search_lead_on(page, chronicle, olga):
    for number in range(1, 53):
        chronicle.arrive(series=f"1.{number}.1", study=f"1.{number}")
    first = page.get("/studies", **olga)
    assert len(listed(first)) == 50
    (older,) = re.findall(r'rel="next" href="([^"]+)"', first.text)
    assert older == "/studies?before=3"
    second = page.get(older, **olga)
    assert listed(second) == ["2", "1"]
    assert 'rel="next"' not in second.text
    (newer,) = re.findall(r'rel="prev" href="([^"]+)"', second.text)
    assert len(listed(page.get(newer, **olga))) == 50
    found = search(page, olga, patient="jane")
    assert 'rel="next"' not in found.text
    form = found.text[found.text.index('<nav class="pages"') :]
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    assert hidden["patient"] == "jane"
    assert listed(search(page, olga, **hidden)) == ["2", "1"]


def test_an_empty_list_says_why(page, chronicle, three, olga):
    assert "No study is like that" in search(page, olga, patient="nobody").text
    assert "No study is like that" in page.get("/studies?modality=NM", **olga).text


def test_without_a_ledger_the_list_is_empty(page):
    assert "No study has arrived yet" in page.get("/studies").text
    assert page.get("/studies/1").status == 404
    assert page.get("/studies/1/package").status == 404


def retrieved(context, serve_node, **series):
    """A page whose study 1.1 was listed by PACS1 with these series."""
    told = Retrieval("1.1", "PACS1", series, ended=True)
    return serve_node(dataclasses.replace(context, told=lambda uid: told if uid == "1.1" else None))


def test_missing_instances_are_named(context, serve_node, three):
    uids = frozenset(f"1.1.1.{number}" for number in range(1, 5))
    page = retrieved(
        context, serve_node, **{"1.1.1": ListedSeries(None, uids), "1.1.9": ListedSeries(7)}
    )
    text = page.section("missing", "/studies/1")
    assert "9 instances of 2 series did not come, by what PACS1 said" in text
    assert "MR 7 T2 TSE sagittal: 2 instances of 4 missing" in text
    assert " 1.1.1.3 " in text
    assert " 1.1.1.4 " in text
    assert " 1.1.1.2 " not in text
    assert "A series of which nothing came: 7 instances of 7 missing" in text
    assert "counted its instances and did not list them" in text
    assert "No PACS has been asked" in page.section("missing", "/studies/2")


def test_where_all_is_here_nothing_is_missing(context, serve_node, three):
    page = retrieved(
        context, serve_node, **{"1.1.1": ListedSeries(None, frozenset({"1.1.1.1", "1.1.1.2"}))}
    )
    assert "Nothing: all that PACS1 said" in page.section("missing", "/studies/1")


def test_what_is_missing_is_ordered_from_whom_it_was_listed(
    context, serve_node, three, users, log_in
):
    page = retrieved(context, serve_node, **{"1.1.9": ListedSeries(7)})
    olga = log_in(page, "olga")
    answer = page.get("/studies/1/fetch", "POST", **olga)
    assert (answer.status, answer.headers["Location"]) == (303, "/retrieves/1")
    (deed,) = context.actions.deeds
    assert (deed[0], deed[1].accessions, deed[1].pacs) == ("retrieve", "A1", "main")
    assert audited(context)[-1] == ("olga", "missing instances ordered", "study 1, list 1")
    answer = page.get("/studies/2/fetch", "POST", **olga)
    assert (answer.status, "no accession number" in answer.text) == (409, True)


def test_an_accession_number_that_parts_a_list_is_not_ordered(page, chronicle, context, olga):
    chronicle.arrive(AccessionNumber="A 1")
    answer = page.get("/studies/1/fetch", "POST", **olga)
    assert (answer.status, "part a list" in answer.text) == (409, True)
    assert context.actions.deeds == []


def test_a_series_or_a_study_is_processed_again(page, chronicle, context, three, olga):
    chronicle.whole_series(series="1.1.2", study="1.1")
    answer = page.get("/series/2/again", "POST", **olga)
    assert (answer.status, answer.headers["Location"]) == (303, "/series/2#jobs")
    answer = page.get("/studies/1/again", "POST", **olga)
    assert (answer.status, answer.headers["Location"]) == (303, "/studies/1")
    assert context.actions.deeds == [("decide again", (2,)), ("decide again", (1, 4))]
    deeds = [("olga", "series processed again", "2"), ("olga", "study processed again", "1")]
    assert audited(context)[-2:] == deeds


def test_all_results_of_a_study_come_as_one_zip(page, chronicle, context, olga):
    closed = chronicle.whole_series(2)
    chronicle.workbook(closed, b"the workbook")
    answer = page.get("/studies/1/package", **olga)
    assert answer.status == 200
    assert answer.headers["Content-Disposition"] == 'attachment; filename="study-1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert archive.read("study/metadata.xlsx") == b"the workbook"
    folder = "study/001_T2-key-1-1"
    made = {f"{folder}/007_T2.nii.gz", f"{folder}/preview.png"}
    assert names == {*made, "study/metadata.xlsx", "study/report.html", "package.json"}
    assert audited(context)[-1] == ("olga", "study downloaded", "1")
    deed = json.loads((context.data / "audit.log").read_text().splitlines()[-1])
    assert deed["study"] in deed["message"]
    assert page.get("/studies/1/workbook", **olga).status == 200
    assert audited(context)[-1] == ("olga", "workbook downloaded", "1")
    kinds = {page.get(f"/outputs/{number}", **olga).headers["Content-Type"] for number in (1, 2)}
    assert "image/png" in kinds  # which is looked at, and no download
    assert [what for _, what, _ in audited(context)].count("output downloaded") == 1


def test_who_asks_only_whether_there_is_a_zip_has_not_downloaded_it(
    page, chronicle, context, olga, monkeypatch
):
    def made(*_given):
        raise AssertionError("it was made")

    monkeypatch.setattr("web_status.downloads.archive_stream", made)
    chronicle.whole_series(2)
    answer = page.get("/studies/1/package", "HEAD", **olga)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip")
    assert page.get("/studies/2/package", "HEAD", **olga).status == 404
    assert "study downloaded" not in [action for _, action, _ in audited(context)]


def test_superseded_results_and_packages_are_not_in_the_zip(page, chronicle, context, olga):
    chronicle.whole_series(2)
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    job, folder = chronicle.claim(), Path("study/second")
    (context.results / folder).mkdir()
    (context.results / folder / "package.zip").write_bytes(b"PK")
    (context.results / folder / "new.nii.gz").write_bytes(b"x")
    outputs = (Output("package.zip", "package", 2, ""), Output("new.nii.gz", "nifti", 1, ""))
    chronicle.record(job, folder, (StepResult("package", "done", "", {}, outputs),))
    with zipfile.ZipFile(io.BytesIO(page.get("/studies/1/package", **olga).body)) as archive:
        assert set(archive.namelist()) == {"study/second/new.nii.gz", "package.json"}


def test_a_zip_breaks_off_where_a_file_cannot_be_read_any_more(page, chronicle, context):
    chronicle.whole_series(2)
    (volume,) = context.results.rglob("*.nii.gz")
    volume.write_bytes(bytes(64 << 20))  # more than sockets hold
    answer = page.stream("/studies/1/package")
    assert answer.read(4) == b"PK\x03\x04"
    (picture,) = context.results.rglob("preview.png")
    picture.unlink()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)) as broken:
        answer.read()
    assert b"<html" not in getattr(broken.value, "partial", b"")


def test_a_zip_that_would_be_too_large_or_empty_is_refused(serve_page, chronicle, users, log_in):
    page = serve_page(download_bytes_max=100)
    olga = log_in(page, "olga")
    chronicle.arrive(series="1.2.9", study="1.9")
    answer = page.get("/studies/1/package", **olga)
    assert (answer.status, "nothing is published" in answer.text) == (409, True)
    chronicle.whole_series(2)
    answer = page.get("/studies/2/package", **olga)
    assert (answer.status, "more than the 0.0 MB allowed" in answer.text) == (409, True)


def test_an_open_association_says_how_much_and_how_fast(page, chronicle):
    chronicle.event("accepted", at="2026-11-23T10:00:00.000+00:00")
    assert "nothing sent yet" in page.section("moving", "/")
    chronicle.arrive(count=3)
    text = page.section("moving", "/")
    assert "PACS1 10.1.2.3 3 instances, 1.58 MB, " in text
    assert "instances/s" in text


def test_the_pace_is_that_from_the_beginning_to_the_latest(page, chronicle):
    chronicle.event("accepted")
    chronicle.arrive(count=2)
    (association,) = LedgerReader(page.context.ledger).associations()
    known = {"began_at": "2026-11-23T10:00:00.000+00:00", "stored": 480, "bytes": 252_000_000}
    of = dataclasses.replace(association, latest_at="2026-11-23T10:00:10.000+00:00", **known)
    pace = Wording(NullTranslations()).pace
    assert pace(of) == "48 instances/s, 25.2 MB/s on average"
    assert pace(dataclasses.replace(of, latest_at=of.began_at)) == ""
