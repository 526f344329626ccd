"""Frames as the processors get them: decoded once, read-only, without copies of native pixels.

Not covered: damaged and truncated files, which the conversion's tests refuse with their reasons.
"""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian

from processor import source
from processor.errors import PixelDataError
from processor.headers import quiet_reading
from processor.source import read_instance

RAMP = np.arange(30, dtype=np.uint16).reshape(6, 5)


@pytest.fixture
def plain(instance, job):
    """An instance of RAMP, read from its file."""

    def make(**elements):
        return read_instance(job([instance(**elements)], "convert").files[0])

    return make


def test_a_native_frame_is_a_view_of_what_was_read_and_cannot_be_written_to(plain):
    read = plain()
    where = np.frombuffer(read.header.PixelData, np.uint16).__array_interface__["data"][0]
    frame = read.frame()
    np.testing.assert_array_equal(frame, RAMP)
    assert frame.__array_interface__["data"][0] == where
    assert not frame.flags.writeable


def test_encoded_pixels_are_dropped_when_every_frame_is_decoded(plain):
    read = plain(NumberOfFrames=2, PixelData=np.stack([RAMP, RAMP + 7]).tobytes())
    np.testing.assert_array_equal(read.frame(1), RAMP + 7)
    assert "PixelData" in read.header
    np.testing.assert_array_equal(read.frame(0), RAMP)
    assert "PixelData" not in read.header
    assert read.frame(0) is read.frame(0)


@pytest.mark.parametrize(
    ("changes", "pixels"),
    [
        ({"PixelRepresentation": 1, "BitsStored": 16}, RAMP.astype(np.int16) - 15),
        ({"PixelRepresentation": 1}, RAMP.astype(np.int16) - 15),
        ({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, RAMP.astype(np.uint8)),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, RAMP.astype(np.uint32) << 20),
    ],
    ids=["signed", "12 bits signed", "8 bits", "32 bits"],
)
def test_every_kind_of_integers_is_read_as_pydicom_does(plain, changes, pixels):
    read = plain(pixels=pixels, **changes)
    expected = read.header.pixel_array
    frame = read.frame()
    assert frame.dtype == expected.dtype == pixels.dtype
    np.testing.assert_array_equal(frame, pixels)


def test_bits_above_the_stored_ones_are_no_values(plain):
    np.testing.assert_array_equal(plain(pixels=RAMP | 0x7000).frame(), RAMP)


def test_a_sign_that_was_not_extended_is_read_as_one(plain):
    minus_one = np.full((6, 5), 0x0FFF, dtype=np.uint16)
    frame = plain(pixels=minus_one, PixelRepresentation=1).frame()
    assert (frame.dtype, frame.min(), frame.max()) == (np.int16, -1, -1)


def test_big_endian_values_come_in_native_order():
    frame = read_instance(Path(get_testdata_file("MR_small_bigendian.dcm"))).frame()
    expected = dcmread(get_testdata_file("MR_small.dcm")).pixel_array
    np.testing.assert_array_equal(frame, expected)
    assert frame.dtype.isnative
    assert not frame.flags.writeable


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"]
)
def test_compressed_frames_cannot_be_written_to_either(name):
    read = read_instance(Path(get_testdata_file(name)))
    expected = dcmread(get_testdata_file("MR_small.dcm")).pixel_array
    np.testing.assert_array_equal(read.frame(), expected)
    assert not read.frame().flags.writeable
    assert "PixelData" not in read.header


def test_colour_is_rgb_and_cannot_be_written_to():
    read = read_instance(Path(get_testdata_file("SC_rgb.dcm")))
    assert read.frame().shape == (100, 100, 3)
    assert not read.frame().flags.writeable


@pytest.mark.parametrize("at_most", [0, 1 << 24])
def test_a_file_is_read_the_same_from_disk_and_from_memory(plain, monkeypatch, tmp_path, at_most):
    monkeypatch.setattr(source, "_SMALL_FILE_BYTES", at_most)
    whole = Path(get_testdata_file("MR_small_jp2klossless.dcm")).read_bytes()
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(whole[:-2500])
    np.testing.assert_array_equal(plain().frame(), RAMP)
    with quiet_reading(), pytest.raises(PixelDataError, match="pixel data truncated in instance"):
        read_instance(cut).frame()


def test_an_element_that_claims_far_more_than_there_is_is_noticed(instance, tmp_path):
    """An LO element whose length says 2 GiB, in implicit VR, after the pixels were described."""
    ds = instance()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    path = tmp_path / "claims.dcm"
    ds.save_as(path, enforce_file_format=True)
    claim = bytes.fromhex("E07F1000") + (2**31).to_bytes(4, "little")
    content = path.read_bytes()
    start = content.rindex(claim[:4])
    path.write_bytes(content[:start] + claim + content[start + 8 :])
    with pytest.raises(PixelDataError, match="the file ends within an element"):
        read_instance(path).frame()


def test_what_steps_work_out_of_an_instance_is_worked_out_once(plain):
    asked = []

    def number(instance):
        asked.append(instance)
        return 7

    assert (plain().once(number), len(asked)) == (7, 1)
    one = plain()
    assert [one.once(number), one.once(number)] == [7, 7]
    assert asked[1:] == [one]


def test_what_failed_is_tried_again(plain):
    one = plain()

    def fails(instance):
        raise KeyError(instance.number)

    for _ in range(2):
        with pytest.raises(KeyError):
            one.once(fails)
