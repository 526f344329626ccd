"""Writing gzip files fast: one member, compressed block by block in a few threads.

Each block is compressed by itself, with the end of the one before as its dictionary, as pigz does.
The bytes depend on nothing but the content and the level: not on the threads, the time or the name.
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
_WINDOW_BYTES = 1 << 15  # how far back deflate can refer (RFC 1951)
_THREADS = 4
_ISAL_LEVELS = (1, 2, 3)
_END = b"\x03\x00"  # an empty last block


class Sink(Protocol):
    """What a file's bytes are written to."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take some bytes."""


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
            yield file
            return
        with GzipWriter(file, level) as packed:
            yield packed


class GzipWriter:
    """Compresses what it is given into one gzip member (RFC 1952) of `file`."""

    def __init__(self, file: BinaryIO, level: int, threads: int | None = None) -> None:
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")
        self._file = file
        self._compress = _compressor(level)
        count = threads or min(_THREADS, len(os.sched_getaffinity(0)))
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="gzip")
        self._waiting: deque[Future[_Packed]] = deque()
        self._at_once = count + 1
        self._block, self._filled = bytearray(BLOCK_BYTES), 0
        self._dictionary = b""
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

    def _submit(self) -> None:
        block = memoryview(self._block)[: self._filled]
        self._block, self._filled = bytearray(BLOCK_BYTES), 0
        self._waiting.append(self._threads.submit(self._packed, block, self._dictionary))
        self._dictionary = bytes(block[-_WINDOW_BYTES:])
        while len(self._waiting) > self._at_once:
            self._take(self._waiting.popleft().result())

    def _packed(self, block: memoryview, dictionary: bytes) -> "_Packed":
        compressed = self._compress(block, dictionary)
        return _Packed(compressed, isal_zlib.crc32(block), len(block))

    def _take(self, packed: "_Packed") -> None:
        self._file.write(packed.data)
        self._checksum = isal_zlib.crc32_combine(self._checksum, packed.checksum, packed.length)
        self._size += packed.length

    def close(self) -> None:
        """Compress what is left, and end the member."""
        self._submit()
        for block in self._waiting:
            self._take(block.result())
        self._file.write(_END)
        self._file.write(self._checksum.to_bytes(4, "little"))
        self._file.write((self._size & 0xFFFFFFFF).to_bytes(4, "little"))

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
    """A block as it is written, and what it adds to the checksum of the whole."""

    data: bytes
    checksum: int
    length: int


def _compressor(level: int) -> Callable[[memoryview, bytes], bytes]:
    """What turns a block, and the dictionary before it, into whole bytes of deflate."""
    new = isal_zlib.compressobj if level in _ISAL_LEVELS else zlib.compressobj

    def compressed(block: memoryview, dictionary: bytes) -> bytes:
        stream = new(level, wbits=-zlib.MAX_WBITS, zdict=dictionary)
        return stream.compress(block) + stream.flush(zlib.Z_SYNC_FLUSH)

    return compressed
