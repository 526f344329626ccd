"""Passwords: what is taken for one, and Argon2id (RFC 9106) hashes of them."""

import base64
import secrets
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.profiles import RFC_9106_LOW_MEMORY

from web_status.errors import BadPassword

LENGTH_MIN = 12
LENGTH_MAX = 1024
_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


def hash_of(password: str) -> str:
    """The hash to keep of a new password, with its salt and parameters.

    Raises
    ------
    BadPassword
        It is too short or too long.
    """
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise BadPassword(f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters")
    return _HASHER.hash(_normal(password))


def is_password(kept: str | None, given: str) -> bool:
    """Whether `given` is the password that `kept` is the hash of.

    Without a hash, because there is no such user, it takes as long and is False.
    """
    if len(given) > LENGTH_MAX:
        return False
    try:
        _HASHER.verify(_decoy() if kept is None else kept, _normal(given))
    except (Argon2Error, InvalidHashError):
        return False
    return kept is not None


@cache
def _decoy() -> str:
    """What is compared with for nobody: the hash of no known password, as dear as a real one."""
    cost = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    return f"$argon2id$v=19${cost}${_noise(_HASHER.salt_len)}${_noise(_HASHER.hash_len)}"


def _noise(count: int) -> str:
    return base64.b64encode(secrets.token_bytes(count)).decode().rstrip("=")


def _normal(password: str) -> str:
    """One form for what looks alike, however a keyboard composed it (RFC 8265 4.2.2)."""
    return unicodedata.normalize("NFC", password)
