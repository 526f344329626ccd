"""Every page over HTTP, from a real ledger. Not covered: how it looks (see test_browser.py)."""

import re
from pathlib import Path

import pytest

from processor.model import StepResult
from rules.model import Reason, RuleReason

EVIL = "<script>alert(1)</script>^<img src=x onerror=alert(2)>"


def test_before_the_ledger_exists_the_page_says_how_to_send(page):
    answer = page.get("/")
    assert answer.status == 200
    assert "Nothing has arrived yet" in answer.text
    assert "storescu -aec SAFELIGHT +sd +r localhost 11112" in answer.text
    assert page.get("/alarms").status == 200


def test_an_empty_ledger_looks_the_same(page, chronicle):
    assert "Nothing has arrived yet" in page.get("/").text


def test_a_series_is_a_row_with_its_picture_evidence_quality_and_results(page, chronicle):
    chronicle.whole_series(24, qc="Low contrast; 2 slice position(s) missing")
    row = row_of(page.get("/").text, 1)
    for shown in ("7 T2 TSE sagittal", "DOE, JANE", "P0042", "00012345", "24 instances", "12.6 MB"):
        assert shown in row
    assert "complete: association released, then quiet for 10 s" in row
    assert '<span class="badge warn">Low contrast</span>' in row
    assert "nifti ok (24/24 frames verified)" in row
    picture = re.search(r'src="(/outputs/\d+)"', row)[1]
    assert page.get(picture).headers["Content-Type"] == "image/png"


def test_weak_evidence_is_not_called_complete(page, chronicle):
    chronicle.arrive()
    chronicle.close(grade="quiet", evidence="association aborted, then quiet for 60 s")
    row = row_of(page.get("/").text, 1)
    assert "probably complete: association aborted, then quiet for 60 s" in row


def test_what_moves_is_on_the_first_page(page, chronicle):
    chronicle.event("accepted")
    chronicle.arrive(series="1.2.4", count=3, SeriesDescription="arriving one")
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    job = chronicle.claim()
    page.progress[job.key] = ("convert", 0.45)
    text = page.get("/").text
    assert "1 association open" in text
    assert "3 instances so far" in text
    assert 'value="0.450" aria-label="Conversion"' in text
    assert "1 job running" in text


def test_a_job_that_failed_says_that_it_will_be_tried_again(page, chronicle):
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    chronicle.retry(chronicle.claim(), "StorageError: no space left on device")
    assert "try 1 failed: StorageError" in page.get("/").text
    assert "will be tried again by itself" in page.get("/series/1").text


def test_a_job_given_up_needs_a_person_and_says_what_can_be_done(page, chronicle):
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    chronicle.bury(chronicle.claim(), "WorkerDied: ended by signal 11")
    now = page.get("/").text
    assert "1 thing needs a person" in now
    assert 'href="/series/1#jobs"' in now
    series = page.get("/series/1").text
    assert "WorkerDied: ended by signal 11" in series
    assert "in the decoder of a damaged" in series
    assert "No instance is lost" in series


def test_a_held_series_says_which_condition_could_not_be_judged(page, chronicle):
    chronicle.arrive()
    unknown = Reason("BodyPartExamined is absent", "unknown")
    reasons = (RuleReason("Brain", "unknown", (Reason("Modality = MR: is MR", "yes"), unknown)),)
    chronicle.decide(chronicle.close(), "hold", summary="held: no answer", reasons=reasons)
    text = page.get("/series/1").text
    assert "Modality = MR: is MR" in text
    assert "BodyPartExamined is absent" in text
    assert "Nothing is made of the series on a guess" in text


@pytest.mark.parametrize(
    ("outcome", "shown"), [("drop", "A rule left the series out"), ("keep", "No rule matched")]
)
def test_a_series_of_which_nothing_is_made_says_why(page, chronicle, outcome, shown):
    chronicle.arrive()
    chronicle.decide(chronicle.close(), outcome, summary="said so")
    assert shown in page.get("/series/1").text


def test_a_refused_step_is_a_result_and_a_failed_one_needs_a_person(page, chronicle):
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    steps = (
        StepResult("convert", "refused", "cannot convert because: one slice"),
        StepResult("preview", "failed", "OptionError: size"),
    )
    chronicle.record(chronicle.claim(), Path("study/a"), steps)
    text = page.get("/series/1").text
    assert '<span class="badge warn">not possible</span> cannot convert because: one slice' in text
    assert '<span class="badge bad">failed</span> OptionError: size' in text
    assert "1 thing needs a person" in text


def test_a_series_shows_its_steps_numbers_files_and_history_in_order(page, chronicle):
    chronicle.whole_series(24)
    text = page.get("/series/1").text
    assert "shape (voxels)" in text
    assert "320, 320, 24" in text
    assert "standard deviation (stored values)" in text
    assert "4 %" in text  # low_quality_ratio
    assert "NIfTI volume" in text
    assert len(re.findall(r'<td class="uid">[0-9a-f]{64}</td>', text)) == 2
    happened = [text.index(what) for what in ("first instance", "closed as", "decided:", "qc: N")]
    assert happened == sorted(happened)


def test_results_of_an_earlier_revision_are_marked_superseded(page, chronicle):
    chronicle.whole_series(2)
    chronicle.whole_series(1)
    text = page.get("/series/1").text
    assert "This is revision 2" in text
    assert text.count('<article id="job-') == 2
    superseded = text[text.index('id="job-1"') :]
    assert "Superseded: instances came later" in superseded


def test_a_study_lists_its_series_by_number(page, chronicle):
    for number in (9, 2):
        chronicle.arrive(series=f"1.2.{number}", SeriesNumber=float(number))
    text = page.get("/studies/1").text
    assert "2 series, 2 instances" in text
    assert re.findall(r'id="series-(\d+)"', text) == ["2", "1"]
    assert "Workbook and report of the study are written when" in text


def test_a_long_list_has_pages(page, chronicle):
    for number in range(51):
        chronicle.arrive(series=f"1.2.{number}")
    first, second = page.get("/").text, page.get("/?page=2").text
    assert len(re.findall(r'<tr id="series-', first)) == 50
    assert len(re.findall(r'<tr id="series-', second)) == 1
    assert "page 1 of 2, 51 series" in first
    assert page.get("/?page=3").status == 404


def test_alarms_say_what_was_refused_and_who_called(page, chronicle):
    chronicle.event("refused", reason="StudyInstanceUID is missing")
    chronicle.event("rejected", "a2", calling_ae="STRANGER", reason="calling AE not known")
    text = page.get("/alarms").text
    assert "StudyInstanceUID is missing" in text
    assert "calling AE not known" in text
    assert "Running, with remarks" in text


@pytest.mark.parametrize("path", ["/", "/studies/1", "/series/1"])
def test_markup_from_the_network_is_shown_and_not_run(page, chronicle, path):
    texts = ("PatientName", "PatientID", "SeriesDescription", "StudyDescription", "AccessionNumber")
    chronicle.whole_series(2, qc=EVIL, Modality=EVIL, **dict.fromkeys(texts, EVIL))
    text = page.get(path).text
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert "<img src=x" not in text


@pytest.mark.parametrize(
    "path",
    [
        "/series/99",
        "/studies/99",
        "/outputs/99",
        "/studies/99/workbook",
        "/studies/99/report",
        "/nothing",
        "/series/x",
        "/series/" + "9" * 30,
        "/?page=0",
        "/?page=x",
        "/?page=-1",
        "/?page=" + "9" * 30,
    ],
)
@pytest.mark.parametrize("has_ledger", [True, False])
def test_what_does_not_exist_is_a_friendly_404(page, request, path, has_ledger):
    if has_ledger:
        request.getfixturevalue("chronicle")
    answer = page.get(path)
    assert answer.status == 404
    assert "Back to all series" in answer.text


def test_a_ledger_that_cannot_be_read_is_a_503_until_it_can(page, context, caplog):
    context.ledger.write_bytes(b"no database at all, but long enough to be looked at" * 50)
    answer = page.get("/")
    assert answer.status == 503
    assert "Load the page again" in answer.text
    assert "LedgerUnavailable at ledger_thread.py" in caplog.text
    context.ledger.unlink()
    assert page.get("/").status == 200


def test_addresses_carry_no_patient_data(page, chronicle):
    closed = chronicle.whole_series(2)
    chronicle.workbook(closed, b"x")
    for path in ("/", "/studies/1", "/series/1"):
        for link in re.findall(r'(?:href|src|data-events)="([^"]+)"', page.get(path).text):
            if not link.startswith("/static/"):
                assert re.fullmatch(
                    r"(#content|/|/studies|/alarms|/network|/rules|/system|/uploads|/search|/retrieves|/(series|studies|outputs)/\d+(/workbook|/report|/package|/viewer|#jobs)?"
                    r"|/events\?kind=[a-z]+&amp;number=\d+&amp;language=en)",
                    link,
                ), link


def test_health_is_plain_json(page):
    answer = page.get("/healthz")
    assert (answer.status, answer.text) == (200, '{"status": "ok"}')


def row_of(text: str, number: int) -> str:
    return re.search(rf'<tr id="series-{number}">.*?</tr>', text, re.DOTALL)[0]
