"""Delivers one message, to a webhook or by e-mail, and says what happened.

Where it goes is what the configuration says, and no answer leads anywhere else: redirects are
not followed.
"""

import asyncio
import errno
import hashlib
import hmac
import os
import smtplib
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from safelight.errors import ConfigError, SafelightError
from safelight.messages import Message
from safelight.notify_settings import NotifySettings, SmtpSettings, require_webhook
from safelight.secret_values import secret_of
from safelight.version import __version__

# Of RFC 9110 and RFC 6585: the server asks for another try. Every other 4xx stays as it is.
_AGAIN_STATUSES = (408, 425, 429)
_ANSWER_BYTES = 65536
_LATE = "{} did not answer in time; is it well, and this way open?"


class NotDelivered(SafelightError):
    """A message was not taken; the text says by whom, why, and what to do about it.

    Parameters
    ----------
    told
        What a person is told.
    is_final
        Whether another try would end the same.
    """

    def __init__(self, told: str, *, is_final: bool = False) -> None:
        super().__init__(told)
        self.is_final = is_final


def deliver(message: Message, target: NotifySettings, smtp: SmtpSettings) -> str:
    """Deliver a message; return how it was taken.

    Raises
    ------
    NotDelivered
        It was not.
    """
    try:
        if target.email:
            return _mail(message, target, smtp)
        return asyncio.run(_post(message, target))
    except ConfigError as error:
        raise NotDelivered(str(error)) from error


def reach(target: NotifySettings, smtp: SmtpSettings) -> str:
    """Whether a target can be reached, without telling it anything; raises as `deliver`.

    Of a mail server that is also whether it lets us log in; of a webhook that its certificate is
    good.
    """
    try:
        if target.email:
            with _reaching(_server_of(smtp)), _connected(smtp, target.timeout_seconds):
                return f"{_server_of(smtp)} answers{' and lets us log in' * bool(smtp.username)}"
        return asyncio.run(_open(target))
    except ConfigError as error:
        raise NotDelivered(str(error)) from error


def require_usable(notify: Sequence[NotifySettings], smtp: SmtpSettings) -> None:
    """Check that the secrets and authorities of all targets can be read, by this user.

    Raises
    ------
    ConfigError
        One cannot; its table is named.
    """
    for target in notify:
        try:
            _ = secret_of(target.secret), _context(target.authorities)
            if target.url:
                _address(target)
        except ConfigError as error:
            raise ConfigError(f'configuration: [notify] "{target.name}": {error}') from error
    try:
        _ = secret_of(smtp.password), _context(smtp.authorities)
    except ConfigError as error:
        raise ConfigError(f"configuration: [smtp] {error}") from error


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What proves that we sent a body then: HMAC-SHA256 over time, a full stop, and the body.

    Examples
    --------
    >>> signature("key", "1700000000", b"{}")[:19]
    'sha256=9d713ed406bb'
    """
    signed = f"{timestamp}.".encode() + body
    return f"sha256={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


async def _post(message: Message, target: NotifySettings) -> str:
    url, host = _address(target)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Safelight/{__version__}",
        "X-Safelight-Notification": message.id,
    }
    if target.secret:
        at = str(int(time.time()))
        headers["X-Safelight-Timestamp"] = at
        headers["X-Safelight-Signature"] = signature(secret_of(target.secret), at, message.body)
    with _reaching(host):
        async with (
            _session(target) as session,
            session.post(url, data=message.body, headers=headers, allow_redirects=False) as answer,
        ):
            await answer.content.read(_ANSWER_BYTES)
            _require_taken(answer, host)
            return f"{host} answered {answer.status}"


async def _open(target: NotifySettings) -> str:
    url, host = _address(target)
    with _reaching(host):
        async with (
            _session(target) as session,
            session.head(url, allow_redirects=False) as answer,
        ):
            return f"{host} is there (HEAD is answered {answer.status})"


def _address(target: NotifySettings) -> tuple[str, str]:
    """The address, and as much of it as may be told."""
    url = secret_of(target.url)
    try:
        require_webhook(url)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return url, urlsplit(url).netloc


def _session(target: NotifySettings) -> aiohttp.ClientSession:
    """One connection, by the proxy that the environment names, if it names one."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=_context(target.authorities)),
        timeout=aiohttp.ClientTimeout(total=target.timeout_seconds),
        trust_env=True,
    )


def _require_taken(answer: aiohttp.ClientResponse, host: str) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    told = f"{host} answered {status} {answer.reason or ''}".rstrip()
    if 300 <= status < 400:
        raise NotDelivered(
            f"{told}, which leads elsewhere; write the address that it leads to as url",
            is_final=True,
        )
    raise NotDelivered(
        f"{told}; its log says why",
        is_final=400 <= status < 500 and status not in _AGAIN_STATUSES,
    )


def _mail(message: Message, target: NotifySettings, smtp: SmtpSettings) -> str:
    server = _server_of(smtp)
    with _reaching(server), _connected(smtp, target.timeout_seconds) as connection:
        refused = connection.send_message(_letter(message, target, smtp))
    if refused:
        raise NotDelivered(
            f"{server} took it, but not for {', '.join(refused)}; correct [notify] email",
            is_final=True,
        )
    return f"{server} took it for {', '.join(target.email)}"


def _letter(message: Message, target: NotifySettings, smtp: SmtpSettings) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"] = smtp.sender, ", ".join(target.email)
    letter["Subject"] = message.subject
    letter["Date"] = format_datetime(localtime())
    letter["Message-ID"] = f"<{message.id}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from holiday replies
    letter.set_content(message.text)
    return letter


@contextmanager
def _connected(smtp: SmtpSettings, seconds: float) -> Iterator[smtplib.SMTP]:
    """A connection to the mail server, over TLS and logged in as configured."""
    context = _context(smtp.authorities)
    connection = (
        smtplib.SMTP_SSL(smtp.host, smtp.its_port, timeout=seconds, context=context)
        if smtp.security == "tls"
        else smtplib.SMTP(smtp.host, smtp.its_port, timeout=seconds)
    )
    with connection:
        if smtp.security == "starttls":
            connection.starttls(context=context)
        if smtp.username:
            connection.login(smtp.username, secret_of(smtp.password))
        yield connection


def _server_of(smtp: SmtpSettings) -> str:
    return f"{smtp.host}:{smtp.its_port}"


def _context(authorities: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"authorities: {authorities} cannot be read as certificates") from error


@contextmanager
def _reaching(server: str) -> Iterator[None]:
    """Turn what goes wrong on the way into words; a server's own words may hold anything."""
    try:
        yield
    except smtplib.SMTPException as error:
        raise _refused(server, error) from error
    except (ssl.SSLCertVerificationError, aiohttp.ClientConnectorCertificateError) as error:
        raise NotDelivered(
            f"{server}: its certificate is not good ({_why_not(error)}); renew it, or name its"
            " authority as authorities"
        ) from error
    except TimeoutError as error:
        raise NotDelivered(_LATE.format(server)) from error
    except (OSError, aiohttp.ClientError) as error:
        raise NotDelivered(
            f"{server} cannot be reached ({_cause(error)}); is it there, and the firewall open?"
        ) from error


def _refused(server: str, error: smtplib.SMTPException) -> NotDelivered:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        told = "does not let us log in; correct [smtp] username and password"
        return NotDelivered(f"{server} {told} ({error.smtp_code})", is_final=True)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        told = f"takes it for none of {', '.join(error.recipients)} ({codes[0]})"
        final = all(code >= 500 for code in codes)
        return NotDelivered(f"{server} {told}; correct [notify] email", is_final=final)
    if isinstance(error, smtplib.SMTPResponseException):
        told = f"{server} refused it ({error.smtp_code}); its log says why"
        return NotDelivered(told, is_final=error.smtp_code >= 500)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        told = "does not offer what [smtp] security or username asks for"
        return NotDelivered(f"{server} {told}; correct them", is_final=True)
    if isinstance(error.__context__, TimeoutError):  # smtplib calls it a disconnection
        return NotDelivered(_LATE.format(server))
    return NotDelivered(f"{server} ended the conversation ({type(error).__name__})")


def _why_not(error: Exception) -> str:
    cause = getattr(error, "certificate_error", error)
    return str(getattr(cause, "verify_message", type(cause).__name__))


def _cause(error: Exception) -> str:
    """Why a connection failed, in the words of the system."""
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    if isinstance(number, int) and number in errno.errorcode:  # others are of the name service
        return os.strerror(number)
    return getattr(cause, "strerror", None) or type(cause).__name__
