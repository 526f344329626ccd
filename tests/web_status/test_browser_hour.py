"""A page that stays open for an hour: neither it nor the server that updates it grows.

The hour is made short: its updates come as fast as they can. `make page-hour` takes all 7,200 of
them, twice a second for an hour; among the other tests it is fewer. Not covered: other browsers.
"""

import gc
import os
import threading
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from web_status import live
from web_status.live import HUB
from web_status.now import PAGE_SIZE

IS_FULL = os.environ.get("SAFELIGHT_SWEEP") == "full"
UPDATES = 7_200 if IS_FULL else 1_200
_ROUND = 20  # updates, in which a series comes, is processed and is done
_WARM_UP = (PAGE_SIZE + 5) * _ROUND  # every row of the page has been replaced by one that came
_HEAP_MAY_GROW = 0.2  # of what was sent: a browser compiles and caches, in steps of 200,000 bytes
_NODES_MAY_GROW = 0.5  # of the series that came
_OBJECTS_MAY_GROW = 0.6  # of the updates: Python's own come and go by 400


class Sent:
    """Counts the updates that have left the server, and their characters."""

    def __init__(self) -> None:
        self.updates = 0
        self.characters = 0
        self._one_more = threading.Condition()

    def note(self, update: str) -> None:
        with self._one_more:
            self.updates += 1
            self.characters += len(update)
            self._one_more.notify()

    def wait_beyond(self, count: int) -> None:
        with self._one_more:
            assert self._one_more.wait_for(lambda: self.updates > count, 60)


@pytest.fixture
def sent(monkeypatch):
    """A count of the updates, which leave at once."""
    count, encode = Sent(), live._encode

    def counting(app, language, change):
        update = encode(app, language, change)
        if change != live.Change():
            count.note(update)
        return update

    monkeypatch.setattr(live, "_encode", counting)
    monkeypatch.setattr(live, "POLL_SECONDS", 0.002)
    return count


class Node:
    """A node at work: a series comes, is converted while the page watches, and is done."""

    def __init__(self, page, chronicle, sent) -> None:
        self._page, self._chronicle, self._sent = page, chronicle, sent
        self.series = 0

    def work(self, updates: int) -> None:
        """Cause so many updates at least, each only after the one before has left."""
        until = self._sent.updates + updates
        while self._sent.updates < until:
            self._one_series()

    def _one_series(self) -> None:
        self.series += 1
        uid = f"1.3.{self.series}"
        self._told(lambda: self._chronicle.arrive(series=uid, study=f"1.{self.series}"))
        closed = self._chronicle.close(series=uid, study=f"1.{self.series}")
        self._told(lambda: self._chronicle.decide(closed))
        job = self._chronicle.claim()
        for step in range(1, _ROUND):
            self._told(lambda at=step: self._progress(job.key, at / _ROUND))
        self._page.progress.clear()
        self._told(lambda: self._chronicle.finish(job))

    def _progress(self, key: str, fraction: float) -> None:
        self._page.progress[key] = ("convert", fraction)

    def _told(self, change) -> None:
        before = self._sent.updates
        change()
        self._sent.wait_beyond(before)


def measured(browser):
    """What the page holds after everything was thrown away that it could do without."""
    for _ in range(3):
        browser.send("HeapProfiler.collectGarbage")
    found = {one["name"]: one["value"] for one in browser.send("Performance.getMetrics")["metrics"]}
    return SimpleNamespace(
        heap=found["JSHeapUsedSize"], nodes=found["Nodes"], listeners=found["JSEventListeners"]
    )


@pytest.mark.timeout(7_200 if IS_FULL else 600)
def test_a_page_and_its_server_do_not_grow_in_an_hour(page, chronicle, open_tab, sent):
    for number in range(PAGE_SIZE + 5):  # a full page, from which each that comes takes a row
        chronicle.whole_series(1, series=f"1.2.{number}", study=f"1.2.{number}.0")
    tab = open_tab()
    browser = tab.context.new_cdp_session(tab)
    browser.send("Performance.enable")
    node = Node(page, chronicle, sent)

    def seen_after(updates):
        node.work(updates)
        newest = tab.locator("tbody tr").first
        expect(newest).to_have_id(f"series-{PAGE_SIZE + 5 + node.series}")
        expect(newest).to_contain_text("nifti ok")
        gc.collect()
        return measured(browser), len(gc.get_objects()), sent.characters, node.series

    early, objects_early, sent_early, series_early = seen_after(_WARM_UP)
    late, objects_late, sent_late, series_late = seen_after(UPDATES)
    came = series_late - series_early
    assert sent.updates >= _WARM_UP + UPDATES
    assert late.heap - early.heap < _HEAP_MAY_GROW * (sent_late - sent_early), (early, late)
    assert late.nodes - early.nodes < _NODES_MAY_GROW * came, (early, late)
    assert late.listeners <= early.listeners, (early, late)
    assert objects_late - objects_early < _OBJECTS_MAY_GROW * UPDATES
    hub = page.runner.app[HUB]
    assert (hub.clients, len(hub._seen)) == (1, 1)
