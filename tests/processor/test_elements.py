"""Headers read quickly are those that pydicom reads, and all others are left to pydicom.

The file meta has no element of the instance, so that files share it.

Not covered: real scans, whose conversion is compared with references elsewhere.
"""

from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from processor.elements import PlainReader
from processor.headers import quiet_reading

_DECODED_BY_PYDICOM = (0x00020000, 0x00020010, 0x00080005)
_OF_THE_INSTANCE = (0x00020000, 0x00020003)


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
    meta = elements(slow.file_meta)
    assert elements(quick.file_meta) == {
        tag: value for tag, value in meta.items() if tag not in _OF_THE_INSTANCE
    }
    assert quick.original_encoding == slow.original_encoding
    assert quick.original_character_set == slow.original_character_set


def test_every_file_of_pydicom_is_read_alike_or_left_to_it():
    plain = 0
    for path in sorted(Path(get_testdata_file("CT_small.dcm")).parent.glob("*.dcm")):
        with quiet_reading():
            quick = PlainReader().header(path)
            if quick is not None:
                assert_equal(quick, dcmread(path))
                plain += 1
    assert plain > 10


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "SC_rgb.dcm"])
def test_native_images_are_plain(name):
    quick = PlainReader().header(Path(get_testdata_file(name)))
    slow = dcmread(get_testdata_file(name))
    np.testing.assert_array_equal(quick.pixel_array, slow.pixel_array)
    for tag in _OF_THE_INSTANCE:
        del slow.file_meta[tag]
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
    assert PlainReader().header(Path(get_testdata_file(name))) is None


SMALL = Path(get_testdata_file("CT_small.dcm")).read_bytes()


def damaged(draw):
    """A file with some bytes of its header changed, and perhaps an end that is too early."""
    content = bytearray(SMALL)
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(128, 2500))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(200, len(content)))])


def assert_read_as_pydicom_does_or_left_to_it(reader, content):
    with NamedTemporaryFile(suffix=".dcm") as file:
        file.write(content)
        file.flush()
        with quiet_reading():
            try:
                quick = reader.header(Path(file.name))
            except LookupError:
                return
            if quick is not None:
                assert_equal(quick, dcmread(file.name))


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_header_is_read_as_pydicom_does_or_left_to_it(data):
    assert_read_as_pydicom_does_or_left_to_it(PlainReader(), damaged(data.draw))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_header_is_read_the_same_whatever_was_read_before(data):
    reader = PlainReader()
    for _ in range(5):
        content = damaged(data.draw) if data.draw(st.booleans()) else SMALL
        assert_read_as_pydicom_does_or_left_to_it(reader, content)


@pytest.fixture
def saved(instance, tmp_path):
    """Writes an instance with these elements."""

    def write(**own):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.dcm"
        dataset = instance(**own)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


def test_alike_files_share_the_elements_they_have_in_common(saved):
    reader = PlainReader()
    headers = []
    for number in range(12):
        own = {"InstanceNumber": number * 50, "PatientComments": "x" * 150 * number}
        path = saved(StudyID="same", ICCProfile=bytes(500), **own)
        headers.append(reader.header(path))
        assert_equal(headers[-1], dcmread(path))
    first, *others = headers
    assert all(header.file_meta is first.file_meta for header in others)
    assert all(header.get_item("StudyID") is first.get_item("StudyID") for header in others)
    profiles = {id(header.get_item("ICCProfile")) for header in headers[-6:]}
    assert len(profiles) == 1


def test_files_that_are_not_alike_are_read_one_after_the_other(saved):
    reader = PlainReader()
    for own in ({"StudyID": "1"}, {"EchoTime": 5}, {"StudyID": "1", "EchoTime": 5}, {}):
        path = saved(**own)
        assert_equal(reader.header(path), dcmread(path))


def test_a_long_header_is_read_to_its_end(saved):
    path = saved(ICCProfile=bytes(60_000))
    reader = PlainReader()
    for _ in range(3):
        assert_equal(reader.header(path), dcmread(path))
