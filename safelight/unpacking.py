"""Takes the files out of a ZIP that somebody gives us: under names of ours, and within limits."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo, is_zipfile
from zlib import error as DeflateError  # noqa: N812 - zlib has it in lower case

from safelight.errors import SafelightError

MOST_FILES = 200_000
RATIO_MAX = 200
EASY_BYTES = 1 << 30
"""As much may come out of any ZIP, and of a larger one `RATIO_MAX` times its size."""
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
        It is damaged, encrypted, has too many files, or is too large for the disk or for a ZIP
        of its size.
    OSError
        A file cannot be written.
    """
    easy = max(EASY_BYTES, RATIO_MAX * archive.stat().st_size)
    budget = _Budget(shutil.disk_usage(folder).free - reserve_bytes, easy)
    with _reading():
        opened = ZipFile(archive)
    with opened:
        members = _members(opened)
        for number, member in enumerate(members):
            _extract(opened, member, folder / f"{number:06d}", budget)
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


@dataclass
class _Budget:
    """How many bytes may still come out of an archive: for the disk, and for its size."""

    disk: int
    easy: int

    def spend(self, count: int) -> None:
        self.disk -= count
        self.easy -= count
        if self.disk < 0:
            raise UnusableArchive("unpacked, the ZIP is larger than the disk has room for")
        if self.easy < 0:
            raise UnusableArchive(
                f"unpacked, the ZIP is more than {RATIO_MAX} times its size, as no images are"
            )


def _extract(archive: ZipFile, member: ZipInfo, path: Path, budget: _Budget) -> None:
    """Write one file."""
    with path.open("xb") as target:
        for chunk in _chunks(archive, member):
            budget.spend(len(chunk))
            target.write(chunk)


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
