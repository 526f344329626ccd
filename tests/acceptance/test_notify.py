"""A daemon that is killed while a webhook is down, and what comes afterwards.

Not covered: every way in which delivery fails, which is tests/safelight/notifying.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from safelight.requests import Request, Requests

RULES = '[[rule]]\nname = "All"\n[rule.run]\nqc = {}\n[rule.notify]\nto = "team"\non = "done"\n'


@pytest.fixture
def webhook(free_port):
    """A webhook that answers 503 until its `is_well` is true, and keeps what it got."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            server.got.append(json.loads(self.rfile.read(length)))
            self.send_response(200 if server.is_well else 503)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", free_port()), Hook) as server:
        server.got, server.is_well = [], False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def states(daemon):
    reader = daemon.reader()
    try:
        rows = reader.notifications.latest(("waiting", "sent"))
    finally:
        reader.close()
    return {row.event: row.state for row in rows}


def test_what_a_killed_daemon_had_to_tell_is_told_once_after_its_restart(
    daemon, webhook, stack, wait_until, tmp_path
):
    folder = tmp_path / "site"
    (folder / "data" / "requests").mkdir(parents=True)
    Requests(folder / "data" / "requests").leave(Request("pause", processor="convert"))
    (folder / "rules.toml").write_text(RULES)
    toml = (
        '[rules]\nfile = "rules.toml"\n[[notify]]\nname = "team"\nalarms = ["held"]\n'
        f'url = "http://127.0.0.1:{webhook.server_port}/"\nretry_seconds = 1\n'
    )
    first = daemon(toml)
    first.run_sender(stack()[0].parent)
    wait_until(lambda: {got["event"] for got in webhook.got} == {"done", "alarm_began"}, "both")
    first.kill()
    webhook.got.clear()
    webhook.is_well = True
    second = daemon(f"{toml}per_hour = 7\n")
    wait_until(lambda: len(webhook.got) == 2, "both again")
    assert {got["event"] for got in webhook.got} == {"done", "alarm_began"}

    wait_until(lambda: states(second) == {"done": "sent", "alarm_began": "sent"}, "their record")
    assert second.run("notify", "forget", "--all").stdout == "taken out\n"
    log = (folder / "log").read_text()
    assert "configuration: [notify.team] per_hour: 20 -> 7" in log
