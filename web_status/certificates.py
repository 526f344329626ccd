"""How long the certificate of the page is still good, so that its end is said ahead."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from listener.settings import TlsSettings
from listener.tls import server_context
from web_status.context import CONTEXT
from web_status.settings import WebSettings

logger = logging.getLogger(__name__)

WARNED_DAYS = 30
_DAY_SECONDS = 86_400.0
_FLIGHTS_MAX = 10  # a handshake of TLS 1.3 takes three
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def certificate_warning(settings: WebSettings) -> str | None:
    """What a person must know of the certificate's end; None while all is well, or without one.

    Raises
    ------
    TlsUnusable
        Certificate or private key cannot be used.
    """
    return _warning(_end_of_page(settings))


def _warning(end: datetime | None) -> str | None:
    if end is None:
        return None
    remedy = "put a new one in its place and restart the service"
    days = (end - datetime.now(UTC)).total_seconds() / _DAY_SECONDS
    if days <= 0:
        return f"the page's certificate has ended, so browsers refuse it: {remedy}"
    if days <= WARNED_DAYS:
        return f"the page's certificate ends on {end:%Y-%m-%d}, in {days:.0f} days: {remedy}"
    return None


def _end_of_page(settings: WebSettings) -> datetime | None:
    if settings.certificate is None or settings.private_key is None:
        return None
    return end_of_certificate(settings.certificate, settings.private_key)


def end_of_certificate(certificate: Path, private_key: Path) -> datetime | None:
    """When it ends; of one that has, some time that is past. None where it cannot be told.

    The standard library shows the dates of a certificate only to who verified it in a handshake:
    so here are both ends of one, in memory, and the certificate is its own authority.

    Raises
    ------
    TlsUnusable
        Certificate or private key cannot be used.
    """
    server = server_context(TlsSettings(certificate, private_key))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    try:
        found = _shaken_hands(client, server)
    except ssl.SSLCertVerificationError as error:
        return datetime.fromtimestamp(0, UTC) if error.verify_code == _EXPIRED else None
    except ssl.SSLError:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)


def _shaken_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> Any:
    """What the client sees of the server's certificate after a handshake."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there)
    answering = server.wrap_bio(there, back, server_side=True)
    for _ in range(_FLIGHTS_MAX):
        with suppress(ssl.SSLWantReadError):
            asking.do_handshake()
            return asking.getpeercert()
        with suppress(ssl.SSLWantReadError):
            answering.do_handshake()
    raise ssl.SSLError("the handshake does not end")


async def certificate_watched(app: web.Application) -> AsyncIterator[None]:
    """Say once a day that the certificate ends soon, as long as the application runs."""
    task = asyncio.create_task(_watch(app[CONTEXT].settings), name="certificate")
    yield
    task.cancel()
    await asyncio.wait([task])


async def _watch(settings: WebSettings) -> None:
    end = _end_of_page(settings)  # of the one that is served: a new file needs a restart
    while end is not None:
        warning = _warning(end)
        if warning is not None:
            logger.warning(warning)
        await asyncio.sleep(_DAY_SECONDS)
