"""TLS of the DICOM port: the BCP 195 profile (PS3.15 B.12), and nothing older."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from listener.errors import TlsUnusable
from listener.settings import TlsSettings

# RFC 9325 4.2, the suites of TLS 1.2 it recommends; those of TLS 1.3 are all in order.
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    ":ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
)


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """What a TLS handshake is made with.

    Raises
    ------
    TlsUnusable
        A file cannot be read, or holds something else; the message begins with its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    with _naming("certificate", settings.certificate):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(settings.certificate)
    with _naming("private_key", settings.private_key):
        # An empty password: a key that needs one is refused, not asked for on the terminal.
        context.load_cert_chain(settings.certificate, settings.private_key, password="")
    if settings.authorities is not None:
        with _naming("authorities", settings.authorities):
            context.load_verify_locations(settings.authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def _naming(key: str, path: Path) -> Iterator[None]:
    """Say of which key and file an error is."""
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise TlsUnusable(f"{key}: {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM, or it needs a password").lower().replace("_", " ")
    return (error.strerror or type(error).__name__).lower()
