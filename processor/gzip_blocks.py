"""Reading back a gzip file whose blocks stand alone: several are decompressed at once.

Where they end is not believed: what is read is what a reader of the whole member reads, or the file
is damaged. Each block must end where deflate lets another begin, and the member with the checksum
and the length of it all.
"""

import os
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from itertools import pairwise
from pathlib import Path
from typing import Any

from isal import isal_zlib

from processor.gzip_file import BEGINNING, BLOCK_BYTES, END, thread_count, trailer

_ISAL_ERROR: Any = isal_zlib.error


@contextmanager
def opened_blocks(path: Path, ends: Sequence[int]) -> Iterator["BlockReader"]:
    """The content of a file that `GzipWriter` has written.

    Parameters
    ----------
    ends : sequence of int
        `GzipWriter.block_ends`.
    """
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(thread_count()) as threads:
        try:
            yield BlockReader(_in_order(file.fileno(), ends, threads))
        finally:
            threads.shutdown(cancel_futures=True)


def is_of_blocks(path: Path, ends: Sequence[int]) -> bool:
    """Whether a file may be one that `GzipWriter` has written, with blocks that end there."""
    return bool(ends) and path.stat().st_size == ends[-1] + len(END) + len(trailer(0, 0))


class BlockReader:
    """The content of a gzip file, from its beginning."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes | memoryview:
        """The next bytes, fewer at the end.

        Raises
        ------
        BadGzipFile
            The file is damaged.
        """
        taken, self._rest = self._rest[:size], self._rest[size:]
        if len(taken) == size:  # most planes lie within a block
            return taken
        pieces = [taken]
        missing = size - len(taken)
        while missing and (block := next(self._blocks, None)) is not None:
            piece, self._rest = memoryview(block)[:missing], memoryview(block)[missing:]
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


@dataclass(frozen=True)
class _Block:
    """The content of a block, and its CRC-32."""

    content: bytes
    checksum: int


def _in_order(file: int, ends: Sequence[int], threads: ThreadPoolExecutor) -> Iterator[bytes]:
    """The content of each block; the last one only if the whole file is sound."""
    _require(os.pread(file, len(BEGINNING), 0) == BEGINNING)
    checksum = size = 0
    for end, block in zip(ends, _ahead(file, ends, threads), strict=True):
        checksum = isal_zlib.crc32_combine(checksum, block.checksum, len(block.content))
        size += len(block.content)
        if end == ends[-1]:
            ending = END + trailer(checksum, size)
            _require(os.pread(file, len(ending) + 1, end) == ending)
        yield block.content


def _ahead(file: int, ends: Sequence[int], threads: ThreadPoolExecutor) -> Iterator[_Block]:
    """The blocks in order, a few of them read before they are asked for."""
    waiting: deque[Future[_Block]] = deque()
    for begin, end in pairwise((len(BEGINNING), *ends)):
        waiting.append(threads.submit(_block, file, begin, end))
        if len(waiting) > thread_count() + 1:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _block(file: int, begin: int, end: int) -> _Block:
    reader = isal_zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        content = reader.decompress(os.pread(file, end - begin, begin), BLOCK_BYTES)
        more = reader.decompress(reader.unconsumed_tail + END)
    except _ISAL_ERROR:
        raise BadGzipFile from None
    # Only at the end of a block is END read as the last one, to its last bit.
    _require(reader.eof and not more and not reader.unused_data)
    return _Block(content, isal_zlib.crc32(content))


def _require(is_sound: bool) -> None:  # noqa: FBT001 - it reads as a sentence
    if not is_sound:
        raise BadGzipFile
