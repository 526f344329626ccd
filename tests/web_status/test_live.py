"""Live updates over a real connection. Not covered: hours of running, hundreds of pages."""

import json

import pytest

from web_status import live
from web_status.live import HUB, Change, Client, change_between
from web_status.views import Fragment, Topic, View

NOW = "/events?kind=now&number=1"


class Events:
    """What comes over a stream, read line by line."""

    def __init__(self, response) -> None:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        self._response = response

    def line(self) -> str:
        return self._response.readline().decode().rstrip("\n")

    def next(self) -> dict:
        """The next event; comments and blank lines are passed over."""
        while True:
            line = self.line()
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))

    def until(self, what: str) -> dict:
        """The first event whose fragments say `what`; the socket's time-out fails the test."""
        while True:
            event = self.next()
            if any(what in html for html in event["html"].values()):
                return event


def hub(page) -> live.Hub:
    return page.runner.app[HUB]


def test_a_page_that_connects_gets_everything_as_the_page_has_it(page, chronicle):
    chronicle.whole_series(2)
    event = Events(page.stream(NOW)).next()
    assert event["lists"] == {"series": ["series-1"]}
    parts = {"state", "alarms", "moving", "attention", "welcome", "pages", "series-1"}
    assert parts == set(event["html"])
    assert event["html"]["series-1"] in page.get("/").text


def test_a_series_comes_up_after_a_write_to_the_ledger(page, chronicle):
    events = Events(page.stream(NOW))
    assert "Nothing has arrived yet" in events.next()["html"]["welcome"]
    chronicle.arrive(count=3)
    event = events.until("3 instances so far")
    assert event["lists"] == {"series": ["series-1"]}


def test_the_first_ledger_is_noticed(page, request):
    events = Events(page.stream(NOW))
    events.next()
    request.getfixturevalue("chronicle").arrive(count=2)
    events.until("2 instances so far")


def test_only_what_changed_is_sent(page, chronicle):
    chronicle.whole_series(2)
    chronicle.arrive(series="1.2.4")
    events = Events(page.stream(NOW))
    events.next()
    chronicle.arrive(series="1.2.4")
    event = events.until("2 instances so far")
    assert "series-2" in event["html"]
    assert "series-1" not in event["html"]
    assert event["lists"] == {}


def test_progress_is_sent_without_a_write(page, chronicle):
    chronicle.arrive()
    chronicle.decide(chronicle.close())
    job = chronicle.claim()
    events = Events(page.stream("/events?kind=series&number=1"))
    events.next()
    page.progress[job.key] = ("qc", 0.5)
    assert list(events.until("50 %")["html"]) == ["jobs"]


@pytest.mark.parametrize("kind", ["study", "series", "alarms"])
def test_every_kind_of_page_has_its_updates(page, chronicle, kind):
    chronicle.arrive()
    events = Events(page.stream(f"/events?kind={kind}&number=1"))
    events.next()
    chronicle.event("accepted")
    events.until("1 association open")


def test_a_page_that_connects_again_gets_what_it_missed(page, chronicle):
    first = page.stream(NOW)
    Events(first).next()
    first.close()
    chronicle.arrive(count=4)
    Events(page.stream(NOW)).until("4 instances so far")


def test_a_second_tab_of_the_same_page_gets_everything_too(page, chronicle):
    chronicle.arrive(count=2)
    first = Events(page.stream(NOW)).next()
    assert Events(page.stream(NOW)).next() == first


def test_a_quiet_connection_is_kept_by_comments(page, monkeypatch):
    monkeypatch.setattr(live, "KEEP_ALIVE_SECONDS", 0.1)
    events = Events(page.stream(NOW))
    while events.line() != ": nothing new":
        pass


def test_a_page_that_is_closed_is_forgotten(page, wait_until, monkeypatch):
    monkeypatch.setattr(live, "KEEP_ALIVE_SECONDS", 0.1)
    response = page.stream(NOW)
    Events(response).next()
    assert hub(page).clients == 1
    response.close()
    page.open_streams.pop().close()
    wait_until(lambda: hub(page).clients == 0, "the hub to forget a closed page")


def test_open_pages_do_not_hold_up_the_end(page):
    response = page.stream(NOW)
    Events(response).next()
    page.call(page.runner.cleanup())
    response.read()  # raises IncompleteRead where the stream was cut off instead of ended
    assert hub(page).clients == 0


@pytest.mark.parametrize(
    "query", ["", "kind=now", "kind=now&number=0", "kind=now&number=x", "kind=x&number=1"]
)
def test_updates_of_no_page_are_a_404(page, query):
    assert page.get(f"/events?{query}").status == 404


def test_the_health_tells_when_updates_have_ended(page, wait_until, caplog):
    events = Events(page.stream(NOW))
    events.next()

    def broken():
        raise RuntimeError("DOE^JANE")

    object.__setattr__(page.context, "progress", broken)
    wait_until(lambda: page.get("/healthz").status == 503, "the hub to end")
    assert "live updates ended: RuntimeError at test_live.py" in caplog.text
    assert "DOE" not in caplog.text


def fragment(name: str, value: int) -> Fragment:
    return Fragment(name, f"_{name}.html", {"value": value})


def test_a_page_that_cannot_keep_up_gets_only_the_newest_of_each_fragment():
    client = Client(Topic("now", 1))
    for value in range(1000):
        change = Change({"a": fragment("a", value), "b": fragment("b", 0)}, {"series": ("a",)})
        client.post(change)
    assert client._pending == Change(
        {"a": fragment("a", 999), "b": fragment("b", 0)}, {"series": ("a",)}
    )


def test_fragments_are_compared_by_what_they_are_made_from():
    before = View("", (fragment("a", 1), fragment("b", 1)), {"series": ("a", "b")})
    after = View("", (fragment("a", 1), fragment("b", 2)), {"series": ("b", "a")})
    assert change_between(before, before) == Change()
    assert change_between(before, after) == Change({"b": fragment("b", 2)}, {"series": ("b", "a")})
