"""Who may ask, what a browser may do with the answers, and errors that tell nothing.

Not covered: logins and slow senders (test_login.py), roles (test_roles.py).
"""

import asyncio
import re
import socket

import pytest

from web_status.app import make_app, serve
from web_status.security import BODY_BYTES_MAX
from web_status.settings import WebSettings


@pytest.mark.parametrize("path", ["/", "/healthz", "/static/page.js", "/nothing", "/events?kind=x"])
def test_every_answer_binds_the_browser(page, path):
    headers = page.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_pages_have_no_inline_script_or_style_and_load_nothing_from_elsewhere(page, chronicle):
    chronicle.whole_series(2)
    for path in ("/", "/studies/1", "/series/1", "/alarms", "/nothing"):
        text = page.get(path).text
        assert re.findall(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", text) == []
        assert re.findall(r'(?:href|src)="(?!/|#)[^"]*"', text) == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:8080", "[::1]"]
)
def test_the_page_is_reached_by_the_names_of_this_machine(page, host):
    assert page.get("/", Host=host).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.1.2.3", "[::1", "", "@"],
)
@pytest.mark.parametrize("path", ["/", "/events?kind=now&number=1", "/static/page.js"])
def test_a_forged_host_is_refused(page, host, path):
    assert page.get(path, Host=host).status == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_page_can_only_be_read(page, method):
    answer = page.get("/", method=method)
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://[broken"])
def test_another_site_cannot_post(page, origin):
    assert page.get("/", method="POST", Origin=origin).status == 403


def test_a_huge_or_compressed_body_is_refused(page):
    assert page.get("/", method="POST", body=b"x" * (BODY_BYTES_MAX + 1)).status == 413
    assert page.get("/", method="POST", body=b"x", Content_Encoding="gzip").status == 413


def test_an_error_in_the_code_is_a_page_and_a_log_line_without_its_message(
    page, context, monkeypatch, caplog
):
    def broken():
        raise RuntimeError("DOE^JANE")

    object.__setattr__(page.context, "progress", broken)
    answer = page.get("/")
    assert answer.status == 500
    assert "The log of the service says where" in answer.text
    assert re.search(r"page not made: RuntimeError at test_security\.py:\d+", caplog.text)
    assert "DOE" not in answer.text + caplog.text


def test_a_taken_port_is_an_error_and_leaves_nothing_open(context):
    async def try_it(port: int) -> None:
        with pytest.raises(OSError, match=r"(?i)address"):
            await serve(make_app(context), WebSettings(f"127.0.0.1:{port}"))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(try_it(taken.getsockname()[1]))
