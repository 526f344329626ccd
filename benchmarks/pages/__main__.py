"""Asks a page over a ledger of very many studies for its lists, and tells how long each takes."""

import argparse
import asyncio
import http.client
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.pages.ledger import SERIES_PER_STUDY, fill
from benchmarks.programs import CHECKOUT
from benchmarks.receive.report import machine
from safelight.config import load_config
from safelight.page_actions import PageActions
from safelight.page_rules import PageRules
from web_status.app import WebContext, make_app, serve
from web_status.settings import WebSettings

STUDIES = 100_000
GOAL_MILLISECONDS = 500
_FORM = "application/x-www-form-urlencoded"


def main() -> None:
    """Parse the command line, ask, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--times", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=CHECKOUT, prefix=".bench-") as name:
        folder = Path(name)
        fill(folder / "ledger.sqlite", arguments.studies)
        with _served(folder) as port:
            _report(_Reader(port), arguments.studies, arguments.times)


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _questions(studies: int) -> dict[str, tuple[str, dict[str, str]]]:
    """What is asked for: an address, and a form where it is a search."""
    middle = studies // 2
    last_page = -(-studies * SERIES_PER_STUDY // 50)
    return {
        "Now": ("/", {}),
        "Now, the last page": (f"/?page={last_page}", {}),
        "Studies": ("/studies", {}),
        "Studies, from the middle": (f"/studies?before={middle}", {}),
        "Studies, the oldest": ("/studies?before=40", {}),
        "one day": ("/studies?first=2022-03-03&last=2022-03-03", {}),
        "half of all: MR": ("/studies?modality=MR", {}),
        "rare: PT": ("/studies?modality=PT", {}),
        "none: NM": ("/studies?modality=NM", {}),
        "needs a person": ("/studies?state=attention", {}),
        "done": ("/studies?state=done", {}),
        "arriving": ("/studies?state=arriving", {}),
        "dropped: none": ("/studies?state=dropped", {}),
        "forced by time": ("/studies?grade=forced", {}),
        "low quality": ("/studies?low=1", {}),
        "low quality, PT, done: none": ("/studies?low=1&modality=PT&state=done", {}),
        "patient name": ("/studies", {"patient": "FAMILY777 given"}),
        "patient name: none": ("/studies", {"patient": "nobody"}),
        "accession number": ("/studies", {"accession": f"{middle:08}"}),
        "a study": (f"/studies/{middle}", {}),
        "a series": (f"/series/{middle * SERIES_PER_STUDY}", {}),
    }


class _Reader:
    """Somebody who looks at pages, on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookie = ""
        page = self._send("GET", "/studies", b"", {})
        (self._token,) = re.findall(r'name="csrf-token" content="(\w+)"', page)

    def ask(self, path: str, form: dict[str, str]) -> tuple[float, float]:
        """Ask for a page; return the milliseconds until all of it is here, and of a processor.

        Those of this reader, which runs in the same process, are among them.
        """
        headers = {"X-CSRF-Token": self._token, "Content-Type": _FORM} if form else {}
        began, used = time.perf_counter(), time.process_time()
        self._send("POST" if form else "GET", path, urlencode(form).encode(), headers)
        return (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
        self._connection.request(method, path, body, {**headers, "Cookie": self._cookie})
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status != http.client.OK:
            raise SystemExit(f"{path}: {response.status}")
        if given := response.headers["Set-Cookie"]:
            self._cookie = given.partition(";")[0]
        return text


def _report(reader: _Reader, studies: int, times: int) -> None:
    say(str(machine()))
    say(f"{studies:,} studies, {studies * SERIES_PER_STUDY:,} series; {times} times each")
    say("| page | first ms | median ms | slowest ms | processor ms |")
    say("|---|---|---|---|---|")
    medians = []
    for name, (path, form) in _questions(studies).items():
        first, *rest = (reader.ask(path, form) for _ in range(times + 1))
        taken, used = zip(*rest, strict=True)
        medians.append(statistics.median(taken))
        numbers = (first[0], medians[-1], max(taken), statistics.median(used))
        say(f"| {name} | {' | '.join(f'{number:.0f}' for number in numbers)} |")
    told = "reached" if max(medians) <= GOAL_MILLISECONDS else "NOT reached"
    say(f"each within {GOAL_MILLISECONDS} ms: {told}")
    say(f"load average: {os.getloadavg()[0]:.1f}")


@contextmanager
def _served(folder: Path) -> Iterator[int]:
    """The page over the ledger in a folder, in a thread of its own."""
    (folder / "safelight.toml").write_text('[storage]\ndata = "."\n')
    config = load_config(folder / "safelight.toml", {})
    context = WebContext(
        ledger=folder / "ledger.sqlite",
        results=folder / "results",
        data=folder,
        progress=dict,
        identity="SAFELIGHT @ 127.0.0.1:11112",
        version="0",
        actions=PageActions(config),
        rules=PageRules(config),
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    starting = serve(make_app(context), WebSettings("127.0.0.1:0"))
    runner = asyncio.run_coroutine_threadsafe(starting, loop).result(60)
    try:
        yield runner.addresses[0][1]
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


if __name__ == "__main__":
    main()
