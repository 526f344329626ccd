"""Looking for studies in a PACS, and ordering them. The PACS itself: tests/acceptance."""

from urllib.parse import urlencode

import pytest

from web_status.archive import Sought, Wanted

from .forms import form

FORM = {"Content_Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def olga(page, users, log_in):
    """Headers of an operator."""
    return log_in(page, "olga")


@pytest.fixture
def post(page, olga):
    """Function that sends fields to a path as an operator."""
    return lambda path, fields: page.get(
        path, "POST", urlencode(fields, doseq=True).encode(), **olga, **FORM
    )


def deeds(context):
    return context.actions.deeds


TYPED = {
    "accessions": " A1\nA2 ",
    "name": "Knees",
    "pacs": "research",
    "method": "get",
    "modalities": "MR, CT",
    "least": "20",
    "no_derived": "on",
    "format": "npz",
    "run": ["convert", "qc"],
}
MEANT = Wanted(
    *("A1\nA2", "Knees", "research", "get", "MR, CT", "20"),
    no_derived=True,
    output_format="npz",
    run=("convert", "qc"),
)


def test_a_retrieve_is_ordered_with_what_was_typed(post, context):
    answer = post("/retrieves", TYPED)
    assert (answer.status, answer.headers["Location"]) == (303, "/retrieves/1")
    assert deeds(context) == [("retrieve", MEANT)]
    audit = (context.data / "audit.log").read_text()
    assert '"retrieve ordered", "user": "olga", "target": "list 1"' in audit


def test_it_can_be_tried_out_first_and_what_was_typed_stays(post, context):
    shown = post("/retrieves/plan", TYPED).text
    assert deeds(context) == [("plan", MEANT)]
    for told in ("T2 sag", "left out: Scouts: a scout", "the PACS has no study of it"):
        assert told in shown
    assert ">A1\nA2</textarea>" in shown
    assert "<option selected>research</option>" in shown
    assert '<option value="get" selected>C-GET</option>' in shown
    assert 'name="no_derived" type="checkbox" checked' in shown
    assert '<option value="npz" selected>NPZ</option>' in shown
    ticked = [
        name
        for name in ("convert", "qc", "preview")
        if f'value="{name}" type="checkbox" checked' in shown
    ]
    assert ticked == ["convert", "qc"]


def test_a_search_shows_what_the_pacs_has_and_nothing_of_it_in_addresses(post, page, context, olga):
    sought = {"pacs": "main", "patient_name": "DOE*", "first_day": "2026-11-01", "modality": "MR"}
    shown = post("/search", sought).text
    meant = Sought("main", patient_name="DOE*", first_day="2026-11-01", modality="MR")
    assert deeds(context) == [("search", meant)]
    assert "2 studies and more; ask for less" in shown
    assert "DOE, JANE" in shown
    assert 'name="accessions" value="A7"' in shown
    assert "none: it cannot be ordered by one" in shown
    assert 'name="patient_name" maxlength="194" value="DOE*"' in shown
    assert "DOE" not in (context.data / "audit.log").read_text()


def test_chosen_studies_are_ordered_together(post, context):
    post("/retrieves", {"pacs": "main", "accessions": ["A7", "A8"]})
    assert deeds(context) == [("retrieve", Wanted("A7\nA8", pacs="main"))]


def test_a_file_fills_the_form(page, context, olga):
    body, kind = form(("list", "knees.txt", b"A1 A2"))
    answer = page.get("/retrieves/file", "POST", body, Content_Type=kind, **olga)
    assert ">A1\nA2</textarea>" in answer.text
    assert 'value="knees.txt"' in answer.text
    assert deeds(context) == [("read list", "knees.txt")]


def test_a_file_that_is_too_large_or_absent_is_told(page, context, olga):
    body, kind = form(("list", "knees.txt", b"1\n" * (3 << 20)))
    assert page.get("/retrieves/file", "POST", body, Content_Type=kind, **olga).status == 413
    body, kind = form(("list", None, b"A1"))
    answer = page.get("/retrieves/file", "POST", body, Content_Type=kind, **olga)
    assert "no file was chosen" in answer.text
    assert deeds(context) == []


def test_what_the_pacs_refuses_is_told(post, context):
    context.actions.problem = "cannot reach PACS1 at 10.1.2.3:104"
    for path in ("/retrieves", "/retrieves/plan", "/search"):
        answer = post(path, {"accessions": "A1", "accession": "A1"})
        assert answer.status == 409
        assert "cannot reach PACS1" in answer.text
