"""Settings of the other nodes that the page shows; `safelight.config` fills them."""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from web_status.settings import LOOPBACK_NAMES

HERE = "here"
"""What the node is called that serves the page."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")


@dataclass(frozen=True)
class NodeSettings:
    """One ``[[nodes]]`` table: another Safelight, asked by its page or read from its data folder.

    Attributes
    ----------
    name
        What people call it.
    url
        Where its page is; links lead there.
    token
        The token of a user of it, with which it is asked.
    authorities
        A PEM file; its certificate must be of one of these. Without, of one that the machine knows.
    data
        Its data folder on a disk of this machine: its ledger is read, and nothing asked.

    Raises
    ------
    ValueError
        The message begins with the key that is wrong.
    """

    name: str
    url: str = ""
    token: str = field(default="", repr=False)
    authorities: Path | None = None
    data: Path | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name == HERE:
            raise ValueError(
                f"name: expected 1 to 32 letters, digits, _ . or -, and not {HERE!r}, which is"
                f" this node; got {self.name!r}"
            )
        if self.url:
            _check_url(self.url)
        if not (self.token.isascii() and self.token.isprintable()):
            raise ValueError("token: expected what `safelight user token` printed, on one line")
        if self.data is None and not (self.url and self.token):
            missing = "token" if self.url else "url"
            raise ValueError(f"{missing}: missing; a node has url and token, or data")
        if self.data is not None and self.token:
            raise ValueError("token: a node with data is not asked; leave out one of both")


def _check_url(url: str) -> None:
    """Raise unless it is the root of a page, and a token is hidden on its way there."""
    parts = urlsplit(url)
    is_root = parts.hostname and not (parts.path or parts.query or parts.fragment)
    is_plain = is_root and "@" not in parts.netloc and _has_port_or_none(parts)
    if parts.scheme not in ("http", "https") or not is_plain:
        raise ValueError(f"url: expected a page such as https://node-b.example:8080, got {url!r}")
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        raise ValueError(
            f"url: expected https; a token and names of patients would be readable on the way to"
            f" {url}"
        )


def _has_port_or_none(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:  # it is no number, or too large
        return False


def _is_here(host: str) -> bool:
    """Whether a host is this machine, whatever its names resolve to.

    >>> _is_here("localhost"), _is_here("127.0.0.2"), _is_here("node-b.example")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK_NAMES
