"""ZIP archives of files that are too many for memory: streamed, with a manifest of SHA-256."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
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
    chosen = sorted(members, key=lambda member: member.name)
    _check(chosen, largest_bytes)
    with ZipFile(out, "x", allowZip64=True) as archive:
        files = [_add(archive, member) for member in chosen]
        content = json.dumps({"schema": SCHEMA, "files": files}, indent=2) + "\n"
        archive.writestr(_info(MANIFEST, ZIP_DEFLATED), content)
    return len(files)


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


def _add(archive: ZipFile, member: Member) -> dict[str, object]:
    method = ZIP_STORED if member.path.suffix in _COMPRESSED else ZIP_DEFLATED
    digest, size = hashlib.sha256(), 0
    info = _info(member.name, method)
    info.file_size = member.path.stat().st_size
    with member.path.open("rb") as source, archive.open(info, "w") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
    return {"path": member.name, "bytes": size, "sha256": digest.hexdigest()}


def _info(name: str, method: int) -> ZipInfo:
    info = ZipInfo(name)  # of 1980: when it was packed tells nothing about what is in it
    info.compress_type, info.external_attr = method, _MODE
    return info
