"""TLS by the BCP 195 profile (PS3.15 B.12), and nothing older: of the DICOM port, and of ours."""

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
    context = _by_profile(ssl.PROTOCOL_TLS_SERVER)
    _load_own(context, settings.certificate, settings.private_key)
    if settings.authorities is not None:
        with _naming("authorities", settings.authorities):
            context.load_verify_locations(settings.authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    authorities: Path | None, certificate: Path | None, private_key: Path | None
) -> ssl.SSLContext:
    """What a handshake with a server is made with, whose certificate and name are checked.

    Parameters
    ----------
    authorities
        Who may have issued its certificate; whom this system trusts, without it.
    certificate, private_key
        Ours, both or neither.

    Raises
    ------
    TlsUnusable
        A file cannot be read, or holds something else; the message begins with its key.
    """
    context = _by_profile(ssl.PROTOCOL_TLS_CLIENT)
    if authorities is None:
        context.load_default_certs()
    else:
        with _naming("authorities", authorities):
            context.load_verify_locations(authorities)
    if certificate is not None and private_key is not None:
        _load_own(context, certificate, private_key)
    return context


def _by_profile(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    return context


def _load_own(context: ssl.SSLContext, certificate: Path, private_key: Path) -> None:
    with _naming("certificate", certificate):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    with _naming("private_key", private_key):
        # An empty password: a key that needs one is refused, not asked for on the terminal.
        context.load_cert_chain(certificate, private_key, password="")


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
