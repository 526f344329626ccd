"""Settings of the SHOW step; `safelight.config` fills them."""

import ipaddress
from dataclasses import dataclass

from web_status.errors import BadListenAddress


@dataclass(frozen=True)
class WebSettings:
    """The ``[web]`` table.

    Attributes
    ----------
    listen
        ``host:port`` of the page. Only this machine itself may reach it: there are no logins.
        Port 0 lets the operating system choose.

    Raises
    ------
    BadListenAddress
        Not of that form, or not a loopback address.

    Examples
    --------
    >>> WebSettings("[::1]:8080").host
    '::1'
    """

    listen: str = "127.0.0.1:8080"

    def __post_init__(self) -> None:
        digits = self._port_text.isascii() and self._port_text.isdecimal()
        if not (self._is_loopback() and digits and self.port <= 65535):
            raise BadListenAddress(
                "listen: expected a loopback address and a port, such as 127.0.0.1:8080 or"
                f" [::1]:8080 (the page has no logins yet), got {self.listen!r}"
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
    def _port_text(self) -> str:
        return self.listen.rpartition(":")[2]

    def _is_loopback(self) -> bool:
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
