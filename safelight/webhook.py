"""Posts a message to a webhook, signed.

Where it goes is what the configuration says, and no answer leads anywhere else: redirects are
not followed.
"""

import hashlib
import hmac
import time
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from safelight.errors import ConfigError, NotDelivered
from safelight.messages import Message
from safelight.notify_settings import NotifySettings, require_webhook
from safelight.reaching import reaching, tls_context
from safelight.secret_values import secret_of
from safelight.version import __version__

# Of RFC 9110 and RFC 6585: the server asks for another try. Every other 4xx stays as it is.
_AGAIN_STATUSES = (408, 425, 429)
_ANSWER_BYTES = 65536


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What proves that we sent a body then: HMAC-SHA256 over time, a full stop, and the body.

    Examples
    --------
    >>> signature("key", "1700000000", b"{}")[:19]
    'sha256=9d713ed406bb'
    """
    signed = f"{timestamp}.".encode() + body
    return f"sha256={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


async def post(message: Message, target: NotifySettings) -> str:
    """Post a message; return how it was answered.

    Raises
    ------
    NotDelivered, ConfigError
        It was not taken; a secret cannot be read.
    """
    url, host = address_of(target)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Safelight/{__version__}",
        "X-Safelight-Notification": message.id,
    }
    if target.secret:
        at = str(int(time.time()))
        headers["X-Safelight-Timestamp"] = at
        headers["X-Safelight-Signature"] = signature(secret_of(target.secret), at, message.body)
    with reaching(host):
        async with (
            _session(target) as session,
            session.post(url, data=message.body, headers=headers, allow_redirects=False) as answer,
        ):
            await answer.content.read(_ANSWER_BYTES)
            _require_taken(answer, host)
            return f"{host} answered {answer.status}"


async def look(target: NotifySettings) -> str:
    """Whether it answers, with a good certificate; nothing is posted. Raises as `post`."""
    url, host = address_of(target)
    with reaching(host):
        async with (
            _session(target) as session,
            session.head(url, allow_redirects=False) as answer,
        ):
            return f"{host} is there (HEAD is answered {answer.status})"


def address_of(target: NotifySettings) -> tuple[str, str]:
    """The address, and as much of it as may be told.

    Raises
    ------
    ConfigError
        It cannot be read, or is none.
    """
    url = secret_of(target.url)
    try:
        require_webhook(url)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return url, urlsplit(url).netloc


def _session(target: NotifySettings) -> aiohttp.ClientSession:
    """One connection, by the proxy that the environment names, if it names one."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls_context(target.authorities)),
        timeout=aiohttp.ClientTimeout(total=target.timeout_seconds),
        trust_env=True,
    )


def _require_taken(answer: aiohttp.ClientResponse, host: str) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    told = f"{host} answered {status}{_words_of(status)}"
    if 300 <= status < 400:
        raise NotDelivered(
            f"{told}, which leads elsewhere; write the address that it leads to as url",
            is_final=True,
        )
    raise NotDelivered(
        f"{told}; its log says why",
        is_final=400 <= status < 500 and status not in _AGAIN_STATUSES,
    )


def _words_of(status: int) -> str:
    """What a status means (RFC 9110), and not what the server calls it."""
    return f" {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else ""
