"""What must hold before the page is served: users where others reach it, usable certificates."""

import ssl
from pathlib import Path

from listener.settings import TlsSettings
from listener.tls import server_context
from web_status.errors import NobodyMayLogIn
from web_status.settings import WebSettings
from web_status.users import UsersFile


def require_users(settings: WebSettings, data: Path) -> None:
    """Let nobody serve a page without users to others than this machine.

    Raises
    ------
    NobodyMayLogIn
        There are none; the message says how to add one.
    UsersUnreadable
        It cannot be told.
    """
    if not UsersFile(data).all() and settings.is_public:
        raise NobodyMayLogIn(
            f"listen: others than this machine reach {settings.url}, and nobody may log in yet;"
            " add a user: safelight user add NAME --role admin"
        )


def tls_context(settings: WebSettings) -> ssl.SSLContext | None:
    """What HTTPS is spoken with; None for plain HTTP.

    Raises
    ------
    TlsUnusable
        A file cannot be read, or holds something else; the message begins with its key.
    """
    if settings.certificate is None or settings.private_key is None:
        return None
    return server_context(TlsSettings(settings.certificate, settings.private_key))
