"""Asks another node by its interface for programs, and says why it gave no answer."""

import ssl
from collections.abc import Mapping
from functools import cached_property
from http import HTTPStatus
from types import MappingProxyType
from typing import TypeVar

import aiohttp
from pydantic import ValidationError

from ledger.rows import SeriesRow, StudyRow
from ledger.study_reader import StudyFilter, StudyPage
from web_status.api.models import Answer
from web_status.api.node import State
from web_status.api.operation import PREFIX
from web_status.api.studies import InstancesOfStudy, Study
from web_status.api.studies import StudyPage as AnsweredStudies
from web_status.errors import NodeUnheard
from web_status.languages import msgid
from web_status.node_settings import NodeSettings

_ANSWER_BYTES_MAX = 32 << 20
_Json = dict[str, object]
_Model = TypeVar("_Model", bound=Answer)
_OTHER_VERSION = (
    msgid("its answer is not what this version expects"),
    msgid("Bring both nodes to the same version of Safelight, and see that url is its page."),
)
_REFUSALS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: (
            msgid("it does not know the token"),
            msgid("Make one there with `safelight user token` and write it into [[nodes]]."),
        ),
        HTTPStatus.FORBIDDEN: (
            msgid("the token may not do that"),
            msgid("Looking for a patient needs a token of an operator; the rest, of a viewer."),
        ),
        HTTPStatus.MISDIRECTED_REQUEST: (
            msgid("its page is not reached by this name"),
            msgid("Add the name in url to [web] hosts there."),
        ),
        HTTPStatus.SERVICE_UNAVAILABLE: (
            msgid("it cannot read its ledger now"),
            msgid("Look at its log, and run `safelight doctor` there."),
        ),
        HTTPStatus.NOT_FOUND: _OTHER_VERSION,
        HTTPStatus.UNPROCESSABLE_ENTITY: _OTHER_VERSION,
    }
)
_NOT_REACHED = msgid(
    "See that its service runs (`systemctl status safelight`), and that this machine reaches its"
    " page. Senders go to the other nodes meanwhile; what it acknowledged is in its spool."
)


class RemoteNode:
    """A node that is asked over HTTP, with a token, as any program would ask."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self._settings.name

    @property
    def url(self) -> str:
        """Where its page is."""
        return self._settings.url

    async def state(self) -> State:
        """How it is.

        Raises
        ------
        NodeUnheard
            It did not say.
        """
        return await self._ask("GET", "/state", State)

    async def studies(self, wanted: StudyFilter, before: int | None, limit: int) -> StudyPage:
        """Studies that it has, the latest first.

        Raises
        ------
        NodeUnheard
            It did not say.
        """
        asked = {**_as_asked(wanted), "before": before, "size": limit}
        found = await self._ask("POST", "/studies/search", AnsweredStudies, asked)
        return StudyPage(tuple(map(_row, found.items)), found.has_newer, found.has_older)

    async def instances(self, study_id: int) -> Mapping[str, frozenset[str]]:
        """The SOP Instance UIDs of a study of its, by Series Instance UID.

        Raises
        ------
        NodeUnheard
            It did not say.
        """
        found = await self._ask("GET", f"/studies/{study_id}/instances", InstancesOfStudy)
        return {one.SeriesInstanceUID: frozenset(one.uids) for one in found.series}

    async def close(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self, method: str, path: str, model: type[_Model], asked: _Json | None = None
    ) -> _Model:
        try:
            body = await self._body(method, path, asked)
        except aiohttp.ClientConnectorCertificateError:
            raise NodeUnheard(
                msgid("its certificate is of no authority that is known here"),
                msgid("Name a PEM file with its authority in [[nodes]] authorities."),
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise NodeUnheard(_reason(error), _NOT_REACHED) from None
        try:
            return model.model_validate_json(body)
        except ValidationError:
            raise NodeUnheard(*_OTHER_VERSION) from None

    async def _body(self, method: str, path: str, asked: _Json | None) -> bytes:
        async with self._connected().request(
            method, f"{PREFIX}{path}", json=asked, allow_redirects=False, ssl=self._trust
        ) as answer:
            if answer.status != HTTPStatus.OK:
                raise NodeUnheard(*_REFUSALS.get(answer.status, _OTHER_VERSION))
            return await _bounded(answer.content)

    def _connected(self) -> aiohttp.ClientSession:
        """Connections, which belong to the event loop that asks first."""
        if self._session is None:
            headers = {"Authorization": f"Bearer {self._settings.token}"}
            self._session = aiohttp.ClientSession(
                self._settings.url,
                headers=headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                # One that is kept may have been closed by a restart there, of which a POST learns
                # when it is too late.
                connector=aiohttp.TCPConnector(force_close=True),
            )
        return self._session

    @cached_property
    def _trust(self) -> ssl.SSLContext | bool:
        """Whose certificates are believed; True for those of the authorities the machine knows."""
        if self._settings.authorities is None:
            return True
        try:
            return ssl.create_default_context(cafile=self._settings.authorities)
        except OSError:  # ssl.SSLError is one
            raise NodeUnheard(
                msgid("[[nodes]] authorities cannot be read here, or is not PEM"),
                msgid("Correct the path, or let the user of the service read the file."),
            ) from None


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _ANSWER_BYTES_MAX:
            raise NodeUnheard(*_OTHER_VERSION)
    return bytes(body)


def _reason(error: Exception) -> str:
    """Why there was no connection; messages of libraries may hold addresses, and are left out."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return msgid("its name cannot be resolved")
        case aiohttp.ClientConnectorSSLError():
            return msgid("it does not speak HTTPS as expected")
        case aiohttp.ClientConnectorError():
            return msgid("it cannot be reached")
    return msgid("the connection broke")


def _as_asked(wanted: StudyFilter) -> _Json:
    """What a ledger is asked for, as a program asks for it."""
    days = {"first_day": _day(wanted.first_day), "last_day": _day(wanted.last_day)}
    return {**vars(wanted), **days, "grade": wanted.grade or None}


def _day(day: str) -> str | None:
    """A day as it is asked for.

    >>> _day("20260131"), _day("")
    ('2026-01-31', None)
    """
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if day else None


def _row(study: Study) -> StudyRow:
    """A study of another node, as our own ledger would return it."""
    series = tuple(SeriesRow(**{**dict(one), "workbook": None}) for one in study.series)
    return StudyRow(**{**dict(study), "series": series})
