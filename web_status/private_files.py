"""Files that only the service may read: written whole or not at all, or appended to."""

import os
import secrets
from pathlib import Path

_FLAGS = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
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
        with os.fdopen(open_private(new, os.O_WRONLY | os.O_EXCL), "wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    _sync_folder(path.parent)


def open_private(path: Path, flags: int) -> int:
    """Open a file, which is made with mode 0600 and as the folder's owner's where there is none.

    Raises
    ------
    OSError
        It cannot be opened, or is a symbolic link.
    """
    descriptor = os.open(path, flags | _FLAGS, _MODE)
    if os.geteuid() == 0:
        owner, own = path.parent.stat(), os.fstat(descriptor)
        if (own.st_uid, own.st_gid) != (owner.st_uid, owner.st_gid):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
