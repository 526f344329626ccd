"""Who is asking, and whether they may: sessions, roles and tokens, for every request.

Where the page is for this machine alone and has no users, everybody is an administrator.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.typedefs import Handler
from markupsafe import Markup

from web_status.audit import AuditTrail
from web_status.audit_events import Deed
from web_status.context import WebContext
from web_status.errors import BadToken, NamesHidden, NotAllowed, NotLoggedIn, UsersUnreadable
from web_status.languages import language_of
from web_status.rendering import page_of
from web_status.roles import Role, can_be_read, needs_of
from web_status.sessions import Sessions, is_id, new_id
from web_status.throttle import Throttle
from web_status.tokens import Token, is_secret
from web_status.users import UsersFile

logger = logging.getLogger(__name__)

TOKEN_FIELD = "csrf"  # noqa: S105 - the name of a field
TOKEN_HEADER = "X-CSRF-Token"  # noqa: S105 - the name of a header
_FORM = "application/x-www-form-urlencoded"
_FILES = "multipart/form-data"
_TOKEN_BYTES = 256
_FORM_SECONDS = 20.0
_REFUSED_SECONDS = 60.0
_REFUSED_MAX = 1000
_FIELD = Markup('<input type="hidden" name="{}" value="{}">')
_READING = ("GET", "HEAD")
_API = "/api/"
METRICS = "/metrics"
_BEARER = "bearer "


@dataclass(frozen=True)
class Person:
    """Who is asking; the name is empty where nobody needs to log in.

    Attributes
    ----------
    token
        The name of the token with which a program asks for them; empty for a browser.
    """

    name: str
    role: Role
    sees_names: bool
    token: str = ""


EVERYBODY = Person("", Role.ADMIN, sees_names=True)


class Door:
    """What is known of those who come.

    Attributes
    ----------
    users, sessions, throttle, audit
        Who may log in, who has, who fails to, and where it is written down.
    """

    def __init__(self, context: WebContext) -> None:
        settings = context.settings
        self.users = UsersFile(context.data)
        self.sessions = Sessions(settings.idle_minutes * 60, settings.session_hours * 3600)
        self.throttle = Throttle()
        self.audit = AuditTrail(context.data, context.audit, context.ae_title)
        self.cookie = "__Host-safelight" if settings.is_secure else "safelight"
        self.is_secure = settings.is_secure
        self._is_public = settings.is_public
        self._viewers_see_names = settings.viewers_see_names
        self._secret = secrets.token_bytes(32)
        self._noted: dict[str, str] = {}
        self._refused: dict[str, float] = {}

    def visitor(self, request: web.Request) -> str | None:
        """What the cookie of a request says; None without a proper one."""
        given = request.cookies.get(self.cookie, "")
        return given if is_id(given) else None

    def person(self, request: web.Request, *, is_use: bool) -> Person | None:
        """Who sent a request; None for nobody we know.

        Raises
        ------
        UsersUnreadable
            It cannot be told who may log in.
        """
        users = self.users.all()
        if not users and not self._is_public:
            return EVERYBODY
        secret = _secret_of(request)
        if secret is not None:
            return self._with_token(secret)
        visitor = self.visitor(request)
        known = visitor and self.sessions.find(visitor, is_use=is_use)
        if not (visitor and known):
            return None
        user = users.get(known.name)
        if user is None or user.password_hash != known.password_hash:
            self.sessions.end(visitor)
            return None
        return self._person(user.name, user.role)

    def _with_token(self, secret: str) -> Person | None:
        """For whom a program asks; a token may never do more than its user may now."""
        found = self.users.by_secret(secret) if is_secret(secret) else None
        if found is None:
            return None
        user, token = found
        self._note_use(token)
        return self._person(user.name, min(user.role, token.role), token.name)

    def _person(self, name: str, role: Role, token: str = "") -> Person:
        return Person(name, role, role > Role.VIEWER or self._viewers_see_names, token)

    def _note_use(self, token: Token) -> None:
        """Have the day of its last use in the file: one write a day, or one try at it."""
        today = datetime.now(UTC).date().isoformat()
        if today in (token.used, self._noted.get(token.digest)):
            return
        self._noted[token.digest] = today
        try:
            self.users.note_use(token.digest, today)
        except UsersUnreadable as error:
            logger.warning("%s", error)  # it names a file of ours, and no patient

    def is_news(self, address: str) -> bool:
        """Whether an address shows a token that is none for the first time in a while."""
        now = time.monotonic()
        if now < self._refused.get(address, now):
            return False
        if len(self._refused) >= _REFUSED_MAX:
            self._refused.clear()
        self._refused[address] = now + _REFUSED_SECONDS
        return True

    def token(self, visitor: str) -> str:
        """The token that shows that a request to change something comes from a page of ours."""
        return hmac.new(self._secret, visitor.encode(), hashlib.sha256).hexdigest()


DOOR = web.AppKey("door", Door)
PERSON = web.RequestKey("person", Person)
MULTIPART = web.RequestKey("multipart", MultipartReader)
"""The rest of a form with files, whose first field was read for the token."""
_NEW_VISITOR = web.RequestKey("new visitor", str)


def person_of(request: web.Request) -> Person | None:
    """Who sent the request; None for who is not logged in."""
    return request.get(PERSON)


def _secret_of(request: web.Request) -> str | None:
    """The secret of the token that a program sends; None without one, and on pages."""
    given = request.headers.get(hdrs.AUTHORIZATION, "")
    is_token = given[: len(_BEARER)].lower() == _BEARER and is_of_programs(request)
    return given[len(_BEARER) :].strip() if is_token else None


def is_of_programs(request: web.Request) -> bool:
    """Whether a request is one of a program: to the interface for them, or for the metrics.

    Where it fails, the answer is JSON.
    """
    return request.path.startswith(_API) or request.path == METRICS


def is_veiled(request: web.Request) -> bool:
    """Whether names of patients are hidden from who sent the request."""
    person = person_of(request)
    return person is None or not person.sees_names


@web.middleware
async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request pass to a route that who sent it may use.

    Raises
    ------
    NotLoggedIn
        It needs a login; that goes for addresses that do not exist, too.
    NotAllowed
        The role is too low, or the route is not in the table.
    BadToken
        It would change something, and does not carry the token of its page. A program that has a
        token of its own needs none: no browser sends that by itself.
    """
    needs = needs_of(request)
    door = request.app[DOOR]
    person = door.person(request, is_use=needs is not None and needs.is_use)
    if person is not None:
        request[PERSON] = person
    if needs is None or needs.role > Role.ANYONE:
        if person is None:
            await _tell_refused_token(request)
            raise NotLoggedIn
        if request.match_info.http_exception is not None:
            return await handler(request)  # says that there is no such page or method
        if needs is None:
            logger.error("a route is not in the table of roles, and refused to everybody")
            raise NotAllowed
        if person.role < needs.role:
            raise NotAllowed
        if needs.names and not person.sees_names:
            raise NamesHidden
    if request.method not in _READING and not (person and person.token):
        await _require_token(request, is_upload=needs is not None and needs.is_upload)
    return await handler(request)


def still_admitted(request: web.Request) -> bool:
    """Whether who opened a stream is still let in, and sees as much as then."""
    try:
        person = request.app[DOOR].person(request, is_use=False)
    except UsersUnreadable:
        return False  # the page that is loaded instead says why
    return person is not None and person == person_of(request)


def address_of(request: web.Request) -> str:
    """Who is at the other end of the connection; what headers say of others is not believed."""
    return request.remote or ""


async def record(
    request: web.Request,
    action: str,
    target: str = "",
    *,
    user: str | None = None,
    peer: str = "",
    study: str = "",
    patient: str = "",
) -> None:
    """Write into the audit trail what a request did; every route that changes something does.

    Parameters
    ----------
    request
        Who sent it did it, unless `user` names somebody else.
    action
        Such as ``job sent again``.
    target
        The UID or number of what it was done to; never anything about a patient.
    peer, study, patient
        As of a `Deed`.
    """
    person = person_of(request)
    name = user if user is not None else person.name if person is not None else ""
    token = person.token if person is not None else ""
    deed = Deed(
        *(action, name, target, address_of(request), token),
        peer=peer,
        study=study,
        patient=patient,
    )
    await asyncio.to_thread(request.app[DOOR].audit.record, deed)


async def _tell_refused_token(request: web.Request) -> None:
    """Have the audit trail say that a token was none; of an address, once in a while."""
    address = address_of(request)
    if _secret_of(request) is not None and request.app[DOOR].is_news(address):
        await record(request, "token refused")


async def _require_token(request: web.Request, *, is_upload: bool) -> None:
    """Raise `BadToken` unless the request carries the token, in a header or in its form.

    Of the body of an upload only the first field is read, and nothing of any other body that is
    no plain form: it may be large.
    """
    given = request.headers.get(TOKEN_HEADER)
    if given is None and request.content_type == _FORM:
        given = str((await form_of(request)).get(TOKEN_FIELD, ""))
    elif given is None and is_upload and request.content_type == _FILES:
        given = await _first_field(request)
    door = request.app[DOOR]
    visitor = door.visitor(request)
    if not (given and visitor):
        raise BadToken
    if not hmac.compare_digest(given.encode(), door.token(visitor).encode()):
        raise BadToken


async def _first_field(request: web.Request) -> str:
    """What the first field of a form with files holds, if it is the token; the rest waits."""
    async with in_time(_FORM_SECONDS):
        reader = request[MULTIPART] = await request.multipart()
        part = await reader.next()
        if not isinstance(part, BodyPartReader) or part.name != TOKEN_FIELD:
            return ""
        return (await part.read_chunk(_TOKEN_BYTES)).decode("ascii", "replace")


async def form_of(request: web.Request) -> Mapping[str, object]:
    """The fields of a form that was sent.

    Raises
    ------
    HTTPRequestTimeout, HTTPBadRequest
        As `in_time` says.
    """
    async with in_time(_FORM_SECONDS):
        return await request.post()


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """Read what a client sends, for so long at most.

    Raises
    ------
    HTTPRequestTimeout
        It does not come.
    HTTPBadRequest
        It is not what its headers say.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (ValueError, LookupError, BadHttpMessage, web.RequestPayloadError):
        raise web.HTTPBadRequest from None


def token_of(request: web.Request) -> str:
    """The token for requests from the page that is being made; its browser gets a cookie."""
    door = request.app[DOOR]
    visitor = door.visitor(request) or request.get(_NEW_VISITOR)
    if visitor is None:
        visitor = request[_NEW_VISITOR] = new_id()
    return door.token(visitor)


@web.middleware
async def keep_visitor(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give a browser its cookie, where a page was made with a token and it has none yet."""
    response = await handler(request)
    visitor = request.get(_NEW_VISITOR)
    if visitor is not None and not response.prepared:
        set_cookie(request.app[DOOR], response, visitor)
    return response


def set_cookie(door: Door, response: web.StreamResponse, visitor: str) -> None:
    """Have the browser keep an id until it is closed; no script sees it, no other site sends it."""
    response.set_cookie(
        door.cookie, visitor, path="/", httponly=True, secure=door.is_secure, samesite="Lax"
    )


def render(
    template: str, request: web.Request, values: Mapping[str, object], status: int = 200
) -> web.Response:
    """A page for who asks, in their language.

    Beside `values` its template may use `person`, who that is; ``{{ csrf() }}``, which writes the
    token into a form; `csrf_token()`, the token itself, for the header X-CSRF-Token; and `here`,
    where the page can be read again.
    """
    shown = {
        "person": person_of(request),
        "csrf": lambda: _FIELD.format(TOKEN_FIELD, token_of(request)),
        "csrf_token": lambda: token_of(request),
        "number": "",
        "here": request.path_qs if can_be_read(request) else "/",
        **values,
    }
    text = page_of(request.app, language_of(request), template, shown)
    return web.Response(text=text, content_type="text/html", status=status)
