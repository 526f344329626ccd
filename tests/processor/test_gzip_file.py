"""One gzip member that any reader takes, of the same bytes whatever the threads."""

import gzip
import io
import subprocess
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest

from processor.gzip_file import BLOCK_BYTES, GzipWriter, opened


def content(size):
    """Bytes that compress, and differ from block to block."""
    rng = np.random.default_rng(3)
    return rng.integers(0, 12, size, dtype=np.uint8).tobytes()


def packed(data, level=1, threads=None, piece=70_000):
    file = io.BytesIO()
    with GzipWriter(file, level, threads) as writer:
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
    return file.getvalue()


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 5])
def test_any_length_comes_back(size):
    data = content(size)
    assert gzip.decompress(packed(data)) == data


@pytest.mark.parametrize("level", range(10))
def test_every_level_comes_back(level):
    data = content(2 * BLOCK_BYTES + 7)
    assert gzip.decompress(packed(data, level)) == data


def test_a_higher_level_takes_less_room():
    text = b"".join(b"slice %d at %d mm; " % (k, k * k) for k in range(200_000))
    stored, fast, four, best = (len(packed(text, level)) for level in (0, 1, 4, 9))
    assert fast < len(text) / 2 < len(text) < stored
    assert best < four < len(text) / 2


def test_it_is_one_member_without_a_time_or_a_name():
    data = content(2 * BLOCK_BYTES)
    found = packed(data)
    assert found[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    assert reader.decompress(found) == data
    assert (reader.eof, reader.unused_data) == (True, b"")


def test_the_bytes_depend_neither_on_threads_nor_on_how_they_are_given():
    data = content(5 * BLOCK_BYTES)
    assert packed(data, threads=1) == packed(data, threads=4, piece=1_000_003)


def test_the_program_gzip_takes_it(tmp_path):
    path = tmp_path / "a.gz"
    with opened(path, 1) as file:
        file.write(content(3 * BLOCK_BYTES))
    subprocess.run(["gzip", "--test", path], check=True)


def test_a_name_without_gz_is_not_compressed(tmp_path):
    path = tmp_path / "a.nii"
    with opened(path, 9) as file:
        file.write(b"abc")
    assert path.read_bytes() == b"abc"


def test_an_error_of_the_caller_ends_the_threads_and_is_passed_on(tmp_path):
    before = threading.active_count()
    with pytest.raises(TypeError), opened(tmp_path / "a.gz", 1) as file:
        file.write([content(BLOCK_BYTES), file.write(content(BLOCK_BYTES))])
    assert threading.active_count() == before


def test_a_full_disk_is_an_error_that_ends_the_threads():
    before = threading.active_count()
    with Path("/dev/full").open("wb", buffering=0) as full:
        with pytest.raises(OSError, match="No space"):
            GzipWriter(full, 1)
        with pytest.raises(OSError, match="No space"), GzipWriter(Later(full), 1) as writer:
            writer.write(content(8 * BLOCK_BYTES))
    assert threading.active_count() == before


class Later:
    """Takes the header and then writes to a full disk."""

    def __init__(self, full):
        self.left, self.full = 1, full

    def write(self, data):
        self.left -= 1
        return len(data) if self.left >= 0 else self.full.write(data)
