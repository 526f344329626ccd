"""Access tokens of programs: a random secret that is shown once, and of which a digest is kept."""

import hashlib
import re
import secrets
from dataclasses import dataclass, field

from web_status.roles import Role

_PREFIX = "safelight_"  # scanners of repositories and logs can look for it
_BYTES = 32
_TOKEN = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True)
class Token:
    """What is kept of a token.

    Attributes
    ----------
    name
        What its user calls it.
    role
        What it may do at most; never more than its user may.
    digest
        SHA-256 of the secret. It has 256 random bits, so nothing slower is needed.
    since, used
        When it was made, ISO 8601 in UTC, and the last day it was used, empty for never.
    """

    name: str
    role: Role
    digest: str = field(repr=False)
    since: str
    used: str = ""


def new_secret() -> str:
    """A random secret of 256 bits."""
    return f"{_PREFIX}{secrets.token_urlsafe(_BYTES)}"


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret(text: str) -> bool:
    """Whether `text` has the form of a secret."""
    return _TOKEN.fullmatch(text) is not None
