"""Studies for programs: lists, searches and what is missing. Roles: test_faults_web.py."""

import dataclasses
import io
import json
import zipfile

import pytest

from listener.retrievals import ListedSeries, Retrieval
from web_status.api.operation import PREFIX
from web_status.archive import Wanted


@pytest.fixture
def three(chronicle):
    """Three studies, of two patients."""
    jane = {"PatientName": "DOE^JANE", "PatientID": "P1"}
    chronicle.whole_series(series="1.1.1", study="1.1", AccessionNumber="A1", **jane)
    chronicle.whole_series(series="1.2.1", study="1.2", Modality="CT", AccessionNumber="", **jane)
    chronicle.whole_series(series="1.3.1", study="1.3", PatientName="ROE^RICHARD", PatientID="P3")


def numbers(answer):
    assert answer.status == 200, answer.text
    return [each["id"] for each in answer.json["items"]]


def audited(context):
    lines = (context.data / "audit.log").read_text().splitlines()
    return [(told["user"], told["action"], told["target"]) for told in map(json.loads, lines)]


def test_studies_are_paged_by_study_to_both_ends(api, three):
    def listed(query):
        answer = api("olga", "GET", f"/studies?size=1{query}")
        return numbers(answer), answer.json["has_newer"], answer.json["has_older"]

    assert listed("") == ([3], False, True)
    assert listed("&before=3") == ([2], True, True)
    assert listed("&before=2") == ([1], True, False)
    assert listed("&after=1") == ([2], True, True)
    assert listed("&after=2") == ([3], False, True)
    assert listed("&before=1") == ([], True, False)


def test_what_tells_of_nobody_is_looked_for_in_the_address(api, three):
    def listed(query):
        return numbers(api("victor", "GET", f"/studies?{query}"))

    assert listed("modality=ct&state=done") == [2]
    assert listed("first_day=2026-11-03&last_day=2026-11-03") == [3, 2, 1]
    assert listed("last_day=2026-11-02") == []
    assert listed("grade=quiet") == []
    assert listed("low_quality=true") == []


@pytest.mark.parametrize(
    "query",
    [
        *("patient=jane", "accession=A1", "state=well", "grade=x"),
        *("first_day=1.1.2026", "last_day=0", "last_day=20260131", "last_day=2026-02-30"),
        *("low_quality=1", "low_quality=yes", "before=x", "after=-1"),
    ],
)
def test_what_would_name_somebody_or_is_not_offered_is_refused_in_an_address(api, three, query):
    refused = api("olga", "GET", f"/studies?{query}")
    assert refused.status == 422
    assert "jane" not in refused.text


def test_somebody_is_looked_for_in_the_body_and_the_audit_trail_does_not_say_who(
    api, context, three
):
    def found(**asked):
        return numbers(api("olga", "POST", "/studies/search", asked))

    assert found(patient="jane doe") == [2, 1]
    assert found(patient="jane", modality="MR") == [1]
    assert found(accession="a1") == [1]
    assert found(patient="jane", size=1, before=2) == [1]
    assert audited(context) == [("olga", "studies searched", "")] * 4
    assert found(modality="CT") == [2]
    assert len(audited(context)) == 4  # that was for nobody
    assert "jane" not in (context.data / "audit.log").read_text().lower()


def test_viewers_look_for_no_patient_and_learn_no_name(api, three):
    refused = api("victor", "POST", "/studies/search", {"patient": "jane"})
    assert (refused.status, "items" in refused.json) == (403, False)
    assert numbers(api("victor", "POST", "/studies/search", {"accession": "A1"})) == [1]
    told = api("victor", "GET", "/studies").text + api("victor", "GET", "/studies/1").text
    assert "(hidden)" in told
    for name in ("DOE", "JANE", "ROE", "P1", "P3"):
        assert f'"{name}' not in told


def test_a_study_is_told_with_what_is_missing_of_it(context, serve_node, users, three):
    uids = frozenset(f"1.1.1.{number}" for number in range(1, 5))
    series = {"1.1.1": ListedSeries(None, uids), "1.1.9": ListedSeries(7)}
    told = Retrieval("1.1", "PACS1", series, ended=True)
    changed = dataclasses.replace(context, told=lambda uid: told if uid == "1.1" else None)
    page, bearer = serve_node(changed), {"Authorization": f"Bearer {users.add_token('olga', 't')}"}
    study = page.get(f"{PREFIX}/studies/1", **bearer).json
    assert (study["StudyInstanceUID"], study["has_workbook"]) == ("1.1", False)
    short = {"SeriesInstanceUID": "1.1.1", "series_id": 1, "expected": 4, "missing": 2}
    none = {"SeriesInstanceUID": "1.1.9", "series_id": None, "expected": 7, "missing": 7}
    assert study["missing"] == {
        "pacs": "PACS1",
        "instances": 9,
        "series": [{**short, "uids": ["1.1.1.3", "1.1.1.4"]}, {**none, "uids": []}],
    }
    assert page.get(f"{PREFIX}/studies/2", **bearer).json["missing"]["pacs"] == ""
    ordered = page.get(f"{PREFIX}/studies/1/fetch", "POST", **bearer)
    assert (ordered.status, ordered.json) == (201, {"number": 1})
    assert context.actions.deeds == [("retrieve", Wanted("A1", "study 1", "main"))]
    refused = page.get(f"{PREFIX}/studies/2/fetch", "POST", **bearer)
    assert (refused.status, "no accession number" in refused.json["detail"]) == (409, True)


def test_studies_are_found_by_their_uids_and_told_with_their_instances(api, three):
    found = api("victor", "POST", "/studies/search", {"study_uids": ["1.1", "1.3", "1.77"]})
    assert numbers(found) == [3, 1]
    told = api("victor", "GET", "/studies/1/instances")
    uids = {"SeriesInstanceUID": "1.1.1", "uids": ["1.1.1.1", "1.1.1.2"]}
    assert (told.status, told.json) == (200, {"series": [uids]})
    assert api("victor", "GET", "/studies/77/instances").status == 404
    for wrong in (["x"], ["1.1"] * 201):
        assert api("olga", "POST", "/studies/search", {"study_uids": wrong}).status == 422


def test_series_and_studies_are_processed_again(api, context, three):
    assert api("olga", "POST", "/series/2/again").status == 204
    assert api("olga", "POST", "/studies/3/again").status == 204
    assert context.actions.deeds == [("decide again", (2,)), ("decide again", (3,))]
    assert api("olga", "POST", "/studies/4/again").status == 404


def test_all_results_come_as_one_zip_and_not_to_who_may_not_see_names(api, three, context):
    answer = api("olga", "GET", "/studies/1/package")
    assert answer.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        assert "package.json" in archive.namelist()
    assert audited(context) == [("olga", "study downloaded", "1")]
    assert api("victor", "GET", "/studies/1/package").status == 403


def test_before_there_is_a_ledger_there_are_no_studies(api):
    assert numbers(api("victor", "GET", "/studies")) == []
    assert numbers(api("olga", "POST", "/studies/search", {"patient": "jane"})) == []
    for path in ("/studies/1", "/studies/1/package"):
        assert api("olga", "GET", path).status == 404
