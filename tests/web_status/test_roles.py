"""Every route, with every method, as nobody and in every role: who gets in is written here.

Not covered: what the pages show to whom (test_veil.py).
"""

import http.client
from itertools import product

import pytest
from aiohttp import web

from ledger.retrieve_records import RetrieveOrder
from rules.texts import RuleText
from web_status import app as page_app
from web_status import roles
from web_status.app import make_app
from web_status.node import Upload
from web_status.roles import ROUTES, Needs, Role
from web_status.security import BODY_BYTES_MAX

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
WHO = {"nobody": 0, "victor": 1, "olga": 2, "ada": 3}

# What may be asked for, and by whom at least: 0 anyone, 1 viewers, 2 operators, 3 administrators.
OPEN_TO = {
    ("GET", "/"): 1,
    ("GET", "/alarms"): 1,
    ("GET", "/api/v1/"): 1,
    ("GET", "/api/v1/alarms"): 1,
    ("GET", "/api/v1/jobs"): 1,
    ("GET", "/api/v1/jobs/1"): 1,
    ("POST", "/api/v1/jobs/1/cancel"): 2,
    ("POST", "/api/v1/jobs/1/resend"): 2,
    ("GET", "/api/v1/nodes"): 1,
    ("POST", "/api/v1/nodes/studies"): 1,
    ("GET", "/api/v1/now"): 1,
    ("GET", "/api/v1/openapi.json"): 1,
    ("GET", "/api/v1/outputs/1"): 1,
    ("GET", "/api/v1/outputs/1/file"): 1,
    ("GET", "/api/v1/outputs/1/slices/axial/0"): 1,
    ("GET", "/api/v1/outputs/1/volume"): 1,
    ("GET", "/api/v1/pacs"): 1,
    ("POST", "/api/v1/pacs/1/echo"): 2,
    ("GET", "/api/v1/retrieves"): 1,
    ("POST", "/api/v1/retrieves"): 2,
    ("POST", "/api/v1/retrieves/file"): 2,
    ("POST", "/api/v1/retrieves/plan"): 2,
    ("GET", "/api/v1/retrieves/1"): 1,
    ("POST", "/api/v1/retrieves/1/again"): 2,
    ("POST", "/api/v1/retrieves/1/cancel"): 2,
    ("GET", "/api/v1/retrieves/1/report"): 1,
    ("GET", "/api/v1/rules"): 1,
    ("GET", "/api/v1/rules/draft"): 3,
    ("POST", "/api/v1/rules/draft"): 3,
    ("POST", "/api/v1/rules/draft/discard"): 3,
    ("POST", "/api/v1/rules/draft/file"): 3,
    ("POST", "/api/v1/rules/draft/replay"): 3,
    ("POST", "/api/v1/rules/draft/try"): 3,
    ("POST", "/api/v1/rules/force"): 3,
    ("GET", "/api/v1/rules/versions"): 3,
    ("GET", "/api/v1/rules/versions/1"): 3,
    ("POST", "/api/v1/rules/versions/1/force"): 3,
    ("POST", "/api/v1/search"): 2,
    ("GET", "/api/v1/senders"): 1,
    ("GET", "/api/v1/series"): 1,
    ("GET", "/api/v1/series/1"): 1,
    ("POST", "/api/v1/series/1/again"): 2,
    ("GET", "/api/v1/series/1/decision"): 1,
    ("GET", "/api/v1/series/1/history"): 1,
    ("GET", "/api/v1/series/1/jobs"): 1,
    ("GET", "/api/v1/session"): 1,
    ("GET", "/api/v1/state"): 1,
    ("GET", "/api/v1/studies"): 1,
    ("GET", "/api/v1/studies/1"): 1,
    ("POST", "/api/v1/studies/1/again"): 2,
    ("POST", "/api/v1/studies/1/fetch"): 2,
    ("GET", "/api/v1/studies/1/instances"): 1,
    ("GET", "/api/v1/studies/1/package"): 2,
    ("GET", "/api/v1/studies/1/report"): 2,
    ("GET", "/api/v1/studies/1/workbook"): 2,
    ("POST", "/api/v1/studies/search"): 1,
    ("GET", "/api/v1/system/about"): 3,
    ("GET", "/api/v1/system/check"): 3,
    ("POST", "/api/v1/system/check"): 3,
    ("GET", "/api/v1/system/log"): 3,
    ("POST", "/api/v1/system/pause"): 3,
    ("GET", "/api/v1/system/queue"): 3,
    ("POST", "/api/v1/system/resume"): 3,
    ("GET", "/api/v1/uploads"): 2,
    ("POST", "/api/v1/uploads"): 2,
    ("GET", "/api/v1/uploads/1"): 2,
    ("GET", "/events?kind=now&number=1"): 1,
    ("GET", "/healthz"): 0,
    ("POST", "/jobs/1/cancel"): 2,
    ("POST", "/jobs/1/resend"): 2,
    ("POST", "/language"): 0,
    ("GET", "/login"): 0,
    ("POST", "/login"): 0,
    ("POST", "/logout"): 1,
    ("GET", "/metrics"): 1,
    ("GET", "/network"): 1,
    ("POST", "/network/1/echo"): 2,
    ("GET", "/nodes"): 1,
    ("POST", "/nodes"): 1,
    ("GET", "/outputs/2"): 1,
    ("GET", "/outputs/1/slices/axial/0"): 1,
    ("GET", "/outputs/1/viewer"): 1,
    ("GET", "/retrieves"): 1,
    ("POST", "/retrieves"): 2,
    ("POST", "/retrieves/file"): 2,
    ("POST", "/retrieves/plan"): 2,
    ("GET", "/retrieves/1"): 1,
    ("POST", "/retrieves/1/again"): 2,
    ("POST", "/retrieves/1/cancel"): 2,
    ("GET", "/rules"): 1,
    ("GET", "/rules/draft"): 3,
    ("POST", "/rules/draft"): 3,
    ("POST", "/rules/draft/discard"): 3,
    ("POST", "/rules/draft/file"): 3,
    ("POST", "/rules/draft/rebase"): 3,
    ("POST", "/rules/draft/replay"): 3,
    ("POST", "/rules/draft/try"): 3,
    ("POST", "/rules/force"): 3,
    ("GET", "/rules/versions"): 3,
    ("GET", "/rules/versions/1"): 3,
    ("POST", "/rules/versions/1/force"): 3,
    ("GET", "/search"): 2,
    ("POST", "/search"): 2,
    ("GET", "/series/1"): 1,
    ("POST", "/series/1/again"): 2,
    ("GET", "/static/page.js"): 0,
    ("GET", "/studies"): 1,
    ("POST", "/studies"): 1,
    ("GET", "/studies/1"): 1,
    ("POST", "/studies/1/again"): 2,
    ("POST", "/studies/1/fetch"): 2,
    ("GET", "/studies/1/package"): 2,  # it names patients, and so do the next two
    ("GET", "/studies/1/report"): 2,
    ("GET", "/studies/1/workbook"): 2,
    ("GET", "/system"): 3,
    ("POST", "/system/check"): 3,
    ("POST", "/system/pause"): 3,
    ("POST", "/system/resume"): 3,
    ("GET", "/uploads"): 2,
    ("POST", "/uploads"): 2,
}
# The statuses of who gets in, where that is not 200. An empty form to log in is judged, and wrong;
# who is logged in is led on.
PASSED = {
    ("POST", "/language"): (400,),
    ("POST", "/login"): (401,),
    ("POST", "/logout"): (303,),
    ("POST", "/jobs/1/cancel"): (303,),
    ("POST", "/jobs/1/resend"): (303,),
    ("POST", "/network/1/echo"): (303,),
    ("POST", "/retrieves"): (303,),
    ("POST", "/retrieves/file"): (415,),
    ("POST", "/retrieves/1/again"): (303,),
    ("POST", "/retrieves/1/cancel"): (303,),
    ("POST", "/rules/draft"): (415,),
    ("POST", "/rules/draft/discard"): (415,),
    ("POST", "/rules/draft/file"): (415,),
    ("POST", "/rules/draft/rebase"): (415,),
    ("POST", "/rules/draft/replay"): (415,),
    ("POST", "/rules/draft/try"): (415,),
    ("POST", "/rules/force"): (415,),
    ("POST", "/rules/versions/1/force"): (409,),  # the form names other rules than are in force
    ("POST", "/series/1/again"): (303,),
    ("POST", "/nodes"): (303,),
    ("POST", "/studies"): (303,),
    ("POST", "/studies/1/again"): (303,),
    ("POST", "/studies/1/fetch"): (303,),
    ("POST", "/system/check"): (303,),
    ("POST", "/system/pause"): (303,),
    ("POST", "/system/resume"): (303,),
    ("POST", "/uploads"): (415,),
    ("POST", "/api/v1/jobs/1/cancel"): (204,),
    ("POST", "/api/v1/jobs/1/resend"): (204,),
    ("POST", "/api/v1/retrieves"): (422,),
    ("POST", "/api/v1/retrieves/file"): (415,),
    ("POST", "/api/v1/retrieves/plan"): (422,),
    ("POST", "/api/v1/retrieves/1/again"): (204,),
    ("POST", "/api/v1/retrieves/1/cancel"): (204,),
    ("POST", "/api/v1/rules/draft"): (422,),
    ("POST", "/api/v1/rules/draft/discard"): (204,),
    ("POST", "/api/v1/rules/draft/replay"): (422,),
    ("POST", "/api/v1/rules/draft/try"): (422,),
    ("POST", "/api/v1/rules/force"): (422,),
    ("POST", "/api/v1/rules/versions/1/force"): (422,),
    ("POST", "/api/v1/series/1/again"): (204,),
    ("POST", "/api/v1/studies/1/again"): (204,),
    ("POST", "/api/v1/studies/1/fetch"): (201,),
    ("POST", "/api/v1/system/check"): (202,),
    ("POST", "/api/v1/system/pause"): (204,),
    ("POST", "/api/v1/system/resume"): (204,),
    ("POST", "/api/v1/uploads"): (415,),
    ("GET", "/login"): (200, 303),
    ("HEAD", "/login"): (200, 303),
}
PATHS = sorted({path for _, path in OPEN_TO})


def paths_of_the_router(app: web.Application) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD"
    }


def status(page, method, path, headers) -> int:
    """The status of an answer; its body, which may have no end, is not read."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_table_has_exactly_the_routes_of_the_page(context):
    assert set(ROUTES) == paths_of_the_router(make_app(context))


@pytest.mark.parametrize(("who", "status_"), [("victor", 403), ("olga", 403), ("ada", 200)])
def test_live_updates_of_a_page_need_the_role_of_the_page(page, users, log_in, who, status_):
    assert status(page, "GET", "/events?kind=system&number=1", log_in(page, who)) == status_


def test_each_route_of_the_table_is_tried_below():
    assert len(OPEN_TO) == len(ROUTES)


@pytest.mark.parametrize("who", WHO)
def test_each_route_lets_in_whom_it_should_by_any_method(page, chronicle, users, log_in, who):
    chronicle.workbook(chronicle.whole_series(1), b"x")
    chronicle._ledger.retrieves.add(RetrieveOrder("key", "main", ("A1",)))
    chronicle._ledger.rule_loads.record(0, (RuleText("rules.toml", ""),))
    page.context.kept.uploads.append(Upload(1, "", "", 1, 1))
    headers: dict[str, str] = {}
    for path, method in product(PATHS, METHODS):
        if (who, method) == ("nobody", "POST") and path in ("/login", "/language"):
            continue  # forms, with their own token: test_login.py, test_languages.py
        if who != "nobody" and (path in ("/login", "/logout") or not headers):
            headers = log_in(page, who)  # anew, where a request may have ended the last
        found = status(page, method, path, headers)
        reading = "GET" if method == "HEAD" and not path.startswith("/events") else method
        least = OPEN_TO.get((reading, path))
        if least is not None and WHO[who] >= least:
            assert found in PASSED.get((method, path), (200,)), (method, path)
        elif who == "nobody":
            assert found == 401, (method, path)
        else:
            assert found == (405 if least is None else 403), (method, path)


@pytest.mark.parametrize("who", ["nobody", "ada"])
def test_no_role_makes_up_for_a_forged_host_another_site_or_a_body_too_large(
    serve_page, chronicle, users, log_in, monkeypatch, who
):
    monkeypatch.setattr(page_app, "_LINGERING_SECONDS", 0.1)  # no body comes here
    page = serve_page(upload_bytes_max=BODY_BYTES_MAX)
    chronicle.workbook(chronicle.whole_series(1), b"x")
    headers = {} if who == "nobody" else log_in(page, who)
    wrongs = (
        ({"Host": "evil.example"}, 421, METHODS),
        ({"Origin": "http://evil.example"}, 403, METHODS[2:]),
        ({"Content-Encoding": "gzip"}, 413, METHODS),
        ({"Content-Length": str(BODY_BYTES_MAX + 1)}, 413, METHODS),
    )
    for wrong, refused, methods in wrongs:
        for path, method in product(PATHS, methods):
            assert status(page, method, path, {**headers, **wrong}) == refused, (method, path)
    assert page.get("/", **headers).status == (401 if who == "nobody" else 200)  # still logged in


def test_nobody_learns_what_exists(page, users, log_in):
    viewer = log_in(page, "victor")
    for path in ("/nothing", "/series/999999999999999999999", "/series/x", "//"):
        assert page.get(path).status == 401
        assert page.get(path, **viewer).status == 404


def add_unlisted(app: web.Application) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="secret")

    app.router.add_route("*", "/unlisted", answer)
    app.router.add_get("/another", answer)
    app.router.add_post("/another", answer)


def test_a_route_that_is_not_in_the_table_is_refused_to_everybody(serve_page, request, log_in):
    page = serve_page(add_unlisted)
    everybody = [{}]  # an administrator, as long as there are no users
    for name in ("victor", "olga", "ada", None):
        for headers, method in product(everybody, METHODS):
            answer = page.get("/unlisted", method, **headers)
            assert answer.status == 403
            assert "secret" not in answer.text
        if name is not None:
            request.getfixturevalue("users")
            everybody = [log_in(page, name)]


def test_the_first_role_that_is_high_enough_gets_in(serve_page, users, log_in, monkeypatch):
    asked = {("GET", "/another"): Needs(Role.OPERATOR), ("POST", "/another"): Needs(Role.ADMIN)}
    monkeypatch.setattr(roles, "ROUTES", {**ROUTES, **asked})
    page = serve_page(add_unlisted)
    found = {
        who: [
            page.get("/another", method, **log_in(page, who)).status for method in ("GET", "POST")
        ]
        for who in ("victor", "olga", "ada")
    }
    assert found == {"victor": [403, 403], "olga": [200, 403], "ada": [200, 200]}


def test_a_change_needs_the_token_of_its_page_in_every_role(serve_page, users, log_in, monkeypatch):
    monkeypatch.setattr(roles, "ROUTES", {**ROUTES, ("POST", "/another"): Needs(Role.VIEWER)})
    page = serve_page(add_unlisted)
    stranger = log_in(page, "ada")["X-CSRF-Token"]
    for who in ("victor", "olga", "ada"):
        headers = log_in(page, who)
        assert page.get("/another", "POST", **headers).status == 200
        for token in ("", "0" * 64, stranger, "é"):
            forged = {**headers, "X-CSRF-Token": token.encode("utf-8").decode("latin-1")}
            assert page.get("/another", "POST", **forged).status == 403


def test_on_this_machine_without_users_everybody_is_an_administrator(serve_page, monkeypatch):
    asked = {("GET", "/another"): Needs(Role.ADMIN), ("POST", "/another"): Needs(Role.ADMIN)}
    monkeypatch.setattr(roles, "ROUTES", {**ROUTES, **asked})
    page = serve_page(add_unlisted)
    assert page.get("/another").status == 200
    assert page.get("/another", "POST").status == 403  # not without a token, even so
