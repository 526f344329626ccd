"""The site key: what turns an identity into a pseudonym, and who has it can tell which is which."""

import os
import secrets
from pathlib import Path

from processor.errors import SiteKeyError

_BYTES = 32


def site_key(path: Path) -> bytes:
    """The key of a file, which is made with mode 0600 where there is none.

    Raises
    ------
    SiteKeyError
        It cannot be read or made, others may read it, or it holds no key.
    """
    try:
        return _read(path) if path.exists() else _make(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SiteKeyError(f"site key {path}: {type(error).__name__}: cannot be used") from None


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise SiteKeyError(f"site key {path}: others may read it: chmod 600 it")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        key = b""
    if len(key) < _BYTES:
        raise SiteKeyError(f"site key {path}: expected {2 * _BYTES} hexadecimal digits or more")
    return key


def _make(path: Path) -> bytes:
    """Write a key; where another process was quicker, its key counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    return _read(path)
