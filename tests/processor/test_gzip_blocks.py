"""Blocks read at once give what any reader of the member gives, or the file is called damaged."""

import gzip
import threading
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.gzip_blocks import is_of_blocks, opened_blocks
from processor.gzip_file import BLOCK_BYTES, opened

CONTENT = np.random.default_rng(3).integers(0, 12, 3 * BLOCK_BYTES + 5, dtype=np.uint8).tobytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file of several blocks, and where they end."""
    path = tmp_path_factory.mktemp("written") / "a.gz"
    with opened(path, 3) as file:
        file.write(CONTENT)
    return path, tuple(file.block_ends)


def read(path, ends, piece=70_000):
    with opened_blocks(path, ends) as file:
        found = b""
        while piece_read := file.read(piece):
            found += piece_read
        return found


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 5])
@pytest.mark.parametrize("level", [0, 1, 3, 6])
def test_any_length_comes_back_at_every_kind_of_level(tmp_path, size, level):
    path = tmp_path / "a.gz"
    with opened(path, level) as file:
        file.write(CONTENT[:size])
    assert read(path, file.block_ends) == CONTENT[:size] == gzip.decompress(path.read_bytes())


@pytest.mark.parametrize("piece", [1000, BLOCK_BYTES, 2 * BLOCK_BYTES + 3, 10 * BLOCK_BYTES])
def test_pieces_may_be_smaller_and_larger_than_blocks(written, piece):
    assert read(*written, piece) == CONTENT


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_changed_byte_anywhere_is_noticed(written, data):
    path, ends = written
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    changed = path.with_name("changed.gz")
    changed.write_bytes(content)
    with pytest.raises(gzip.BadGzipFile):
        read(changed, ends)


@pytest.mark.parametrize("missing", [1, 8, 9, 11, 2000])
def test_an_end_that_is_too_early_is_noticed(written, tmp_path, missing):
    path, ends = written
    cut = tmp_path / "cut.gz"
    cut.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(gzip.BadGzipFile):
        read(cut, ends)


def test_what_follows_the_member_is_noticed(written, tmp_path):
    path, ends = written
    longer = tmp_path / "longer.gz"
    longer.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(gzip.BadGzipFile):
        read(longer, ends)


@pytest.mark.parametrize("by", [-1, 1, 100])
def test_a_wrong_end_of_a_block_is_not_believed(written, by):
    path, (first, *others) = written
    with pytest.raises(gzip.BadGzipFile):
        read(path, (first + by, *others))


def test_an_end_that_is_left_out_is_not_believed(written):
    path, (_, *others) = written
    with pytest.raises(gzip.BadGzipFile):
        read(path, others)


def test_a_block_that_refers_to_the_one_before_is_not_believed(tmp_path):
    """As pigz writes them: read by itself, such a block is not what a reader of the whole sees."""
    noise = np.random.default_rng(0).bytes(20_000)
    packer = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
    blocks = [packer.compress(noise) + packer.flush(zlib.Z_SYNC_FLUSH) for _ in range(2)]
    path = tmp_path / "a.gz"
    checksum = zlib.crc32(noise * 2).to_bytes(4, "little")
    whole = b"".join(blocks) + b"\x03\x00" + checksum + (40_000).to_bytes(4, "little")
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + whole)
    assert gzip.decompress(path.read_bytes()) == noise * 2
    with pytest.raises(gzip.BadGzipFile):
        read(path, (10 + len(blocks[0]), 10 + len(blocks[0]) + len(blocks[1])))


def test_a_file_of_another_length_is_not_of_blocks(written, tmp_path):
    path, ends = written
    other = tmp_path / "other.gz"
    other.write_bytes(gzip.compress(CONTENT))
    assert is_of_blocks(path, ends)
    assert not is_of_blocks(other, ends)
    assert not is_of_blocks(path, ())


def test_who_stops_reading_leaves_no_thread(written):
    before = threading.active_count()
    with opened_blocks(*written) as file:
        file.read(10)
    assert threading.active_count() == before
