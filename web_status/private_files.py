"""Files that only the service may read: written whole or not at all, or a line at a time."""

import os
import secrets
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE = 0o600


def write_private(path: Path, content: bytes) -> None:
    """Put `content` in the place of `path`, mode 0600.

    A reader finds the earlier content or all of the new. Root gives the file to whom the folder
    belongs: the service, which must read it, runs as another user.

    Raises
    ------
    OSError
        It cannot be written; what was there stays.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(os.open(new, _FLAGS | os.O_EXCL, _MODE), path.parent, content)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    _sync_folder(path.parent)


def append_private(path: Path, line: bytes) -> None:
    """Append a line, which ends in a newline; the file is made with mode 0600 where there is none.

    Raises
    ------
    OSError
        It cannot be written.
    """
    _write(os.open(path, _FLAGS | os.O_APPEND, _MODE), path.parent, line)


def _write(descriptor: int, folder: Path, content: bytes) -> None:
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        if os.geteuid() == 0:
            owner = folder.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(content)
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
