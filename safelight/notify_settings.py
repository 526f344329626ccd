"""The tables ``[[notify]]`` and ``[smtp]``; `safelight.config` fills them."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from annotated_types import Ge, Gt

from safelight.secret_values import is_elsewhere
from web_status.alarm_kinds import ALARM_KINDS

Security = Literal["starttls", "tls", "none"]
_PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}
_ALL = "all"
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True)
class NotifySettings:
    """One ``[[notify]]`` table: somebody who is told.

    Attributes
    ----------
    name
        What rules call it.
    url
        Where a webhook is; the whole of it is a secret, as it often holds a token.
    email
        The addresses that get an e-mail instead.
    secret
        Signs what a webhook gets; may be ``file:PATH`` or ``env:NAME``, as `url` may.
    authorities
        A PEM file: the server's certificate must be of one of these, not of the system's.
    alarms
        The kinds of alarms it is told, or ``all``.
    severity
        The least of an alarm that it is told.
    remind_hours
        After so long it is told again that an alarm lasts; 0 for never.
    per_hour
        No more than so many go out in an hour, of alarms and of rules each; the rest in one.
    tries, retry_seconds
        How often each is tried, and the wait before the second try.
    timeout_seconds
        How long one try may take.
    subject, text, body
        Templates in place of ours: a line, plain text, and the JSON that a webhook gets.

    Raises
    ------
    ValueError
        The message begins with the key that is wrong.
    """

    name: str
    url: str = field(default="", repr=False)
    email: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    authorities: Path | None = None
    alarms: tuple[str, ...] = ()
    severity: Literal["warn", "bad"] = "warn"
    remind_hours: Annotated[float, Ge(0)] = 24
    per_hour: Annotated[int, Ge(1)] = 20
    tries: Annotated[int, Ge(1)] = 20
    retry_seconds: Annotated[float, Gt(0)] = 60
    timeout_seconds: Annotated[float, Gt(0)] = 10
    subject: str = ""
    text: str = ""
    body: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name: expected what rules call it")
        if bool(self.url) == bool(self.email):
            raise ValueError("url: expected either url, for a webhook, or email")
        if self.url and not is_elsewhere(self.url):
            require_webhook(self.url)
        require_addresses("email", self.email)
        for kind in self.alarms:
            if kind not in (_ALL, *ALARM_KINDS):
                known = ", ".join((_ALL, *ALARM_KINDS))
                raise ValueError(f"alarms: expected some of {known}, got {kind!r}")
        self._require_templates()

    def _require_templates(self) -> None:
        if self.body and self.email:
            raise ValueError("body: an e-mail has none; write its text as text")
        if self.subject or self.text or self.body:
            # Imported here: Jinja takes longer than most commands that read a configuration.
            from safelight.message_templates import require_good  # noqa: PLC0415

            require_good(self.subject, self.text, self.body)

    def wants(self, kind: str, tone: str) -> bool:
        """Whether it is told an alarm of this kind and tone."""
        return not {_ALL, kind}.isdisjoint(self.alarms) and self.severity in ("warn", tone)


@dataclass(frozen=True)
class SmtpSettings:
    """The ``[smtp]`` table: the mail server that takes our e-mails.

    Attributes
    ----------
    host, port
        Where it is; without a port the usual one of `security`.
    security
        ``starttls`` turns TLS on after the greeting, ``tls`` begins with it; ``none`` sends
        everything as it can be read.
    username, password
        To log in; the password may be ``file:PATH`` or ``env:NAME``.
    sender
        The address that our e-mails come from.
    authorities
        A PEM file: the server's certificate must be of one of these, not of the system's.

    Raises
    ------
    ValueError
        The message begins with the key that is wrong.
    """

    host: str = ""
    port: Annotated[int, Ge(1)] | None = None
    security: Security = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""
    authorities: Path | None = None

    def __post_init__(self) -> None:
        if self.host:
            require_addresses("sender", (self.sender,))
        if bool(self.username) != bool(self.password):
            raise ValueError("username: expected both username and password, or neither")
        if self.password and self.security == "none" and not _is_here(self.host):
            raise ValueError(f"security: a password goes over TLS only; expected {_over_tls()}")

    @property
    def its_port(self) -> int:
        """The port, or the usual one."""
        return self.port or _PORTS[self.security]


def _over_tls() -> str:
    return " or ".join(one for one in get_args(Security) if one != "none")


def require_webhook(url: str) -> None:
    """Check the address of a webhook.

    It is the site's own word where we connect to: nothing that was received makes any part of it.

    Raises
    ------
    ValueError
        It is none, or what goes there could be read on the way. The address is not told.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError("url: expected https://host/path") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("url: expected https://host/path")
    if "@" in parts.netloc or not url.isprintable() or " " in url:
        raise ValueError("url: expected neither a user and password nor spaces in it")
    if parts.scheme == "http" and not _is_here(parts.hostname):
        raise ValueError("url: expected https://; http:// only to this machine itself")


def require_addresses(key: str, addresses: Sequence[str]) -> None:
    """Check addresses of e-mail; raises ValueError for one that is none."""
    for address in addresses:
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"{key}: expected an address such as oncall@hospital.example")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_deliverable(notify: Sequence[NotifySettings], smtp: SmtpSettings) -> None:
    """Check what one table alone does not show.

    Raises
    ------
    ValueError
        The message begins with table and key.
    """
    if any(one.email for one in notify) and not smtp.host:
        raise ValueError("[smtp] host: missing; a [[notify]] with email needs a mail server")
