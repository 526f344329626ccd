"""What viewers are shown: everything but who the patients are, in pages, updates and downloads.

Not covered: names that are burned into pixels, and nicknames, which nothing can know.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.reader import LedgerReader
from ledger.retrieve_records import RetrievedSeries
from ledger.rows import HistoryRow, SeriesRow
from processor.model import Output, StepResult
from rules.model import Reason, RuleReason
from web_status.details import Entry, Table
from web_status.veil import HIDDEN, NAMELESS_KINDS, veil, without_names
from web_status.views import Fragment, View

NAMES = re.compile(r"doe|jane|P0042|0815", re.IGNORECASE)
PATHS = ("/", "/studies/1", "/series/1", "/alarms")
EVENTS = ("kind=now&number=1", "kind=study&number=1", "kind=series&number=1")


@pytest.fixture
def told(chronicle):
    """A node that repeats the name of a patient wherever text is free."""
    chronicle.arrive(
        count=2,
        PatientName="DOE^JANE",
        SeriesDescription="T2 for Jane",
        StudyDescription="Spine (doe, jane)",
    )
    closed = chronicle.close(evidence="2 of P0042, then quiet for 10 s")
    condition = Reason("PatientName = DOE^JANE: contains DOE", "yes")
    other = Reason("not: OtherPatientIDs = 0815: in [0815]", "no")
    reasons = (RuleReason("Everything", "yes", (condition, other)),)
    chronicle.decide(closed, summary="Everything, for P0042 -> convert", reasons=reasons)
    job = chronicle.claim()
    folder = Path("study/DOE")
    (chronicle._results / folder).mkdir(parents=True)
    kinds = {"a_DOE.nii.gz": "nifti", "DOE.json": "sidecar", "JANE.xlsx": "workbook"}
    outputs = [chronicle._publish(folder, name, kind, b"x") for name, kind in kinds.items()]
    details = {"to": "/data/P0042", "files": [{"name": "JANE_DOE.nii.gz", "n": 1}]}
    step = StepResult("convert", "done", "ok, for DOE_JANE", details, tuple(outputs))
    chronicle.record(job, folder, (step,))
    chronicle.workbook(closed, b"PK DOE")
    chronicle.arrive(count=1, series="1.2.4", PatientName="DOE^JANE")
    chronicle.decide(chronicle.close(series="1.2.4"))
    chronicle.bury(chronicle.claim(), "OptionError: no folder for DOE^JANE")


def test_pages_name_nobody_to_viewers(page, told, users, log_in):
    viewer = log_in(page, "victor")
    for path in PATHS:
        text = page.get(path, **viewer).text
        assert NAMES.findall(text) == []
        assert path == "/alarms" or HIDDEN in text
        assert "names of patients are hidden" in text


def test_pages_name_patients_to_operators_and_administrators(page, told, users, log_in):
    for name in ("olga", "ada"):
        headers = log_in(page, name)
        for path in PATHS[:3]:
            text = page.get(path, **headers).text
            assert "DOE, JANE" in text
            assert HIDDEN not in text


def test_updates_name_nobody_to_viewers_also_beside_others(page, told, users, log_in, chronicle):
    headers = {name: log_in(page, name) for name in USERS}
    for number, query in enumerate(EVENTS):
        open_to = {name: page.stream(f"/events?{query}", **headers[name]) for name in USERS}
        chronicle.arrive(count=1, series=f"1.2.5{number}", PatientName="DOE^JANE")
        for name, stream in open_to.items():
            text = event(stream)
            assert (NAMES.search(text) is None) == (name == "victor")


USERS = ("ada", "victor", "olga")


def event(stream) -> str:
    """The HTML of the next event."""
    while True:
        line = stream.readline().decode()
        if line.startswith("data: "):
            return " ".join(json.loads(line.removeprefix("data: "))["html"].values())


def test_only_downloads_that_name_nobody_are_for_viewers(page, told, users, log_in):
    viewer, operator = log_in(page, "victor"), log_in(page, "olga")
    paths = ("/outputs/1", "/outputs/2", "/outputs/3", "/studies/1/workbook", "/studies/1/report")
    assert [page.get(path, **operator).status for path in paths] == [200] * 5
    assert [page.get(path, **viewer).status for path in paths] == [200, 403, 403, 403, 403]
    assert [page.get(path, "HEAD", **viewer).status for path in paths] == [200, 403, 403, 403, 403]
    name = page.get("/outputs/1", **viewer).headers["Content-Disposition"]
    assert name == "attachment; filename*=UTF-8''nifti-1.nii.gz"
    refused = page.get("/outputs/2", **viewer).text
    assert "names patients, who are hidden from your role" in refused
    shown = page.get("/series/1", **viewer).text
    assert re.findall(r'href="(/outputs/\d+)"', shown) == ["/outputs/1"]
    assert "/workbook" not in page.get("/studies/1", **viewer).text


def test_a_kind_of_output_nobody_thought_of_is_refused(page, chronicle, users, log_in):
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    output = Output("new.bin", "invented", 1, "0" * 64)
    chronicle.record(
        chronicle.claim(), Path("study"), (StepResult("convert", "done", "", {}, (output,)),)
    )
    assert page.get("/outputs/1", **log_in(page, "victor")).status == 403
    assert "invented" not in NAMELESS_KINDS


def test_a_site_may_show_names_to_viewers(serve_page, told, users, log_in):
    page = serve_page(viewers_see_names=True)
    viewer = log_in(page, "victor")
    text = page.get("/", **viewer).text
    assert "DOE, JANE" in text
    assert "are hidden" not in text
    assert page.get("/studies/1/workbook", **viewer).status == 200


def row(**given) -> SeriesRow:
    """A series as the ledger has it."""
    text = dict.fromkeys(SeriesRow.__dataclass_fields__, "")
    numbers = {"id": 1, "study_id": 1, "instances": 2, "bytes": 3, "revision": 1}
    kept = {"SeriesNumber": 3, "missing": None, "results": {}, "preview_id": None, "state": "done"}
    return SeriesRow(**{**text, **numbers, **kept, **given})


def hidden(text: str, **patient) -> str:
    """A text as it is shown in another part of the page of a patient."""
    parts = (
        Fragment("head", "", {"row": row(**patient)}),
        Fragment("history", "", {"history": (HistoryRow("at", text),)}),
    )
    return veil(View("", parts)).fragments[1].values["history"][0].what


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sent by wang", "sent by (hidden)"),
        ("王小东的检查", "(hidden)的检查"),
        ("XiaoDong, Wang_XiaoDong", "(hidden), (hidden)_(hidden)"),
        ("swanging wangs 123", "swanging wangs 123"),
        ("ID 4711-b", "ID (hidden)"),
        ("14711-b", "14711-b"),
    ],
)
def test_words_of_a_name_are_hidden_as_words(text, shown):
    patient = {"PatientName": "Wang^XiaoDong=王^小东", "PatientID": "4711-B"}
    assert hidden(text, **patient) == shown


@pytest.mark.parametrize("name", ["", "^", " ", "=^=", "(((", "a.*", "\\"])
def test_names_that_are_none_hide_nothing_and_break_nothing(name):
    assert hidden("an association was lost", PatientName=name) == "an association was lost"


@pytest.mark.parametrize(
    "keyword",
    [
        "PatientName",
        "PatientBirthDate",
        "ReferringPhysicianName",
        "OperatorsName",
        "PatientAddress",
    ],
)
def test_what_rules_read_about_people_is_hidden(keyword):
    text = f'the rule "X" cannot say: {keyword} = ROE^RICHARD: equals "A"'
    assert hidden(text) == f'the rule "X" cannot say: {keyword} = (hidden)'


def test_other_values_that_rules_read_are_shown():
    assert hidden("Modality = MR: equals MR") == "Modality = MR: equals MR"


def test_what_a_pacs_calls_a_series_is_hidden_where_its_patient_is_not_known():
    missing = RetrievedSeries("1.2", "1.2.3", 3, "CT", "Thorax DOE", 5, 2, ("1.2.3.1",))
    found = veil(View("", (Fragment("numbers", "", {"items": (missing,)}),)))
    (shown,) = found.fragments[0].values["items"]
    assert (shown.SeriesDescription, shown.missing) == (HIDDEN, ("1.2.3.1",))


def test_states_and_verdicts_are_never_mistaken_for_names():
    name = {"PatientName": "DONE^YES^QC", "SeriesDescription": "Done"}
    found = veil(View("", (Fragment("row", "", {"row": row(results={"qc": "Done"}, **name)}),)))
    shown = found.fragments[0].values["row"]
    assert (shown.state, shown.SeriesDescription) == ("done", HIDDEN)
    assert shown.results == {"qc": HIDDEN}
    assert (shown.PatientName, shown.PatientID) == (HIDDEN, HIDDEN)


def test_tables_of_details_are_cleared_by_cell():
    table = Table(("file",), (("DOE.nii", "2"),))
    entries = (Entry("to", "/data/DOE"), Entry("files", table=table, long=True))
    values = {"row": row(PatientName="DOE"), "details": {(1, "convert"): entries}}
    found = veil(View("", (Fragment("jobs", "", values),))).fragments[0].values["details"]
    assert found[1, "convert"] == (
        Entry("to", "/data/(hidden)"),
        Entry("files", table=Table(("file",), (("(hidden).nii", "2"),)), long=True),
    )


def test_records_outside_of_a_page_are_cleared_of_the_names_among_them(chronicle, context):
    chronicle.whole_series(1)
    reader = LedgerReader(context.ledger)
    try:
        row, (job,) = reader.one_series(1), reader.jobs_of(1)
    finally:
        reader.close()
    told = replace(job.steps[0], details={"files": ["a_DOE.nii", {"of": ("Jane", 7)}], "n": 1})
    hidden, (found, _) = without_names((row, (replace(job, steps=(told,)), row)))
    assert (hidden.PatientName, hidden.PatientID) == (HIDDEN, HIDDEN)
    assert found.steps[0].details == {"files": [f"a_{HIDDEN}.nii", {"of": (HIDDEN, 7)}], "n": 1}
    assert found.folder is None
