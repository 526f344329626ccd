"""Files in pieces: no more than a few megabytes of a study are in memory at once, anywhere."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from processor.cluster.task import Parcel, Piece, Wanted
from processor.errors import StorageError

CHUNK = 4 << 20


def orders_of(files: Iterable[tuple[str, int]]) -> Iterator[list[Wanted]]:
    """How to ask for files, given by name and size, with at most `CHUNK` bytes in an order.

    >>> [[(one.name, one.offset) for one in order] for order in orders_of([("a", CHUNK), ("b", 1)])]
    [[('a', 0)], [('b', 0)]]
    """
    order: list[Wanted] = []
    room = CHUNK
    for name, size in files:
        for offset, length in _spans(size, room):
            order.append(Wanted(name, offset, length))
            room -= length
            if not room:
                yield order
                order, room = [], CHUNK
    if order:
        yield order


def _spans(size: int, first: int) -> Iterator[tuple[int, int]]:
    """Offsets and lengths that cover a file: a first length, and then whole chunks."""
    yield 0, min(first, size)
    for offset in range(first, size, CHUNK):
        yield offset, min(CHUNK, size - offset)


def read_span(path: Path, wanted: Wanted) -> bytes:
    """The bytes of a file that are asked for."""
    with path.open("rb") as file:
        file.seek(wanted.offset)
        return file.read(wanted.size)


def read_pieces(folder: Path, order: Sequence[Wanted]) -> list[Piece]:
    """The bytes below a folder that are asked for."""
    return [Piece(one.name, one.offset, read_span(_within(folder, one.name), one)) for one in order]


def write_pieces(folder: Path, pieces: Sequence[Piece]) -> None:
    """Write pieces of files where they belong below a folder.

    Raises
    ------
    StorageError
        A name leads out of the folder.
    """
    for piece in pieces:
        path = _within(folder, piece.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if piece.offset else "wb") as file:
            file.seek(piece.offset)
            file.write(piece.content)


def _within(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise StorageError("a file that was sent has a name outside its folder")
    return path


def parcels_of(folder: Path, prefix: str = "") -> tuple[Parcel, ...]:
    """The files below a folder, with their digests as they are on the disk."""
    paths = sorted(path for path in (folder / prefix).rglob("*") if path.is_file())
    return tuple(
        Parcel(path.relative_to(folder).as_posix(), path.stat().st_size, digest_of(path))
        for path in paths
    )


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
