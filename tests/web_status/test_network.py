"""The page of PACS and senders: who is there, who is missed, and what to change."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from ledger.reader import LedgerReader
from web_status.network import Allowed, Network, silences


def ago(hours):
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="milliseconds")


@pytest.fixture
def reader(context, chronicle):
    reading = LedgerReader(context.ledger)
    yield reading
    reading.close()


@pytest.fixture
def calls(chronicle):
    """Function that notes an association which began some hours ago and brought `stored`."""

    def call(title, hours, stored=0, event="released", **values):
        name = f"{title}-{hours}"
        chronicle.event("accepted", name, calling_ae=title, at=ago(hours))
        chronicle.event(event, name, calling_ae=title, at=ago(hours), stored=stored, **values)

    return call


def test_a_page_without_a_ledger_shows_the_configuration(page):
    assert "PACS1 10.1.2.3:104" in page.section("pacs", "/network")
    assert "CT1 10.1.2.0/24" in page.section("allowed", "/network")
    assert "Nobody has called yet" in page.section("callers", "/network")


def test_senders_are_told_with_what_they_did_in_24_hours(page, calls):
    calls("CT1", 30, stored=500)
    calls("CT1", 2, stored=7, refused=1)
    calls("CT1", 1, event="aborted")
    calls("MR1", 0.5, event="rejected", reason="no [[dicom.accept]] names it")
    told = page.section("callers", "/network")
    assert re.search(r"MR1.*never.*1 association, 0 instances.*1 rejected.*CT1", told)
    assert "2 associations, 7 instances 1 broken off 1 instances refused" in told


def test_a_sender_that_brings_nothing_for_long_is_missed_on_every_page(page, calls):
    calls("CT1", 13, stored=500)
    calls("CT1", 1)  # it called, and brought nothing
    assert "CT1 is silent." in page.section("callers", "/network")
    for path in ("/", "/alarms", "/network"):
        assert "1 silent sender" in page.section("state", path)


def test_who_brought_something_lately_or_never_is_not_missed(page, calls):
    calls("CT1", 13, stored=500)
    calls("CT1", 11, stored=1)
    calls("XA1", 99)
    assert "silent" not in page.section("callers", "/network")
    assert "silent" not in page.section("state", "/network")


def test_who_may_be_silent_is_never_missed(reader, calls):
    calls("CT1", 1000, stored=1)
    assert silences(reader, Network((), (Allowed("CT1", "", "", None),))) == ()
    (found,) = silences(reader, Network((), (Allowed("CT1", "", "", 999.0),)))
    assert (found.calling_ae, found.silent_hours) == ("CT1", 999.0)


def test_refusals_alike_are_told_once_with_the_fix(page, chronicle):
    why = "presentation context refused: SOP class 1.2.3 is not known; extra_sop_classes can add it"
    for n in range(3):
        chronicle.event("refused", f"r{n}", calling_ae="CT1", reason=why)
    chronicle.event("refused", "other", calling_ae="MR1", reason="too large")
    told = page.section("refused", "/network")
    assert re.search(rf"MR1 too large 1 .*CT1 {re.escape(why)} 3 ", told)


def test_an_echo_is_sent_by_operators_and_its_answer_shown(page, context, users, log_in):
    olga = log_in(page, "olga")
    for place in (1, 2):
        answer = page.get(f"/network/{place}/echo", "POST", **olga)
        assert (answer.status, answer.headers["Location"]) == (303, "/network#pacs")
    assert context.actions.deeds == [("echo", "main"), ("echo", "research")]
    told = page.section("pacs", "/network", **olga)
    assert re.search(r"main .* yes 7 ms, .*research .* no 7 ms, ", told)
    assert page.get("/network/3/echo", "POST", **olga).status == 404
    assert page.get("/network/0/echo", "POST", **olga).status == 404
