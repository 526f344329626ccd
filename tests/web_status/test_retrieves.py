"""The pages of retrieve lists, over a real ledger. Who retrieves: tests/acceptance/test_pacs.py."""

import json

import pytest

from ledger.retrieve_records import RetrievedSeries, RetrieveOrder, RetrieveResult
from ledger.writer import LedgerWriter


@pytest.fixture
def retrieves(context):
    """The hand that writes lists into the ledger."""
    with LedgerWriter(context.ledger) as ledger:
        yield ledger.retrieves


def order(*numbers, key="k", **more):
    return RetrieveOrder(key=key, pacs="main", accession_numbers=numbers, **more)


def result(received, *, missing=(), problem=""):
    one = RetrievedSeries(
        "1.2", "1.2.1", 3, "CT", "Thorax <b>", received + len(missing), received, tuple(missing)
    )
    return RetrieveResult(1, (one,), problem)


def end(retrieves, outcome, seconds=0):
    retrieves.end(retrieves.claim("main"), outcome, seconds)


def test_before_anything_was_asked_for_the_page_says_how(page):
    assert "safelight retrieve --list" in page.get("/retrieves").text
    assert page.get("/retrieves/1").status == 404


def test_a_list_is_told_with_what_came_of_each_accession_number(page, retrieves):
    retrieves.add(order("A1", "A2", "A3", name="Night of the 3rd", tries=1))
    end(retrieves, result(5))
    end(retrieves, result(2, missing=["1.2.1.9"], problem="it stopped in the middle"))

    overview = page.get("/retrieves").text
    assert 'href="/retrieves/1"' in overview
    assert "Night of the 3rd" in overview
    assert "2 of 3" in overview
    assert "1 incomplete" in overview

    shown = page.get("/retrieves/1").text
    assert shown.index("A2") < shown.index("A3") < shown.index("A1")  # what tells most is first
    assert "2 of 3" in shown
    assert "1.2.1.9" in shown
    assert "it stopped in the middle" in shown
    assert "Thorax &lt;b&gt;" in shown


def test_an_accession_number_that_is_here_leads_to_its_study(page, chronicle, retrieves):
    chronicle.whole_series(2, study="1.2", series="1.2.1")
    retrieves.add(order("A1"))
    end(retrieves, result(2))
    shown = page.get("/retrieves/1").text
    assert '<a href="/studies/1">A1</a>' in shown
    assert "whole" in shown


def test_what_runs_moves_by_itself_with_how_far_it_is(page, context, retrieves):
    retrieves.add(order("A1", "A2"))
    item = retrieves.claim("main")
    context.progress()[f"retrieve-{item.id}"] = ("receiving 3 of 12", 0.25)
    for path in ("/", "/retrieves/1"):
        assert "receiving 3 of 12" in page.get(path).text
        assert 'value="0.250"' in page.get(path).text
    events = page.stream("/events?kind=retrieve&number=1")
    told = []
    while not any("whole" in text for text in told):
        line = events.readline().decode()
        if line.startswith("data: "):
            told += json.loads(line.removeprefix("data: "))["html"].values()
            if len(told) <= 3:
                retrieves.end(item, result(12), 0)


def test_a_pacs_that_is_let_alone_is_told_with_the_reason(page, retrieves):
    retrieves.add(order("A1"))
    retrieves.pacs_failed("main", "cannot reach MAIN at 10.1.2.3:104", 600, 600)
    for path in ("/retrieves", "/retrieves/1"):
        assert "cannot reach MAIN at 10.1.2.3:104" in page.get(path).text


def test_of_a_long_list_what_tells_nothing_is_counted(page, retrieves):
    retrieves.add(order(*(f"N{number:04}" for number in range(450)), tries=1))
    end(retrieves, result(1))
    end(retrieves, RetrieveResult())
    shown = page.get("/retrieves/1").text
    assert "250 more accession numbers" in shown
    assert shown.index("N0001") < shown.index("N0002")
    assert "N0000" not in shown
