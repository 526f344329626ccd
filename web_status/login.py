"""Logging in and out."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from aiohttp import web

from web_status.access import DOOR, address_of, form_of, person_of, record, render, set_cookie
from web_status.errors import TooManyTries
from web_status.languages import msgid
from web_status.passwords import is_password
from web_status.users import User

logger = logging.getLogger(__name__)

_WAITING_MAX = 20  # so many passwords wait to be judged; each takes a third of a second
_BUSY_SECONDS = 5.0
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")

_HASHING = web.AppKey("hashing", ThreadPoolExecutor)
_WAITING = web.AppKey("waiting", set[object])


def add_login(app: web.Application) -> None:
    """Add the routes of the login; passwords are judged one at a time, off the event loop."""
    app[_WAITING] = set()
    app.cleanup_ctx.append(_hashing)
    app.router.add_get("/login", _form)
    app.router.add_post("/login", _login)
    app.router.add_post("/logout", _logout)


async def _hashing(app: web.Application) -> AsyncIterator[None]:
    # One thread: each hash takes 64 MiB, and reception must not wait for a guesser.
    app[_HASHING] = ThreadPoolExecutor(1, thread_name_prefix="passwords")
    yield
    app[_HASHING].shutdown(cancel_futures=True)


async def _form(request: web.Request) -> web.Response:
    wanted = own_path(request.query.get("next", "/"))
    if person_of(request) is not None:
        return _see(wanted)
    return login_page(request, wanted)


def login_page(
    request: web.Request, wanted: str, problem: str = "", status: int = 200
) -> web.Response:
    """The form; `wanted` is where it leads, `problem` names what went wrong: see the template."""
    values: dict[str, object] = {"title": msgid("Log in"), "wanted": wanted, "problem": problem}
    return render("login.html", request, values, status)


async def _login(request: web.Request) -> web.Response:
    given = await form_of(request)
    name, password = str(given.get("name", "")), str(given.get("password", ""))
    wanted = own_path(str(given.get("next", "/")))
    user = await _judged(request, name, password)
    if user is None:
        return login_page(request, wanted, "wrong", 401)
    door = request.app[DOOR]
    earlier = door.visitor(request)
    if earlier is not None:
        door.sessions.end(earlier)
    # A new id: one that somebody planted before the login is worth nothing after it.
    answer = _see(wanted)
    set_cookie(door, answer, door.sessions.begin(user))
    await record(request, "login", user=user.name)
    return answer


async def _judged(request: web.Request, name: str, password: str) -> User | None:
    """The user, if the password is theirs; an unknown name takes as long and is told the same.

    Raises
    ------
    TooManyTries
        From that address, for that name, or of all together.
    """
    door, address = request.app[DOOR], address_of(request)
    user = door.users.all().get(name)
    told = user.name if user else ""  # what is no name of ours may be a password
    try:
        door.throttle.begin(address, name)
    except TooManyTries as error:
        if error.is_first:
            await record(request, "login refused: too many tries", user=told)
        raise
    if not await _is_password(request, user, password):
        await record(request, "login failed", user=told)
        logger.warning("a login from %s failed", address)
        return None
    door.throttle.succeeded(address, name)
    return user


async def _is_password(request: web.Request, user: User | None, password: str) -> bool:
    waiting, ticket = request.app[_WAITING], object()
    if len(waiting) >= _WAITING_MAX:
        raise TooManyTries(_BUSY_SECONDS)
    waiting.add(ticket)
    try:
        kept = None if user is None else user.password_hash
        return await asyncio.get_running_loop().run_in_executor(
            request.app[_HASHING], is_password, kept, password
        )
    finally:
        waiting.discard(ticket)


async def _logout(request: web.Request) -> web.Response:
    door, person = request.app[DOOR], person_of(request)
    visitor = door.visitor(request)
    if visitor is not None:
        door.sessions.end(visitor)
    if person is not None and person.name:
        await record(request, "logout")
    answer = _see("/login")
    answer.del_cookie(door.cookie, path="/", secure=door.is_secure, httponly=True, samesite="Lax")
    return answer


def _see(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})


def own_path(given: str) -> str:
    """`given`, if it leads to a page of ours, else the first page.

    >>> own_path("/series/7#jobs"), own_path("//evil.example"), own_path("https://evil.example")
    ('/series/7#jobs', '/', '/')
    """
    return given if len(given) <= 500 and _OWN_PATH.fullmatch(given) else "/"
