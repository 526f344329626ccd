"""Retrieve lists in the ledger: whose turn it is, what counts as a try, and what is told of them.

Not covered: who retrieves (tests/safelight/test_retrieving.py, tests/acceptance).
"""

import pytest

from ledger.errors import NotInLedger
from ledger.retrieve_reader import RetrieveReader
from ledger.retrieve_records import RetrievedSeries, RetrieveOrder, RetrieveResult
from ledger.writer import LedgerWriter


@pytest.fixture
def ledger(tmp_path):
    with LedgerWriter(tmp_path / "ledger.sqlite") as writer:
        yield writer


@pytest.fixture
def reader(ledger, tmp_path):
    reading = RetrieveReader.at(tmp_path / "ledger.sqlite")
    yield reading
    reading.close()


def order(*numbers, key="k", **more):
    return RetrieveOrder(key=key, pacs=more.pop("pacs", "main"), accession_numbers=numbers, **more)


def series(uid="1.2.1", **more):
    return RetrievedSeries("1.2", uid, 3, "CT", "Thorax", **more)


WHOLE = RetrieveResult(1, (series(expected=3, received=3),))
SHORT = RetrieveResult(1, (series(expected=3, received=2, missing=("1.2.1.3",)),), "it is short")
DOWN = RetrieveResult(problem="cannot reach PACS1", is_pacs_wide=True)


def states(reader, number=1):
    return {item.accession_number: item.state for item in reader.items(number)}


def test_an_order_that_is_given_twice_is_one_list(ledger, reader):
    first = ledger.retrieves.add(order("A1", "A2"))
    assert ledger.retrieves.add(order("A1", "A2")) == first
    assert len(reader.lists()) == 1
    assert reader.list_of("k").counts == {"waiting": 2}
    with pytest.raises(NotInLedger):
        reader.one_list(2)


def test_higher_priorities_go_first_then_the_order_of_the_list(ledger):
    ledger.retrieves.add(order("A1", "A2"))
    ledger.retrieves.add(order("B1", key="urgent", priority=5))
    claimed = [ledger.retrieves.claim("main") for _ in range(4)]
    assert [item and item.accession_number for item in claimed] == ["B1", "A1", "A2", None]
    assert ledger.retrieves.claim("other") is None


def test_one_accession_number_of_two_lists_is_not_retrieved_twice_at_once(ledger):
    ledger.retrieves.add(order("A1"))
    ledger.retrieves.add(order("A1", "A2", key="second"))
    first = ledger.retrieves.claim("main")
    assert ledger.retrieves.claim("main").accession_number == "A2"
    assert ledger.retrieves.claim("main") is None
    ledger.retrieves.end(first, WHOLE, 0)
    assert ledger.retrieves.claim("main").list_id == 2


def test_what_is_short_is_tried_again_later_and_given_up_after_the_last_try(ledger, reader):
    ledger.retrieves.add(order("A1", tries=2))
    ledger.retrieves.end(ledger.retrieves.claim("main"), SHORT, 3600)
    assert states(reader) == {"A1": "waiting"}
    assert ledger.retrieves.claim("main") is None
    ledger.retrieves.again(1)
    for _ in range(2):
        ledger.retrieves.end(ledger.retrieves.claim("main"), SHORT, 0)
    (item,) = reader.items(1)
    assert (item.state, item.tries, item.reason) == ("incomplete", 2, "it is short")
    assert (item.found, item.received, item.missing) == (3, 2, 1)
    assert reader.series(item.id) == SHORT.series


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (RetrieveResult(), "absent"),
        (RetrieveResult(problem="cut short"), "failed"),
        (WHOLE, "whole"),
        (SHORT, "incomplete"),
        (RetrieveResult(1, (series(received=2),)), "unproven"),
        (RetrieveResult(1, (series(expected=2, received=2, doubt="counts 3"),)), "unproven"),
        (RetrieveResult(1, (series(expected=5, received=2),)), "incomplete"),
        (RetrieveResult(1), "unproven"),
        (RetrieveResult(1, (series(left_out="x: y", expected=9),)), "whole"),
        (RetrieveResult(1, WHOLE.series, "no answer"), "failed"),
    ],
)
def test_the_state_says_what_is_proven(result, state):
    assert result.state == state


def test_a_problem_of_the_pacs_lets_all_of_it_wait_twice_as_long_each_time_and_is_no_try(
    ledger, reader
):
    ledger.retrieves.add(order("A1", "A2", tries=1))
    ledger.retrieves.add(order("B1", key="elsewhere", pacs="other"))
    item = ledger.retrieves.claim("main")
    waits = [ledger.retrieves.pacs_failed("main", DOWN.problem, 10, 35) for _ in range(3)]
    ledger.retrieves.put_back(item, DOWN)
    assert waits == [10, 20, 35]
    assert ledger.retrieves.claim("main") is None
    assert ledger.retrieves.claim("other").accession_number == "B1"
    assert reader.pause("main").reason == "cannot reach PACS1"
    assert [item.tries for item in reader.items(1)] == [0, 0]
    ledger.retrieves.again(1)
    ledger.retrieves.end(ledger.retrieves.claim("main"), WHOLE, 0)
    assert reader.pause("main") is None


def test_what_ran_at_a_crash_waits_again_and_it_was_no_try(ledger, reader):
    ledger.retrieves.add(order("A1", "A2"))
    ledger.retrieves.end(ledger.retrieves.claim("main"), WHOLE, 0)
    ledger.retrieves.claim("main")
    assert ledger.retrieves.take_over() == 1
    assert states(reader) == {"A1": "whole", "A2": "waiting"}
    assert reader.items(1)[1].tries == 0


def test_what_ended_after_it_was_cancelled_changes_nothing(ledger, reader):
    ledger.retrieves.add(order("A1", "A2"))
    item = ledger.retrieves.claim("main")
    ledger.retrieves.cancel(1)
    ledger.retrieves.end(item, WHOLE, 0)
    assert states(reader) == {"A1": "cancelled", "A2": "cancelled"}


def test_again_leaves_alone_what_is_whole(ledger, reader):
    ledger.retrieves.add(order("A1", "A2"))
    ledger.retrieves.end(ledger.retrieves.claim("main"), WHOLE, 0)
    ledger.retrieves.cancel(1)
    ledger.retrieves.again(1)
    assert states(reader) == {"A1": "whole", "A2": "waiting"}


def test_a_try_that_learned_nothing_keeps_what_is_known(ledger, reader):
    ledger.retrieves.add(order("A1"))
    ledger.retrieves.end(ledger.retrieves.claim("main"), SHORT, 0)
    ledger.retrieves.end(ledger.retrieves.claim("main"), RetrieveResult(problem="cut short"), 0)
    (item,) = reader.items(1)
    assert (item.missing, item.reason) == (1, "cut short")


def test_left_out_series_are_counted_apart(ledger, reader):
    ledger.retrieves.add(order("A1"))
    result = RetrieveResult(1, (*WHOLE.series, series("1.2.2", expected=9, left_out="x: scout")))
    ledger.retrieves.end(ledger.retrieves.claim("main"), result, 0)
    (item,) = reader.items(1)
    assert (item.series, item.left_out, item.found, item.missing) == (2, 1, 3, 0)
