"""Takes the files out of a ZIP that somebody gives us: under names of ours, and within limits."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo, is_zipfile
from zlib import error as DeflateError  # noqa: N812 - zlib has it in lower case

from safelight.errors import SafelightError

MOST_FILES = 200_000
_CHUNK = 1 << 20
_ENCRYPTED = 0x1


class UnusableArchive(SafelightError, ValueError):
    """A ZIP cannot be taken apart; the message says why, without the names in it."""


def is_archive(path: Path) -> bool:
    """Whether a file is a ZIP, by what it holds."""
    return path.is_file() and is_zipfile(path)


def unpack(archive: Path, folder: Path, *, reserve_bytes: int) -> int:
    """Write each file of a ZIP into `folder`, numbered in the archive's order.

    The names in it are not used, so that none can lead elsewhere. What is written is counted as
    it comes: the sizes that the archive states may be wrong.

    Parameters
    ----------
    folder : Path
        It exists, and is empty.
    reserve_bytes : int
        What must stay free on the folder's filesystem.

    Returns
    -------
    int
        How many files it holds.

    Raises
    ------
    UnusableArchive
        It is damaged, encrypted, has too many files, or is too large for the disk.
    OSError
        A file cannot be written.
    """
    room = shutil.disk_usage(folder).free - reserve_bytes
    with _reading():
        opened = ZipFile(archive)
    with opened:
        members = _members(opened)
        for number, member in enumerate(members):
            room = _extract(opened, member, folder / f"{number:06d}", room)
    return len(members)


@contextmanager
def _reading() -> Iterator[None]:
    """Say of what goes wrong while the archive is read that the archive is to blame."""
    try:
        yield
    except (BadZipFile, DeflateError, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise UnusableArchive("the ZIP is damaged, or of a kind that cannot be read") from error


def _members(archive: ZipFile) -> list[ZipInfo]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise UnusableArchive("the ZIP is encrypted; unpack it first")
    if len(members) > MOST_FILES:
        raise UnusableArchive(f"the ZIP has {len(members)} files, more than {MOST_FILES}")
    return members


def _extract(archive: ZipFile, member: ZipInfo, path: Path, room: int) -> int:
    """Write one file; return what room is left."""
    with path.open("xb") as target:
        for chunk in _chunks(archive, member):
            room -= len(chunk)
            if room < 0:
                raise UnusableArchive("unpacked, the ZIP is larger than the disk has room for")
            target.write(chunk)
    return room


def _chunks(archive: ZipFile, member: ZipInfo) -> Iterator[bytes]:
    with _reading():
        source = archive.open(member)
    with source:
        while True:
            with _reading():
                chunk = source.read(_CHUNK)
            if not chunk:
                return
            yield chunk
