"""What a server is trusted by, and what goes wrong on the way to it, in words."""

import errno
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from safelight.errors import ConfigError, NotDelivered


def tls_context(authorities: Path | None) -> ssl.SSLContext:
    """Trusts what one of `authorities` has signed, or where there are none those of the system.

    TLS 1.2 or later with the suites of the system, and not `listener.tls.client_context`: alarms
    must get through to an older mail server, too.

    Raises
    ------
    ConfigError
        The file cannot be read as certificates.
    """
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"authorities: {authorities} cannot be read as certificates") from error


@contextmanager
def reaching(server: str) -> Iterator[None]:
    """Turn what goes wrong on the way into words; a server's own words may hold anything.

    Raises
    ------
    NotDelivered
        Something did; another try may help.
    """
    try:
        yield
    except (ssl.SSLCertVerificationError, aiohttp.ClientConnectorCertificateError) as error:
        raise NotDelivered(
            f"{server}: its certificate is not good ({_why_not(error)}); renew it, or name its"
            " authority as authorities"
        ) from error
    except TimeoutError as error:
        raise late(server) from error
    except (OSError, aiohttp.ClientError) as error:
        raise NotDelivered(
            f"{server} cannot be reached ({_cause(error)}); is it there, and the firewall open?"
        ) from error


def late(server: str) -> NotDelivered:
    """It did not answer in time."""
    return NotDelivered(f"{server} did not answer in time; is it well, and this way open?")


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
