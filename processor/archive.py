"""ZIP archives of files that are too many for memory: streamed, with a manifest of SHA-256."""

import hashlib
import io
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from processor.errors import PackageError

MANIFEST = "package.json"
SCHEMA = 1
_CHUNK = 1 << 20
_COMPRESSED = frozenset({".gz", ".npz", ".parquet", ".png", ".xlsx", ".zip"})
_MODE = 0o100640 << 16


@dataclass(frozen=True)
class Member:
    """One file of an archive: where it is, and its path in the archive."""

    path: Path
    name: str


def write_archive(out: Path, members: Iterable[Member], largest_bytes: int) -> int:
    """Write files into a ZIP, and last `package.json`, which has the SHA-256 of each.

    The bytes depend on the names and contents alone. No file is in memory whole.

    Parameters
    ----------
    largest_bytes : int
        What the files may have together before compression.

    Returns
    -------
    int
        How many files it holds, `package.json` not counted.

    Raises
    ------
    PackageError
        The files are too large together, or names are unsafe or not distinct; nothing is written.
    OSError
        A file cannot be read, or the archive not written.
    """
    chosen = _checked(members, largest_bytes)
    with ZipFile(out, "x", allowZip64=True) as archive:
        for _ in _filling(archive, chosen):
            pass
    return len(chosen)


def archive_stream(members: Iterable[Member], largest_bytes: int) -> Iterator[bytes]:
    """The same archive piece by piece, for whom it is sent to; no file is written.

    Raises
    ------
    PackageError, OSError
        As `write_archive`, before the first piece where the files or names are wrong.
    """
    chosen = _checked(members, largest_bytes)
    written = _Written()
    with ZipFile(written, "w", allowZip64=True) as archive:
        for _ in _filling(archive, chosen):
            yield written.taken()
    yield written.taken()


class _Written(io.RawIOBase):
    """What was written and is not taken yet; it cannot be gone back in."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._kept += data
        return len(data)

    def taken(self) -> bytes:
        taken, self._kept = bytes(self._kept), bytearray()
        return taken


def _checked(members: Iterable[Member], largest_bytes: int) -> Sequence[Member]:
    chosen = sorted(members, key=lambda member: member.name)
    _check(chosen, largest_bytes)
    return chosen


def _filling(archive: ZipFile, chosen: Sequence[Member]) -> Iterator[None]:
    """Add the files and what they are; it stops behind every piece."""
    files: list[dict[str, object]] = []
    for member in chosen:
        files += [(yield from _added(archive, member))]
    content = json.dumps({"schema": SCHEMA, "files": files}, indent=2) + "\n"
    archive.writestr(_info(MANIFEST, ZIP_DEFLATED), content)


def _check(members: Sequence[Member], largest_bytes: int) -> None:
    folded = {member.name.casefold() for member in members}
    if len(folded) != len(members) or MANIFEST in folded:
        raise PackageError("two files would have one path in the package")
    for member in members:
        parts = PurePosixPath(member.name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in member.name:
            raise PackageError("a file would lie outside the package")
    size = sum(member.path.stat().st_size for member in members)
    if size > largest_bytes:
        found, allowed = (f"{count / 1e6:.1f} MB" for count in (size, largest_bytes))
        raise PackageError(f"the files have {found} together, more than the {allowed} allowed")


def _added(archive: ZipFile, member: Member) -> Generator[None, None, dict[str, object]]:
    method = ZIP_STORED if member.path.suffix in _COMPRESSED else ZIP_DEFLATED
    digest, size = hashlib.sha256(), 0
    info = _info(member.name, method)
    info.file_size = member.path.stat().st_size
    with member.path.open("rb") as source, archive.open(info, "w") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
            yield
    return {"path": member.name, "bytes": size, "sha256": digest.hexdigest()}


def _info(name: str, method: int) -> ZipInfo:
    info = ZipInfo(name)  # of 1980: when it was packed tells nothing about what is in it
    info.compress_type, info.external_attr = method, _MODE
    return info
