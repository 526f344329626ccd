"""What the page asks of the daemon when a person presses a button. The daemon: tests/acceptance."""

import json

import pytest


@pytest.fixture
def olga(page, users, log_in):
    """Headers of an operator."""
    return log_in(page, "olga")


def deeds(context):
    return context.actions.deeds


def audited(context):
    lines = (context.data / "audit.log").read_text().splitlines()
    return [(told["user"], told["action"], told["target"]) for told in map(json.loads, lines)]


def test_a_job_is_sent_again_or_cancelled_and_the_page_of_its_series_shows_it(page, context, olga):
    answer = page.get("/jobs/7/resend?series=3", "POST", **olga)
    assert (answer.status, answer.headers["Location"]) == (303, "/series/3#jobs")
    answer = page.get("/jobs/8/cancel?series=//evil.example", "POST", **olga)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert deeds(context) == [("resend", 7), ("cancel", 8)]
    assert audited(context)[-2:] == [
        ("olga", "job sent again", "7"),
        ("olga", "job cancelled", "8"),
    ]


def test_a_list_is_tried_again_or_cancelled(page, context, olga):
    for deed in ("again", "cancel"):
        answer = page.get(f"/retrieves/4/{deed}", "POST", **olga)
        assert (answer.status, answer.headers["Location"]) == (303, "/retrieves/4")
    assert deeds(context) == [("again", 4), ("cancel list", 4)]


def test_what_cannot_be_done_is_told_and_not_audited(page, context, olga, caplog):
    context.actions.problem = "job 7 is done; it cannot be changed"
    answer = page.get("/jobs/7/resend", "POST", **olga)
    assert answer.status == 409
    assert "job 7 is done; it cannot be changed. Nothing was done." in answer.text
    assert audited(context)[-1][1] == "login"
    assert caplog.text == ""


def test_without_its_token_nothing_is_done(page, context, olga):
    assert page.get("/jobs/7/cancel", "POST", Cookie=olga["Cookie"]).status == 403
    assert deeds(context) == []


def test_buttons_are_there_for_whom_they_work(page, chronicle, users, log_in):
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    chronicle.bury(chronicle.claim(), "StorageError: no space")
    for who, there in (("olga", True), ("victor", False)):
        shown = page.get("/series/1", **log_in(page, who)).text
        assert ('<form id="act"' in shown) is there
        assert 'formaction="/jobs/1/resend?series=1"' in shown  # and hidden by the role's style
        assert f'<body class="{"operator" if there else "viewer"}"' in shown
        lists = page.get("/retrieves", **log_in(page, who)).text
        assert ('name="accessions"' in lists) is there
