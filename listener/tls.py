"""TLS of the DICOM port: the BCP 195 profile (PS3.15 B.12), and nothing older."""

import ssl

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
    try:
        context.load_cert_chain(settings.certificate, settings.private_key)
    except (OSError, ssl.SSLError) as error:
        raise TlsUnusable(
            f"certificate: {settings.certificate} with private_key {settings.private_key}:"
            f" {_reason(error)}"
        ) from error
    if settings.authorities is not None:
        try:
            context.load_verify_locations(settings.authorities)
        except (OSError, ssl.SSLError) as error:
            raise TlsUnusable(f"authorities: {settings.authorities}: {_reason(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _reason(error: OSError) -> str:
    return (getattr(error, "reason", None) or error.strerror or type(error).__name__).lower()
