"""Settings of the SHOW step; `safelight.config` fills them."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Gt

from listener.settings import Port
from web_status.errors import BadListenAddress

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_NAME = re.compile(r"(?!-)[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True)
class WebSettings:
    """The ``[web]`` table.

    Attributes
    ----------
    listen
        ``host:port`` of the page. Port 0 lets the operating system choose.
    hosts
        The names and addresses the page is reached by, without port, beside those of this
        machine alone.
    certificate, private_key
        PEM files; with them the page speaks HTTPS, and nothing else.
    idle_minutes
        A login that nobody used for this long has ended.
    session_hours
        So has one that began this long ago.
    viewers_see_names
        Whether names of patients are shown to the role viewer.
    upload_bytes_max
        The largest upload.
    download_bytes_max
        What the files of a study may have together to be sent as one ZIP.

    Raises
    ------
    BadListenAddress
        The message begins with the key that is wrong.

    Examples
    --------
    >>> WebSettings("[::1]:8080").host, WebSettings("[::1]:8080").url
    ('::1', 'http://[::1]:8080')
    """

    listen: str = "127.0.0.1:8080"
    hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    private_key: Path | None = None
    idle_minutes: Annotated[float, Gt(0)] = 30
    session_hours: Annotated[float, Gt(0)] = 12
    viewers_see_names: bool = False
    upload_bytes_max: Annotated[int, Gt(0)] = 16 << 30
    download_bytes_max: Annotated[int, Gt(0)] = 8 << 30

    def __post_init__(self) -> None:
        self._check_listen()
        for name in self.hosts:
            if not (_NAME.fullmatch(name) or _address(name)):
                raise BadListenAddress(
                    f"hosts: expected names without port, such as safelight.example, got {name!r}"
                )
        if self._is_everywhere() and not self.hosts:
            raise BadListenAddress(
                "hosts: missing; a page that listens on all addresses answers to these names only,"
                ' such as hosts = ["safelight.hospital.example"]'
            )
        if (self.certificate is None) != (self.private_key is None):
            missing = "private_key" if self.private_key is None else "certificate"
            raise BadListenAddress(f"{missing}: missing; HTTPS needs certificate and private_key")

    def _check_listen(self) -> None:
        digits = self._port_text.isascii() and self._port_text.isdecimal()
        is_address = self.host == "localhost" or _address(self.host)
        if not (is_address and digits and self.port <= 65535):
            raise BadListenAddress(
                "listen: expected an address and a port, such as 127.0.0.1:8080 or"
                f" [::1]:8080, got {self.listen!r}"
            )

    @property
    def host(self) -> str:
        """The address without brackets."""
        return self.listen.rpartition(":")[0].removeprefix("[").removesuffix("]")

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self._port_text)

    @property
    def is_secure(self) -> bool:
        """Whether the page speaks HTTPS."""
        return self.certificate is not None

    @property
    def is_public(self) -> bool:
        """Whether others than this machine reach the page, itself or through a proxy."""
        found = _address(self.host)
        return bool(self.hosts) or not (found is None or found.is_loopback)

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """What a Host header may name, in lower case."""
        own = frozenset() if self._is_everywhere() else frozenset({self.host.lower()})
        return LOOPBACK_NAMES | own | {name.lower() for name in self.hosts}

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        host = self.hosts[0] if self._is_everywhere() else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.is_secure else 'http'}://{shown}:{self.port}"

    @property
    def _port_text(self) -> str:
        return self.listen.rpartition(":")[2]

    def _is_everywhere(self) -> bool:
        found = _address(self.host)
        return found is not None and found.is_unspecified


@dataclass(frozen=True)
class SyslogSettings:
    """The ``[audit.syslog]`` table: where the audit trail is sent, over TLS (RFC 5425).

    Attributes
    ----------
    host, port
        The syslog server. Its certificate must be for this name or address.
    authorities
        Who may have issued that certificate, a PEM file; without it, whom this system trusts.
    certificate, private_key
        Ours, for a server that asks for one; PEM files.
    late_minutes
        A person is told when the server has taken nothing for so long.

    Raises
    ------
    ValueError
        The message begins with the key that is wrong.
    """

    host: str
    port: Port = 6514
    authorities: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    late_minutes: Annotated[float, Gt(0)] = 15

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.private_key is None):
            missing = "private_key" if self.private_key is None else "certificate"
            raise ValueError(f"{missing}: missing; a certificate of ours needs both")


@dataclass(frozen=True)
class AuditSettings:
    """The ``[audit]`` table: what the audit trail says (PS3.15 A.5).

    Attributes
    ----------
    patient
        Whether Patient IDs are in it, beside the Study Instance UIDs. Names never are.
    source, site
        What it calls this node, AuditSourceID and AuditEnterpriseSiteID; the AE title and
        nothing where they are empty.
    syslog
        Where it is sent; None for nowhere.
    """

    patient: bool = False
    source: str = ""
    site: str = ""
    syslog: SyslogSettings | None = None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
