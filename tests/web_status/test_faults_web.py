"""Rows 40 to 75 of the fault catalogue that are about the page, over every route it has.

A route that is added needs a row in `OPEN_TO` of test_roles.py, and in `DEEDS` here if it changes
something. Row 70 (forged Host), row 72 (role by role, method by method) and the sizes of row 73 are
tried there, row 75 (guessing) in test_login.py and test_sessions.py, hostile archives (row 40) in
tests/acceptance/test_upload.py, against the daemon.
"""

import http.client
import json
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import pytest

from ledger.retrieve_records import RetrieveOrder
from rules.texts import RuleText
from web_status import access, drafting, ordering, uploads
from web_status import app as page_app
from web_status.api import operation
from web_status.node import Upload
from web_status.roles import ROUTES
from web_status.security import BODY_BYTES_MAX

from .forms import form
from .test_roles import METHODS, OPEN_TO

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
EVIL = "<script>alert(1)</script>^<img src=x onerror=alert(2)>"


@dataclass(frozen=True)
class Deed:
    """A good request to change something: what it says, what comes of it, and its audit line.

    `action` is empty for what changes nothing of the node: that is tested, too.
    """

    status: int
    action: str
    body: bytes = b""
    kind: str = FORM


def files(name: str, content: bytes) -> tuple[bytes, str]:
    return form(("files", name, content))


def draft(text: str, **more: str) -> tuple[bytes, str]:
    return form(*((name, None, value.encode()) for name, value in {"text": text, **more}.items()))


# No daemon is here to take rules, and no instance to try them on: that they are tried and put in
# force, and who did it, is tested in tests/acceptance. "" is in force; a draft of that is none.
DEEDS = {
    "/jobs/1/cancel": Deed(303, "job cancelled"),
    "/jobs/1/resend": Deed(303, "job sent again"),
    "/language": Deed(303, "", b"language=en"),  # a cookie of the browser
    "/login": Deed(303, "login", b"name=ada&password=correct+horse+battery"),
    "/logout": Deed(303, "logout"),
    "/network/1/echo": Deed(303, "echo sent"),
    "/nodes": Deed(200, "studies searched", b"accession=A1"),
    "/retrieves": Deed(303, "retrieve ordered", b"accessions=A1"),
    "/retrieves/file": Deed(200, "list read", *files("a.txt", b"A1")),
    "/retrieves/plan": Deed(200, "retrieve tried out", b"accessions=A1"),
    "/retrieves/1/again": Deed(303, "retrieve tried again"),
    "/retrieves/1/cancel": Deed(303, "retrieve cancelled"),
    "/rules/draft": Deed(200, "rules draft begun", *draft("# x")),
    "/rules/draft/discard": Deed(303, "rules draft discarded", *draft("")),
    "/rules/draft/file": Deed(303, "rules draft begun", *draft("")),
    "/rules/draft/rebase": Deed(303, "rules draft begun", *draft("# x")),
    "/rules/draft/replay": Deed(200, "rules replayed", *draft("")),
    "/rules/draft/try": Deed(200, "rules draft begun", *draft("# x", series="1")),
    "/rules/force": Deed(409, "rules not put in force", *draft("")),
    "/rules/versions/1/force": Deed(409, "rules not put in force"),
    "/search": Deed(200, "PACS searched", b"accession=A1"),
    "/series/1/again": Deed(303, "series processed again"),
    "/studies": Deed(200, "studies searched", b"accession=A1"),
    "/studies/1/again": Deed(303, "study processed again"),
    "/studies/1/fetch": Deed(303, "missing instances ordered"),
    "/system/check": Deed(303, "ledger checked"),
    "/system/pause": Deed(303, "processing paused"),
    "/system/resume": Deed(303, "processing resumed", b"processor=convert"),
    "/uploads": Deed(303, "files uploaded", *files("a.dcm", b"x")),
    "/api/v1/jobs/1/cancel": Deed(204, "job cancelled"),
    "/api/v1/jobs/1/resend": Deed(204, "job sent again"),
    "/api/v1/nodes/studies": Deed(200, "studies searched", b'{"accession": "A1"}', JSON),
    "/api/v1/pacs/1/echo": Deed(200, "echo sent"),
    "/api/v1/retrieves": Deed(201, "retrieve ordered", b'{"accessions": ["A1"]}', JSON),
    "/api/v1/retrieves/file": Deed(200, "list read", *files("a.txt", b"A1")),
    "/api/v1/retrieves/plan": Deed(200, "retrieve tried out", b'{"accessions": ["A1"]}', JSON),
    "/api/v1/retrieves/1/again": Deed(204, "retrieve tried again"),
    "/api/v1/retrieves/1/cancel": Deed(204, "retrieve cancelled"),
    "/api/v1/rules/draft": Deed(200, "rules draft begun", b'{"text": "# x", "mark": ""}', JSON),
    "/api/v1/rules/draft/discard": Deed(204, "rules draft discarded"),
    "/api/v1/rules/draft/file": Deed(200, "rules draft begun"),
    "/api/v1/rules/draft/replay": Deed(200, "rules replayed", b'{"text": "", "mark": ""}', JSON),
    "/api/v1/rules/draft/try": Deed(
        409, "rules draft begun", b'{"text": "# x", "mark": "", "series": 1}', JSON
    ),
    "/api/v1/rules/force": Deed(409, "rules not put in force", b'{"text": "", "mark": "x"}', JSON),
    "/api/v1/rules/versions/1/force": Deed(409, "rules not put in force", b'{"mark": "x"}', JSON),
    "/api/v1/search": Deed(200, "PACS searched", b'{"accession": "A1"}', JSON),
    "/api/v1/series/1/again": Deed(204, "series processed again"),
    "/api/v1/studies/1/again": Deed(204, "study processed again"),
    "/api/v1/studies/1/fetch": Deed(201, "missing instances ordered"),
    "/api/v1/studies/search": Deed(200, "studies searched", b'{"accession": "A1"}', JSON),
    "/api/v1/system/check": Deed(202, "ledger checked"),
    "/api/v1/system/pause": Deed(204, "processing paused", b"{}", JSON),
    "/api/v1/system/resume": Deed(204, "processing resumed", b"{}", JSON),
    "/api/v1/uploads": Deed(202, "files uploaded", *files("a.dcm", b"x")),
}
GETS = sorted(path for method, path in OPEN_TO if method == "GET")
OWN_SESSION = ("/login", "/logout")


def route_of(path: str) -> str:
    """The route of a path, as the router writes it; the one with the fewest names where several."""
    plain = path.partition("?")[0]
    routes = sorted({route for _, route in ROUTES}, key=lambda route: route.count("{"))
    for route in routes:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), plain):
            return route
    return "/static" if plain.startswith("/static/") else plain


@pytest.fixture
def full(page, chronicle, users):
    """A page with something behind each of its addresses."""
    chronicle.workbook(chronicle.whole_series(1), b"x")
    chronicle._ledger.retrieves.add(RetrieveOrder("key", "main", ("A1",)))
    chronicle._ledger.rule_loads.record(0, (RuleText("rules.toml", ""),))
    page.context.kept.uploads.append(Upload(1, "", "", 1, 1))
    return page


def audit(page) -> list[dict[str, str]]:
    path = page.context.data / "audit.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def deeds_done(page) -> tuple[object, ...]:
    """Everything that shows that something was done."""
    kept, actions, drafts = page.context.kept, page.context.actions, page.context.data / "rules"
    found = (len(actions.deeds), len(kept.uploads), len(kept.echoes), kept.check)
    return *found, sorted(path.name for path in drafts.rglob("*.json")), len(audit(page))


def test_every_route_has_its_rows():
    assert {(method, route_of(path)) for method, path in OPEN_TO} == set(ROUTES)
    assert set(DEEDS) == {path for method, path in OPEN_TO if method not in ("GET", "HEAD")}


@pytest.mark.parametrize("path", DEEDS)
def test_what_is_done_is_in_the_audit_trail_with_who_did_it(full, log_in, path):
    deed, headers = DEEDS[path], log_in(full, "ada")
    before = len(audit(full))
    answer = full.get(path, "POST", deed.body, Content_Type=deed.kind, **headers)
    assert answer.status == deed.status, answer.text
    found = [(line["action"], line["user"], line["address"]) for line in audit(full)[before:]]
    assert found == ([(deed.action, "ada", "127.0.0.1")] if deed.action else [])


@pytest.mark.parametrize("path", [path for path, deed in DEEDS.items() if not deed.action])
def test_what_is_not_in_the_audit_trail_changes_nothing_here(full, log_in, path):
    def everything():
        return {file: file.read_bytes() for file in full.context.data.rglob("*") if file.is_file()}

    deed, headers = DEEDS[path], log_in(full, "ada")
    before = everything(), deeds_done(full)
    answer = full.get(path, "POST", deed.body, Content_Type=deed.kind, **headers)
    assert answer.status == deed.status, answer.text
    assert (everything(), deeds_done(full)) == before


@pytest.mark.parametrize("path", [path for path in DEEDS if path.startswith("/api/")])
def test_what_a_program_does_is_in_the_audit_trail_with_its_token(full, users, path):
    deed, secret = DEEDS[path], users.add_token("ada", "nightly")
    bearer = {"Authorization": f"Bearer {secret}", "Content_Type": deed.kind}
    answer = full.get(path, "POST", deed.body, **bearer)
    assert answer.status == deed.status, answer.text
    (line,) = audit(full)
    assert (line["action"], line["user"], line["token"]) == (deed.action, "ada", "nightly")


@pytest.mark.parametrize("who", ["nobody", "victor", "olga"])
def test_what_a_role_may_not_do_is_not_done(full, log_in, who):
    rank = {"nobody": 0, "victor": 1, "olga": 2}[who]
    headers = {} if who == "nobody" else log_in(full, who)
    before = deeds_done(full)
    for path, deed in DEEDS.items():
        if OPEN_TO["POST", path] > rank:
            answer = full.get(path, "POST", deed.body, Content_Type=deed.kind, **headers)
            assert answer.status == (403 if rank else 401), path
    assert deeds_done(full) == before


FROM_ELSEWHERE = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1"},
)


@pytest.mark.parametrize("path", DEEDS)
def test_another_site_does_nothing_even_with_everything_else_right(full, users, log_in, path):
    """Row 69."""
    deed, given = DEEDS[path], {"Content_Type": DEEDS[path].kind}
    cookie = log_in(full, "ada")
    people = [cookie]
    if path.startswith("/api/"):
        people.append({"Authorization": f"Bearer {users.add_token('ada', 'nightly')}"})
    before = deeds_done(full)
    for person, elsewhere, method in product(people, FROM_ELSEWHERE, METHODS[2:]):
        answer = full.get(path, method, deed.body, **given, **person, **elsewhere)
        assert answer.status == 403, (elsewhere, method)
    for wrong in ({}, {"X_CSRF_Token": ""}, {"X_CSRF_Token": "0" * 64}):
        bare = {"Cookie": cookie["Cookie"], **wrong}
        assert full.get(path, "POST", deed.body, **given, **bare).status == 403, wrong
    assert deeds_done(full) == before


def test_no_answer_lets_another_site_read_it(full, log_in):
    headers = log_in(full, "ada")
    for path, method in product(GETS, ("GET", "OPTIONS")):
        if path.startswith("/events"):
            continue  # it has no end: test_live.py
        answer = full.get(path, method, Origin="http://evil.example", **headers)
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


CLIMBS = (
    *("/..", "/../..", "/../../../../../../../../etc/passwd", "//etc/passwd", "/./../app.py"),
    *("/%2e%2e/app.py", "/..%2fapp.py", "/%2e%2e%2fapp.py", "/%252e%252e%252fapp.py"),
    *(
        "/..%5capp.py",
        "/..\\app.py",
        "/%c0%ae%c0%ae/app.py",
        "/%00",
        "/app.py%00.css",
        "/....//app.py",
    ),
    *("/../audit.log", "/%2e%2e/%2e%2e/users.json", "/../users.json%3f.css"),
)
SECRET = re.compile(r"root:|def make_app|password_hash|argon2|\"action\"")


@pytest.mark.parametrize("who", ["nobody", "ada"])
def test_no_path_leads_out(full, log_in, who):
    """Row 71."""
    headers = {} if who == "nobody" else log_in(full, who)
    found = 401 if who == "nobody" else 404
    roots = {re.split(r"[?{]", route_of(path))[0].rstrip("/") for path in GETS}
    for root, climb in product(sorted(roots), CLIMBS):
        if not root.startswith("/events"):
            answer = full.get(root + climb, **headers)
            assert answer.status in (found, 404, 400), root + climb
            assert not SECRET.search(answer.body.decode("latin-1")), root + climb


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_that_does_not_tell_its_size_is_not_taken_beyond_the_limit(
    serve_page, chronicle, users, log_in, method
):
    """Row 73: where a body is read it is counted, elsewhere it is not read."""
    page = serve_page(upload_bytes_max=BODY_BYTES_MAX)
    for path, deed in DEEDS.items():
        headers, before = log_in(page, "ada"), len(page.context.actions.deeds)
        found = chunked(page, method, path, {**headers, "Content-Type": deed.kind}, deed.body)
        if method != "POST":
            assert found in (405, None), path
        elif deed.body:
            assert found in (413, None), path  # None: it was closed while we went on sending
            assert len(page.context.actions.deeds) == before, path


def chunked(page, method, path, headers, start) -> int | None:
    """The status of a request whose body begins well and has no end."""
    begun = start[: start.rindex(b"\r\n--")] if b"\r\n--" in start else start[:-1]
    endless = [begun] + [b" " * 65_536] * 100
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, iter(endless), headers, encode_chunked=True)
        with suppress(http.client.BadStatusLine, ConnectionResetError, BrokenPipeError):
            return connection.getresponse().status
    finally:
        connection.close()
    return None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b"--x\r\n[]--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: \x00\r\n\r\nb\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"y"),
        ("application/x-www-form-urlencoded; charset=none", b"a=b"),
        ("application/x-www-form-urlencoded; charset=ascii", b"a=%ff\xff"),
        ("application/json; charset=none", b"\xff"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_a_mistake_and_no_failure(full, log_in, kind, body):
    for path in DEEDS:
        answer = full.get(path, "POST", body, Content_Type=kind, **log_in(full, "ada"))
        assert answer.status < 500, path
    found = [deed[0] for deed in full.context.actions.deeds]
    assert "take in" not in found
    assert "read list" not in found


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity", "x"])
def test_a_compressed_body_is_not_unpacked_on_any_route(full, log_in, coding):
    """Row 73."""
    headers, before = log_in(full, "ada"), deeds_done(full)
    for path, deed in DEEDS.items():
        given = {"Content_Type": deed.kind, "Content_Encoding": coding}
        assert full.get(path, "POST", deed.body, **given, **headers).status == 413, path
    assert deeds_done(full) == (*before[:-1], len(audit(full)))


def test_who_sends_a_body_slowly_is_cut_off_on_every_route(
    serve_page, chronicle, users, log_in, monkeypatch
):
    """Row 74. Headers that come slowly: test_login.py."""
    for module, name in (
        *((access, "_FORM_SECONDS"), (operation, "_BODY_SECONDS"), (ordering, "_SECONDS")),
        *((drafting, "_SECONDS"), (uploads, "_SILENCE_SECONDS"), (page_app, "_LINGERING_SECONDS")),
    ):
        monkeypatch.setattr(module, name, 0.2)
    page = serve_page()
    for path, deed in DEEDS.items():
        if deed.body:
            headers = log_in(page, "ada")
            before = len(page.context.actions.deeds)
            assert slowly(page, path, deed, headers).startswith(b"HTTP/1.1 408 "), path
            assert len(page.context.actions.deeds) == before


def slowly(page, path, deed, headers) -> bytes:
    """What comes back where a body stops before its end; until the connection is closed."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    start = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {deed.kind}\r\n{head}"
        f"Content-Length: {len(deed.body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        connection.sendall(start + deed.body[:-2])
        answer = b""
        with suppress(ConnectionResetError):
            while received := connection.recv(65_536):
                answer += received
    return answer


@pytest.fixture
def evil(full, chronicle):
    """A page about a patient, a sender and a user's list that are called like a script."""
    texts = ("PatientName", "PatientID", "StudyDescription", "SeriesDescription", "AccessionNumber")
    chronicle.event("accepted", "a2", calling_ae=EVIL)
    where = {"series": "1.9.1", "study": "1.9"}
    chronicle.whole_series(2, qc=EVIL, Modality=EVIL, **where, **dict.fromkeys(texts, EVIL))
    chronicle.arrive(series="1.9.2", study="1.9", **dict.fromkeys(texts, EVIL))
    chronicle.decide(chronicle.close("1.9.2", "1.9", evidence=EVIL), summary=EVIL)
    chronicle.bury(chronicle.claim(), EVIL)
    chronicle.arrive(series="1.9.3", study="1.9", **dict.fromkeys(texts, EVIL))
    chronicle._ledger.retrieves.add(RetrieveOrder("evil", "main", (EVIL,), name=EVIL))
    full.context.kept.uploads[0].problem = EVIL
    return full


@pytest.mark.parametrize("who", ["victor", "ada"])
def test_what_is_called_like_a_script_is_text_on_every_page(evil, log_in, who):
    """Row 42."""
    headers = log_in(evil, who)
    seen = 0
    for path in [
        *GETS,
        "/series/2",
        "/series/3",
        "/studies/2",
        "/retrieves/2",
        "/outputs/3/viewer",
    ]:
        if path.startswith("/events"):
            continue
        answer = evil.get(path, **headers)
        if answer.headers.get_content_type() == "text/html":
            assert "<script>alert" not in answer.text, path
            assert "<img src=x" not in answer.text, path
            seen += "&lt;script&gt;" in answer.text
    assert seen >= 5


@pytest.mark.parametrize(
    "topic", [*("now 1", "study 2", "series 2", "series 3", "retrieves 1", "retrieve 2"),
              *("alarms 1", "network 1", "uploads 1", "system 1")],
)  # fmt: skip
def test_what_is_called_like_a_script_is_text_in_live_updates(evil, log_in, topic):
    """Row 42: what the page puts in as HTML."""
    kind, number = topic.split()
    stream = evil.stream(f"/events?kind={kind}&number={number}", **log_in(evil, "ada"))
    line = next(line for line in iter(stream.readline, b"") if line.startswith(b"data: "))
    told = json.loads(line.removeprefix(b"data: "))
    html = "".join(told["html"].values())
    assert "<script>" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;" in html or kind in ("network", "system")
