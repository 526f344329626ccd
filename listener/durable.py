"""Small files that must be whole, and stay, once they have their name."""

import os
import uuid
from pathlib import Path


def write_durably(target: Path, content: bytes, temporary: Path | None = None) -> None:
    """Write a file under a temporary name, fsync it, rename it and fsync its folder.

    Parameters
    ----------
    target
        Its final name; what has it is replaced.
    content
        The file.
    temporary
        The name until then, on the same filesystem; by default a hidden one beside `target`.
    """
    temporary = temporary or target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def give_to_owner_of_folder(path: Path) -> None:
    """Give a file that root made to whom its folder belongs, such as the service.

    Of a symbolic link, it is the link that is given.
    """
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def sync_folder(folder: Path | str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
