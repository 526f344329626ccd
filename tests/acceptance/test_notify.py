"""A daemon that is killed while a webhook is down, and what comes afterwards.

Not covered: every way in which delivery fails, which is tests/safelight/notifying.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

RULES = '[[rule]]\nname = "All"\n[rule.run]\nqc = {}\n[rule.notify]\nto = "team"\non = "done"\n'


@pytest.fixture
def webhook(free_port):
    """A webhook that answers 503 until its `is_well` is true, and keeps what it got."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802 - its name says which method
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


def test_what_a_killed_daemon_had_to_tell_is_told_once_after_its_restart(
    daemon, webhook, slice_file, wait_until, tmp_path
):
    url = f"http://127.0.0.1:{webhook.server_port}/"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "rules.toml").write_text(RULES)
    toml = (
        f'[rules]\nfile = "rules.toml"\n[[notify]]\nname = "team"\nurl = "{url}"\n'
        'retry_seconds = 1\nalarms = ["held"]\n'
    )
    first = daemon(toml)
    assert first.run("pause", "convert").returncode == 0
    first.run_sender(slice_file)
    wait_until(lambda: {got["event"] for got in webhook.got} == {"done", "alarm_began"}, "both")
    first.kill()
    webhook.got.clear()
    webhook.is_well = True
    second = daemon(f"{toml}per_hour = 7\n")
    wait_until(lambda: len(webhook.got) == 2, "both again")
    assert {got["event"] for got in webhook.got} == {"done", "alarm_began"}
    assert second.run("resume", "convert").returncode == 0
    wait_until(lambda: len(webhook.got) == 3, "the end of the alarm", 150)
    assert webhook.got[2]["event"] == "alarm_ended"

    tested = second.run("notify", "test", "team")
    assert (tested.returncode, tested.stdout) == (0, f"127.0.0.1:{webhook.server_port} answered 200\n")
    webhook.is_well = False
    assert "answered 503" in second.run("notify", "test", "team").stderr
    listed = json.loads(second.run("notify", "list", "--all", "--json").stdout)
    assert [row["state"] for row in listed] == ["sent"] * 3
    assert "is sent; only those given up can be" in second.run("notify", "resend", "1").stderr
    assert second.run("notify", "forget", "--all").returncode == 0
    log = (second.config.parent / "log").read_text()
    assert "configuration: [notify.team] per_hour: 20 -> 7" in log
