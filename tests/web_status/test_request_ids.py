"""Each request has an id: from a proxy where it is well-formed, in the answer, in the log."""

import logging
import uuid

import pytest

from listener.log_ids import log_ids
from web_status.roles import ROUTES, Needs, Role

PROXY = "0f8fad5b-d9cb-469f-a165-70867728950e"


def test_the_id_of_a_proxy_is_taken_over(page):
    for given in (PROXY, "0123456789abcdef0123456789ABCDEF"):
        assert page.get("/healthz", X_Request_ID=given).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["DOE^JANE", "A0001", "1.2.840.10008", "x" * 300, ""])
def test_what_could_name_somebody_is_not(page, given):
    got = page.get("/healthz", X_Request_ID=given).headers["X-Request-ID"]
    assert uuid.UUID(hex=got).hex == got
    assert got != page.get("/healthz", X_Request_ID=given).headers["X-Request-ID"]


@pytest.mark.parametrize("path", ["/nothing", "/static/page.css", "/api/v1/nothing", "/metrics"])
def test_every_answer_has_one(page, path):
    assert page.get(path, X_Request_ID=PROXY).headers["X-Request-ID"] == PROXY


def test_the_page_of_a_failure_and_its_log_line_have_the_same(serve_page, monkeypatch, caplog):
    monkeypatch.setattr("web_status.roles.ROUTES", {**ROUTES, ("GET", "/fail"): Needs(Role.ANYONE)})
    known = []

    class Noting(logging.Handler):
        def emit(self, record):
            known.append(dict(log_ids()))

    async def fail(request):
        raise ValueError("DOE^JANE")

    handler = Noting()
    logging.getLogger("web_status").addHandler(handler)
    try:
        page = serve_page(lambda app: app.router.add_get("/fail", fail))
        answer = page.get("/fail", X_Request_ID=PROXY)
    finally:
        logging.getLogger("web_status").removeHandler(handler)
    assert (answer.status, answer.text.count(PROXY)) == (500, 1)
    assert known == [{"request": PROXY}]
    assert "DOE" not in caplog.text + answer.text
    assert PROXY not in page.get("/nothing", X_Request_ID=PROXY).text  # it is not logged
