"""Logging in and out over real sockets, with the client of aiohttp.

Not covered: a browser (test_browser_login.py), which role may do what (test_roles.py), sessions
and throttle by the clock (test_sessions.py).
"""

import asyncio
import dataclasses
import json
import re
import socket
import ssl
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme

from listener.errors import TlsUnusable
from web_status import access
from web_status import app as page_app
from web_status.access import DOOR
from web_status.app import make_app, serve
from web_status.errors import NobodyMayLogIn
from web_status.roles import Role
from web_status.sessions import Sessions
from web_status.throttle import TRIES_OF_ADDRESS, TRIES_OF_NAME

FORM = re.compile(r'name="csrf" value="(\w+)"')
WRONG = "wrong horse battery"


class Visitor:
    """A browser without a window: it keeps cookies, and follows no redirect by itself."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        return await self.read("GET", path, headers=headers)

    async def read(self, method: str, path: str, **given) -> aiohttp.ClientResponse:
        async with self.session.request(method, path, allow_redirects=False, **given) as answer:
            await answer.read()
            return answer

    async def log_in(self, name: str, password: str, **fields: str) -> aiohttp.ClientResponse:
        token = FORM.search(await (await self.get("/login")).text())
        data = {"csrf": token and token[1], "name": name, "password": password, **fields}
        return await self.read("POST", "/login", data=data)

    async def log_out(self) -> aiohttp.ClientResponse:
        token = FORM.search(await (await self.get("/")).text())
        return await self.read("POST", "/logout", data={"csrf": token[1]})

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.session.cookie_jar}


@asynccontextmanager
async def visiting(url: str, **settings):
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of addresses, too
    connector = aiohttp.TCPConnector(**settings)
    async with aiohttp.ClientSession(url, cookie_jar=jar, connector=connector) as session:
        yield Visitor(session)


@pytest.fixture
def visit(page, users):
    """Function that runs a coroutine function with a visitor of the page."""

    def run(story, **settings):
        async def visit_it():
            async with visiting(page.url, **settings) as visitor:
                return await story(visitor)

        return asyncio.run(visit_it())

    return run


def audit(page) -> list[dict[str, str]]:
    path = page.context.data / "audit.log"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_login_leads_to_what_was_asked_for_and_a_logout_ends_it(visit, page, chronicle, password):
    chronicle.arrive()

    async def story(visitor):
        asked = await visitor.get("/series/1?a=b")
        assert asked.status == 401
        assert "WWW-Authenticate" in asked.headers
        text = await asked.text()
        assert 'name="next" value="/series/1?a=b"' in text
        assert "DOE" not in text
        assert page.context.identity not in text
        entered = await visitor.log_in("ada", password, next="/series/1?a=b")
        assert (entered.status, entered.headers["Location"]) == (303, "/series/1?a=b")
        assert "DOE, JANE" in await (await visitor.get("/series/1")).text()
        assert (await visitor.get("/login")).status == 303
        cookie = visitor.cookies["safelight"]
        assert (await visitor.log_out()).headers["Location"] == "/login"
        assert (await visitor.get("/")).status == 401
        again = await visitor.get("/", Cookie=f"safelight={cookie}")
        assert again.status == 401  # the id itself is worth nothing any more

    visit(story)
    assert [(line["action"], line["user"]) for line in audit(page)] == [
        ("login", "ada"),
        ("logout", "ada"),
    ]
    assert {line["address"] for line in audit(page)} == {"127.0.0.1"}


def test_the_cookie_is_for_no_script_and_no_other_site_and_new_at_each_login(visit, page, password):
    async def story(visitor):
        before = (await visitor.get("/login")).cookies["safelight"]
        entered = await visitor.log_in("ada", password)
        after = entered.cookies["safelight"]
        assert (after["httponly"], after["samesite"], after["path"]) == (True, "Lax", "/")
        assert (after["secure"], after["max-age"], after["expires"]) == ("", "", "")
        assert len(after.value) == 43
        assert after.value != before.value
        # What somebody planted before the login is no login.
        assert page.get("/", Cookie=f"safelight={before.value}").status == 401
        assert page.get("/", Cookie=f"safelight={after.value}").status == 200

    visit(story)


def test_an_unknown_name_and_a_wrong_password_get_the_same_answer(visit, page, password):
    async def story(visitor):
        answers = [
            await visitor.log_in(name, given)
            for name, given in (("ada", WRONG), ("nobody", WRONG), ("ADA", password), ("", ""))
        ]
        assert {answer.status for answer in answers} == {401}
        texts = {FORM.sub("", await answer.text()) for answer in answers}
        assert len(texts) == 1
        assert "do not belong together" in texts.pop()
        assert "Set-Cookie" not in answers[0].headers

    visit(story)
    found = [(line["action"], line["user"]) for line in audit(page)]
    assert found == [("login failed", "ada")] + 3 * [("login failed", "")]
    log = (page.context.data / "audit.log").read_text()
    assert WRONG not in log
    assert "nobody" not in log  # it may be a password in the wrong field


def test_guessing_is_throttled_for_a_name_and_an_address_and_audited_once(visit, page, password):
    async def story(visitor):
        for _ in range(TRIES_OF_NAME):
            assert (await visitor.log_in("ada", WRONG)).status == 401
        for given in (WRONG, password):  # the right one, too
            refused = await visitor.log_in("ada", given)
            assert refused.status == 429
            assert 0 < int(refused.headers["Retry-After"]) <= 900
            assert "Too many logins failed" in await refused.text()
        for number in range(TRIES_OF_ADDRESS - TRIES_OF_NAME):
            assert (await visitor.log_in(f"nobody{number}", WRONG)).status == 401
        for _ in range(5):
            assert (await visitor.log_in("olga", password)).status == 429

    visit(story)
    refused = [line for line in audit(page) if "too many tries" in line["action"]]
    assert [line["user"] for line in refused] == ["ada", "olga"]


def test_many_guesses_at_once_are_counted_before_they_are_judged(visit, page, password):
    async def story(visitor):
        token = FORM.search(await (await visitor.get("/login")).text())[1]
        data = {"csrf": token, "name": "ada", "password": WRONG}
        guesses = [visitor.read("POST", "/login", data=data) for _ in range(40)]
        return [answer.status for answer in await asyncio.gather(*guesses)]

    assert visit(story, limit=40).count(401) <= TRIES_OF_NAME


def test_a_login_leads_nowhere_else(visit, password):
    elsewhere = ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "")

    async def story(visitor):
        for wanted in (*elsewhere, "/a\r\nb", "/" + "a" * 500):
            entered = await visitor.log_in("ada", password, next=wanted)
            assert entered.headers["Location"] == "/"
            await visitor.log_out()

    visit(story)


def test_a_login_that_another_site_sends_is_refused(visit, page, password):
    async def story(visitor):
        await visitor.get("/login")
        for token in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
            fields = {"name": "ada", "password": password, **token}
            answer = await visitor.read("POST", "/login", data=fields)
            assert answer.status == 403
        assert (await visitor.get("/")).status == 401

    visit(story)
    assert not (page.context.data / "audit.log").exists()


def test_what_is_no_plain_form_is_not_read_for_its_token(visit, password):
    async def story(visitor):
        token = FORM.search(await (await visitor.get("/login")).text())[1]
        body = f"csrf={token}&name=ada&password={password}"
        for kind in ("multipart/form-data; boundary=x", "application/json", "a"):
            headers = {"Content-Type": kind}
            answer = await visitor.read("POST", "/login", data=body, headers=headers)
            assert answer.status == 403

    visit(story)


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.remove("ada"),
        lambda users: users.set_password("ada", "another password"),
    ],
)
def test_who_is_removed_or_has_a_new_password_is_out_at_once(visit, users, password, change):
    async def story(visitor):
        await visitor.log_in("ada", password)
        assert (await visitor.get("/")).status == 200
        change(users)
        assert (await visitor.get("/")).status == 401

    visit(story)


def test_a_new_role_holds_at_once(visit, users, password):
    async def story(visitor):
        await visitor.log_in("ada", password)
        assert "ada, admin" in await (await visitor.get("/")).text()
        users.set_role("ada", Role.VIEWER)
        assert "ada, viewer" in await (await visitor.get("/")).text()

    visit(story)


def test_a_damaged_file_of_users_lets_nobody_in(visit, page, password, caplog):
    async def story(visitor):
        await visitor.log_in("ada", password)
        (page.context.data / "users.json").write_text("{")
        for path in ("/", "/login", "/series/1"):
            answer = await visitor.get(path)
            assert answer.status == 503
            assert "nobody is let in" in await answer.text()

    visit(story)
    assert "users.json cannot be used: it is damaged" in caplog.text


@pytest.mark.parametrize("how", ["logout", "removal", "damage", "idleness"])
def test_a_stream_of_updates_ends_with_its_login(visit, page, users, password, monkeypatch, how):
    monkeypatch.setattr("web_status.live.KEEP_ALIVE_SECONDS", 0.1)
    clock = [0.0]
    page.runner.app[DOOR].sessions = Sessions(1800, 43200, lambda: clock[0])

    async def story(visitor):
        await visitor.log_in("ada", password)
        async with visitor.session.get("/events?kind=now&number=1") as stream:
            assert stream.status == 200
            assert (await stream.content.readline()).startswith(b"retry")
            if how == "logout":
                await visitor.log_out()
            elif how == "removal":
                users.remove("ada")
            elif how == "damage":
                (page.context.data / "users.json").write_text("{")
            else:
                clock[0] = 1801.0  # the stream itself was no use of the session
            rest = await asyncio.wait_for(stream.content.read(), 20)
        assert rest.endswith(b"event: ended\ndata: log in again\n\n")
        after = await visitor.get("/events?kind=now&number=1")
        assert after.status == (503 if how == "damage" else 401)

    visit(story)


def test_pages_keep_a_session_and_what_pages_ask_for_by_themselves_does_not(
    visit, page, chronicle, password
):
    chronicle.whole_series(1)
    clock = [0.0]
    page.runner.app[DOOR].sessions = Sessions(100, 300, lambda: clock[0])

    async def story(visitor):
        await visitor.log_in("ada", password)
        for clock[0], path, status in (
            (90, "/", 200),
            (180, "/outputs/2", 200),
            (185, "/series/1", 200),
            (270, "/outputs/2", 200),
            (284, "/outputs/2", 200),
            (286, "/", 401),
        ):
            assert (await visitor.get(path)).status == status, clock
        await visitor.log_in("ada", password)
        for clock[0] in (380, 470, 560):
            assert (await visitor.get("/")).status == 200
        clock[0] = 587
        assert (await visitor.get("/")).status == 401  # so long after it began

    visit(story)


def test_a_page_that_others_reach_is_not_served_without_users(context):
    public = dataclasses.replace(context.settings, hosts=("safelight.example",))
    with pytest.raises(NobodyMayLogIn, match="safelight user add NAME --role admin"):
        asyncio.run(serve(make_app(context), dataclasses.replace(public, listen="127.0.0.1:0")))


def test_a_public_page_whose_users_are_gone_lets_nobody_in(serve_page, users, log_in):
    page = serve_page(hosts=("safelight.example",))
    headers = log_in(page, "ada")
    assert page.get("/", Host="safelight.example", **headers).status == 200
    assert page.get("/", Host="other.example", **headers).status == 421
    (page.context.data / "users.json").unlink()
    assert page.get("/", **headers).status == 401
    assert page.get("/").status == 401


def test_on_this_machine_the_first_user_closes_the_door(serve_page, request):
    page = serve_page()
    assert page.get("/").status == 200
    request.getfixturevalue("users")
    assert page.get("/").status == 401


@pytest.fixture
def authority(tmp_path):
    """An authority whose certificate for 127.0.0.1 is in page.pem and key.pem."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "page.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    return authority


def test_https_is_spoken_with_the_certificate_and_nothing_else(
    serve_page, users, authority, tmp_path, password
):
    files = {"certificate": tmp_path / "page.pem", "private_key": tmp_path / "key.pem"}
    page = serve_page(**files)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)

    async def story():
        async with visiting(f"https://127.0.0.1:{page.port}", ssl=trust) as visitor:
            entered = await visitor.log_in("ada", password)
            cookie = entered.cookies["__Host-safelight"]
            assert (cookie["secure"], cookie["httponly"], cookie["path"]) == (True, True, "/")
            assert (await visitor.get("/")).status == 200
        async with visiting(page.url) as visitor:
            with pytest.raises(aiohttp.ClientError):
                await visitor.get("/")

    asyncio.run(story())


def test_a_certificate_that_cannot_be_used_is_an_error_and_never_plain_http(context, tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate")
    files = {"certificate": tmp_path / "bad.pem", "private_key": tmp_path / "bad.pem"}
    settings = dataclasses.replace(context.settings, listen="127.0.0.1:0", **files)
    with pytest.raises(TlsUnusable, match="certificate"):
        asyncio.run(serve(make_app(context), settings))


def test_a_form_that_does_not_come_to_its_end_is_given_up(serve_page, users, monkeypatch):
    monkeypatch.setattr(access, "_FORM_SECONDS", 0.2)
    monkeypatch.setattr(page_app, "_LINGERING_SECONDS", 0.2)
    page = serve_page()
    head = (
        "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\nname="
    )
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_who_sends_headers_slowly_is_cut_off(serve_page, users, monkeypatch):
    monkeypatch.setattr(page_app, "_KEEP_ALIVE_SECONDS", 0.5)
    page = serve_page()
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        assert connection.recv(100) == b""
