"""Live updates over server-sent events: one task watches the ledger for all open pages.

It sends what changed, fragment by fragment; a page that cannot keep up gets only the newest of
each. A page that connects, or connects again, gets everything.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import cast, get_args

from aiohttp import web

from ledger.errors import NotInLedger
from web_status.access import is_veiled, person_of, still_admitted
from web_status.errors import LedgerUnavailable, NotAllowed
from web_status.languages import LANGUAGES, language_of
from web_status.look import look, mark_of
from web_status.rendering import html_of
from web_status.roles import role_of_page
from web_status.security import log_failure
from web_status.views import Fragment, Kind, Topic, View

POLL_SECONDS = 0.5
KEEP_ALIVE_SECONDS = 15.0
_WRITE_SECONDS = 30.0
_RECONNECT_MILLISECONDS = 2000
_ENDED = "event: ended\ndata: log in again\n\n"
_KINDS = get_args(Kind)


@dataclass(frozen=True)
class Change:
    """What is new on a page since an earlier look."""

    fragments: Mapping[str, Fragment] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def followed_by(self, later: "Change") -> "Change":
        """Both together; of what changed twice, the newest."""
        return Change({**self.fragments, **later.fragments}, {**self.lists, **later.lists})


def change_between(before: View | None, after: View) -> Change:
    """The fragments and orders of `after` that `before` does not have in the same form."""
    if before is None:
        return Change({fragment.id: fragment for fragment in after.fragments}, after.lists)
    known = {fragment.id: fragment for fragment in before.fragments}
    return Change(
        {item.id: item for item in after.fragments if known.get(item.id) != item},
        {name: ids for name, ids in after.lists.items() if before.lists.get(name) != ids},
    )


class Client:
    """One open page. What it has not been sent yet waits here, one entry a fragment."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.is_new = True
        self._pending = Change()
        self._news = asyncio.Event()

    def post(self, change: Change) -> None:
        """Have `change` sent."""
        self.is_new = False
        self._pending = self._pending.followed_by(change)
        if self._pending != Change():
            self._news.set()

    def wake(self) -> None:
        """Let `take` return."""
        self._news.set()

    async def take(self) -> Change:
        """What is to be sent; empty when nothing came up for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                await self._news.wait()
        self._news.clear()
        pending, self._pending = self._pending, Change()
        return pending


class Hub:
    """The open pages, and what each topic looked like when it was last sent."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._clients: set[Client] = set()
        self._seen: dict[Topic, View] = {}
        self._mark: tuple[object, ...] = ()
        self._somebody_came = asyncio.Event()
        self.is_closing = False
        self.has_failed = False

    @property
    def clients(self) -> int:
        """How many pages are open."""
        return len(self._clients)

    @contextmanager
    def client(self, topic: Topic) -> Iterator[Client]:
        """A page that is open as long as the context."""
        client = Client(topic)
        self._clients.add(client)
        self._somebody_came.set()
        try:
            yield client
        finally:
            self._clients.discard(client)

    def close(self) -> None:
        """Let all pages go."""
        self.is_closing = True
        for client in self._clients:
            client.wake()

    async def run(self) -> None:
        """Watch until cancelled; while no page is open, nothing is asked."""
        while True:
            await self._pause()
            with suppress(LedgerUnavailable):
                await self._refresh()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS if self._clients else None):
                await self._somebody_came.wait()
        self._somebody_came.clear()

    async def _refresh(self) -> None:
        """Look again at what may have changed: all topics, else those somebody came for."""
        slot = asyncio.get_running_loop().time() // KEEP_ALIVE_SECONDS  # for the disk's use
        mark = (*await mark_of(self._app), slot)
        for topic in {client.topic for client in self._clients}:
            clients = [client for client in self._clients if client.topic == topic]
            if mark != self._mark or any(client.is_new for client in clients):
                await self._send(topic, clients)
        self._mark = mark
        open_topics = {client.topic for client in self._clients}
        self._seen = {topic: view for topic, view in self._seen.items() if topic in open_topics}

    async def _send(self, topic: Topic, clients: list[Client]) -> None:
        try:
            view = await look(self._app, topic)
        except NotInLedger:
            return
        change = change_between(self._seen.get(topic), view)
        for client in clients:
            client.post(change_between(None, view) if client.is_new else change)
        self._seen[topic] = view


HUB = web.AppKey("hub", Hub)


async def hub_running(app: web.Application) -> AsyncIterator[None]:
    """Run the hub as long as the application."""
    hub = app[HUB] = Hub(app)
    task = asyncio.create_task(hub.run(), name="live updates")

    def ended(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            hub.has_failed = True
            log_failure(error, "live updates ended")

    task.add_done_callback(ended)
    yield
    task.cancel()
    await asyncio.wait([task])


async def let_clients_go(app: web.Application) -> None:
    """Let the open pages go at the end, so that nothing waits for them."""
    app[HUB].close()


async def events(request: web.Request) -> web.StreamResponse:
    """Stream what changes on one page until it is closed, or its login has ended."""
    topic, language, hub = _topic(request), _language(request), request.app[HUB]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    # A page may go away at any moment, also before its first byte has left.
    with hub.client(topic) as client, suppress(ConnectionError, TimeoutError):
        await response.prepare(request)
        await _write(response, f"retry: {_RECONNECT_MILLISECONDS}\n\n")
        while not hub.is_closing:
            change = await client.take()
            if not still_admitted(request):
                await _write(response, _ENDED)
                break
            await _write(response, _encode(request.app, language, change))
    return response


def _topic(request: web.Request) -> Topic:
    kind, number = request.query.get("kind", ""), request.query.get("number", "")
    is_number = number.isascii() and number.isdecimal() and len(number) <= 18
    if kind not in _KINDS or not (is_number and int(number)):
        raise web.HTTPNotFound
    person = person_of(request)
    if person is None or person.role < role_of_page(kind):
        raise NotAllowed
    return Topic(cast("Kind", kind), int(number), is_veiled(request))


def _language(request: web.Request) -> str:
    """The language of the page, which it names: another may have been chosen since."""
    named = request.query.get("language", "")
    return named if named in LANGUAGES else language_of(request)


async def _write(response: web.StreamResponse, text: str) -> None:
    """Write, unless the page has read nothing for long: it has vanished."""
    async with asyncio.timeout(_WRITE_SECONDS):
        await response.write(text.encode())


def _encode(app: web.Application, language: str, change: Change) -> str:
    """An event with what changed; a comment, which keeps the connection, when nothing did."""
    if change == Change():
        return ": nothing new\n\n"
    html = {name: html_of(app, language, one) for name, one in change.fragments.items()}
    return f"data: {json.dumps({'html': html, 'lists': change.lists})}\n\n"
