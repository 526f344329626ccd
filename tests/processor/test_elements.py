"""Headers read quickly are those that pydicom reads, and all others are left to pydicom.

Not covered: real scans, whose conversion is compared with references elsewhere.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file

from processor.elements import plain_header
from processor.headers import quiet_reading

_DECODED_BY_PYDICOM = (0x00020000, 0x00020010, 0x00080005)


def elements(dataset):
    """Tag, VR and undecoded value of each element; decoded where pydicom decodes while reading."""
    found = {}
    for tag in dataset.keys():  # noqa: SIM118 - a Dataset's items are its elements
        if tag in _DECODED_BY_PYDICOM:
            found[tag] = dataset[tag].value
        else:
            raw = dataset.get_item(tag)
            found[tag] = (raw.VR, raw.value)
    return found


def assert_equal(quick, slow):
    assert elements(quick) == elements(slow)
    assert elements(quick.file_meta) == elements(slow.file_meta)
    assert quick.original_encoding == slow.original_encoding
    assert quick.original_character_set == slow.original_character_set
    assert quick.preamble == slow.preamble


def test_every_file_of_pydicom_is_read_alike_or_left_to_it():
    plain = 0
    for path in sorted(Path(get_testdata_file("CT_small.dcm")).parent.glob("*.dcm")):
        with quiet_reading():
            quick = plain_header(path.read_bytes())
            if quick is not None:
                assert_equal(quick, dcmread(path))
                plain += 1
    assert plain > 10


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "SC_rgb.dcm"])
def test_native_images_are_plain(name):
    quick = plain_header(Path(get_testdata_file(name)).read_bytes())
    slow = dcmread(get_testdata_file(name))
    np.testing.assert_array_equal(quick.pixel_array, slow.pixel_array)
    assert str(quick) == str(slow)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_bigendian.dcm",
        "image_dfl.dcm",
        "MR_small_RLE.dcm",
        "no_meta.dcm",
        "MR_truncated.dcm",
        "UN_sequence.dcm",
    ],
)
def test_what_is_not_plain_is_left_to_pydicom(name):
    assert plain_header(Path(get_testdata_file(name)).read_bytes()) is None


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_header_is_read_as_pydicom_does_or_left_to_it(data):
    content = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(128, 2500))] = data.draw(st.integers(0, 255))
    damaged = bytes(content[: data.draw(st.integers(200, len(content)))])
    with quiet_reading():
        try:
            quick = plain_header(damaged)
        except LookupError:
            return
        if quick is not None:
            assert_equal(quick, dcmread(BytesIO(damaged)))


SMALL = Path(get_testdata_file("CT_small.dcm")).read_bytes()
