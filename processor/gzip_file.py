"""Writing gzip files fast: one member, compressed block by block in a few threads.

Each block is compressed by itself and ends on a whole byte, so that `processor.gzip_blocks` can
read several at once. The bytes depend on nothing but the content and the level: not on the threads,
the time or the name.
"""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from isal import isal_zlib

BLOCK_BYTES = 1 << 20
BEGINNING = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
END = b"\x03\x00"  # an empty last block
_THREADS = 4
_ISAL_LEVELS = (1, 2, 3)


class Sink(Protocol):
    """What a file's bytes are written to.

    Attributes
    ----------
    block_ends : list of int
        Where in the file each compressed block ends; complete when the file is closed.
    """

    block_ends: list[int]

    def write(self, data: bytes | memoryview, /) -> object:
        """Take some bytes."""


class _Stored:
    """A file whose bytes are those it is given."""

    def __init__(self, file: BinaryIO) -> None:
        self.block_ends: list[int] = []
        self.write = file.write


@contextmanager
def opened(path: Path, level: int) -> Iterator[Sink]:
    """A file to be written from its beginning, compressed where its name ends in `.gz`.

    Parameters
    ----------
    level : int
        0: stored. 1 to 3: the levels of ISA-L. 4 to 9: those of zlib.
    """
    with path.open("wb") as file:
        if path.suffix != ".gz":
            yield _Stored(file)
            return
        with GzipWriter(file, level) as packed:
            yield packed


def thread_count() -> int:
    """How many threads compress or decompress at once."""
    return min(_THREADS, len(os.sched_getaffinity(0)))


class GzipWriter:
    """Compresses what it is given into one gzip member (RFC 1952) of `file`."""

    def __init__(self, file: BinaryIO, level: int, threads: int | None = None) -> None:
        file.write(BEGINNING)
        self.block_ends: list[int] = []
        self._file = file
        self._end = len(BEGINNING)
        self._compress = _compressor(level)
        count = threads or thread_count()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="gzip")
        self._waiting: deque[Future[_Packed]] = deque()
        self._at_once = count + 1
        self._block, self._filled = bytearray(BLOCK_BYTES), 0
        self._free: list[bytearray] = []
        self._checksum = self._size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Take bytes; what makes a whole block is compressed beside the caller."""
        rest = memoryview(data).cast("B")
        while rest:
            taken = min(len(rest), BLOCK_BYTES - self._filled)
            self._block[self._filled : self._filled + taken] = rest[:taken]
            self._filled += taken
            rest = rest[taken:]
            if self._filled == BLOCK_BYTES:
                self._submit()
                self._block = self._free.pop() if self._free else bytearray(BLOCK_BYTES)

    def _submit(self) -> None:
        self._waiting.append(self._threads.submit(self._packed, self._block, self._filled))
        self._filled = 0
        while len(self._waiting) > self._at_once:
            self._take(self._waiting.popleft().result())

    def _packed(self, block: bytearray, length: int) -> "_Packed":
        content = memoryview(block)[:length]
        return _Packed(block, self._compress(content), isal_zlib.crc32(content), length)

    def _take(self, packed: "_Packed") -> None:
        for piece in packed.pieces:
            self._file.write(piece)
            self._end += len(piece)
        self.block_ends.append(self._end)
        self._checksum = isal_zlib.crc32_combine(self._checksum, packed.checksum, packed.length)
        self._size += packed.length
        self._free.append(packed.block)

    def close(self) -> None:
        """Compress what is left, and end the member."""
        self._submit()
        for block in self._waiting:
            self._take(block.result())
        self._file.write(END + trailer(self._checksum, self._size))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._threads.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Packed:
    """A block, free to be filled again, with what is written of it and adds to the checksum."""

    block: bytearray
    pieces: tuple[bytes, bytes]
    checksum: int
    length: int


def _compressor(level: int) -> Callable[[memoryview], tuple[bytes, bytes]]:
    """What turns a block into whole bytes of deflate that refer to no other block."""
    new = isal_zlib.compressobj if level in _ISAL_LEVELS else zlib.compressobj

    def compressed(block: memoryview) -> tuple[bytes, bytes]:
        stream = new(level, wbits=-zlib.MAX_WBITS)
        return stream.compress(block), stream.flush(zlib.Z_SYNC_FLUSH)

    return compressed


def trailer(checksum: int, size: int) -> bytes:
    """What ends a gzip member: the CRC-32 and the length, modulo 2 ** 32, of its content."""
    return checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
