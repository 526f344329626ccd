"""Part 10 files: file meta, identity and header. Pixel data and the network are not covered."""

import contextlib
import struct
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)
from pynetdicom.dsutils import encode

from listener.errors import MismatchedInstance, UnreadableInstance, UnusableInstance
from listener.header import read_header
from listener.identity import (
    Identity,
    read_identity,
    read_identity_of_file,
    require_bounded_inflation,
    require_same_instance,
    require_uid,
)
from listener.part10 import Origin, dataset_offset, encode_file_meta

IDENTITY = Identity("1.2.3", "1.2.3.4", "1.2.3.4.5", CTImageStorage)
ORIGIN = Origin("PACS1", "SAFELIGHT", "0123456789abcdef")
META = encode_file_meta(CTImageStorage, "1.2.3.4.5", ExplicitVRLittleEndian, ORIGIN)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000Lossless],
)
def test_the_identity_is_read_in_every_encoding(make_instance, tmp_path, syntax):
    instance = make_instance(SOPInstanceUID="1.9")
    data = encode(instance, syntax.is_implicit_VR, syntax.is_little_endian)
    expected = Identity("1.2.3", "1.2.3.4", "1.9", CTImageStorage)
    assert identity_in_file(tmp_path, data, syntax) == expected
    if syntax != ExplicitVRBigEndian:  # left to pydicom
        assert read_identity(data, syntax) == expected


def identity_in_file(folder, data, syntax, offset=7):
    path = folder / "dataset"
    path.write_bytes(b"x" * offset + data)
    return read_identity_of_file(str(path), offset, syntax)


def test_the_identity_of_a_deflated_dataset_is_read_from_its_beginning(make_instance):
    plain = encode(make_instance(SOPInstanceUID="1.9"), False, True)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    # 200 MB of zeros behind it: only the beginning may be inflated.
    data = deflater.compress(plain) + deflater.compress(bytes(200_000_000)) + deflater.flush()
    assert read_identity(data, DeflatedExplicitVRLittleEndian).SOPInstanceUID == "1.9"


@pytest.mark.parametrize(
    "uid", ["", "../../../tmp/evil", "1.2/3", "1..2", ".1", "1.", "1" * 65, "1.2\0.3", "a.b", "1 2"]
)
def test_a_uid_that_would_be_unsafe_as_a_file_name_is_refused(uid):
    with pytest.raises(UnusableInstance, match="SOPInstanceUID"):
        require_uid(uid, "SOPInstanceUID")


@given(st.text(max_size=70))
def test_what_is_accepted_as_a_uid_is_one_harmless_path_component(text):
    try:
        uid = require_uid(text, "x")
    except UnusableInstance:
        return
    assert uid.replace(".", "").isdigit()
    assert 0 < len(uid) <= 64
    assert not {"", ".."} & set(uid.split("/"))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_dataset_without_one_of_its_uids_is_refused_by_name(make_instance, keyword):
    instance = make_instance()
    del instance[keyword]
    with pytest.raises(UnusableInstance, match=f"{keyword} is missing"):
        read_identity(encode(instance, False, True), ExplicitVRLittleEndian)


@pytest.mark.filterwarnings("ignore:Expected (explicit|implicit) VR")
@given(st.binary(max_size=300))
def test_bytes_that_are_no_dataset_are_refused_and_nothing_else_happens(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("noise")
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        with pytest.raises(UnusableInstance):
            identity_in_file(folder, data, syntax)
        with contextlib.suppress(UnusableInstance):
            assert read_identity(data, syntax) is None


def test_a_beginning_that_does_not_reach_far_enough_says_nothing(make_instance):
    data = encode(make_instance(), False, True)
    end = data.index(b"\x20\0\x0e\0")
    assert read_identity(data[:end], ExplicitVRLittleEndian) is None
    assert read_identity(data, ExplicitVRLittleEndian) is not None


UIDS = st.lists(st.integers(0, 999), min_size=2, max_size=8).map(
    lambda parts: ".".join(map(str, parts))
)


@st.composite
def datasets(draw):
    """Datasets with what stands before the UIDs in the field: text, private data, sequences."""
    instance = Dataset()
    instance.SOPClassUID, instance.SOPInstanceUID = draw(UIDS), draw(UIDS)
    instance.StudyInstanceUID, instance.SeriesInstanceUID = draw(UIDS), draw(UIDS)
    instance.Modality, instance.InstanceNumber = "MR", draw(st.integers(0, 9999))
    instance.StudyDescription = draw(st.text("abc ^ÄÖ", max_size=40))
    instance.add_new(0x00091001, "UN", draw(st.binary(max_size=40).map(lambda b: b + b)))
    instance.ReferencedStudySequence = draw(st.lists(items(), max_size=2))
    instance.add_new("PixelData", "OW", bytes(8))
    return instance


def items(depth=2):
    """Items that hold the very UIDs that are looked for, nested and of either length."""

    @st.composite
    def item(draw):
        inner = Dataset()
        inner.StudyInstanceUID, inner.SOPInstanceUID = draw(UIDS), draw(UIDS)
        if depth:
            inner.ReferencedSeriesSequence = draw(st.lists(items(depth - 1), max_size=2))
            inner["ReferencedSeriesSequence"].is_undefined_length = draw(st.booleans())
        inner.is_undefined_length_sequence_item = draw(st.booleans())
        return inner

    return item()


@given(datasets(), st.booleans(), st.booleans())
def test_the_fast_reader_agrees_with_pydicom(tmp_path_factory, instance, undefined, implicit):
    instance["ReferencedStudySequence"].is_undefined_length = undefined
    data = encode(instance, implicit, True)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    folder = tmp_path_factory.mktemp("agrees")
    assert read_identity(data, syntax) == identity_in_file(folder, data, syntax)


@pytest.mark.parametrize("depth", [300, 20_000])
def test_sequences_nested_without_end_are_passed_over(depth):
    opening = b"\x08\0\x11\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    uids = [(0x0016, CTImageStorage), (0x0018, "1.9")]
    head = b"".join(element(0x0008, number, uid) for number, uid in uids)
    tail = element(0x0020, 0x000D, "1.2") + element(0x0020, 0x000E, "1.3")
    data = head + opening * depth + closing * depth + tail + element(0x0020, 0x0010, "1" * 12)
    expected = Identity("1.2", "1.3", "1.9", CTImageStorage)
    assert read_identity(data, ExplicitVRLittleEndian) == expected


def element(group, number, uid):
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return struct.pack("<HH2sH", group, number, b"UI", len(value)) + value


def deflated(data):
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def test_a_deflated_dataset_may_be_large_but_not_a_bomb(tmp_path):
    path = tmp_path / "deflated"
    path.write_bytes(deflated(bytes(60_000_000)))  # blank, but no more than a large image
    require_bounded_inflation(str(path), 0)
    path.write_bytes(deflated(bytes(70_000_000)))
    with pytest.raises(UnusableInstance, match="inflates beyond any use"):
        require_bounded_inflation(str(path), 0)
    path.write_bytes(b"no deflate")
    with pytest.raises(UnusableInstance, match="cannot be inflated"):
        require_bounded_inflation(str(path), 0)


def test_command_and_dataset_must_name_the_same_instance():
    require_same_instance(IDENTITY, CTImageStorage, "1.2.3.4.5")
    with pytest.raises(MismatchedInstance):
        require_same_instance(IDENTITY, CTImageStorage, "1.2.3.4.6")


def test_the_file_meta_says_how_it_is_encoded_and_who_sent_it(tmp_path, make_instance):
    dataset = encode(make_instance(SOPInstanceUID="1.2.3.4.5"), False, True)
    path = tmp_path / "a.dcm"
    path.write_bytes(META + dataset)
    meta = pydicom.dcmread(path).file_meta
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.4.5"
    assert meta.SourceApplicationEntityTitle == "PACS1"
    assert meta.SendingApplicationEntityTitle == "PACS1"
    assert meta.ReceivingApplicationEntityTitle == "SAFELIGHT"
    assert (META + dataset)[dataset_offset(META + dataset) :] == dataset


def test_the_header_has_origin_and_plain_values_but_nothing_binary(tmp_path, make_instance):
    instance = make_instance(SOPInstanceUID="1.2.3.4.5", ImageType=["ORIGINAL", "PRIMARY"])
    path = tmp_path / "a.dcm"
    path.write_bytes(META + encode(instance, False, True))
    header = read_header(path)
    assert header.identity == IDENTITY
    assert header.origin == ORIGIN
    assert header.text("ImageType") == "ORIGINAL\\PRIMARY"
    assert header.values["Rows"] == (8.0,)
    assert header.number("InstanceNumber") == 1
    assert header.number("SeriesNumber") is None
    assert "PixelData" not in header.values


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_truncated.dcm", "rtplan.dcm", "badVR.dcm"])
def test_real_headers_are_read_even_where_values_are_bad(name):
    header = read_header(Path(get_testdata_file(name)))
    assert header.identity.SOPInstanceUID
    assert header.text("Modality")


@pytest.mark.parametrize("content", [b"", b"not DICOM at all", b"\0" * 128 + b"DICM"])
def test_a_file_that_is_not_part_10_is_an_error_without_its_content(tmp_path, content):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    with pytest.raises(UnreadableInstance) as caught:
        read_header(path)
    assert "DICOM at all" not in str(caught.value)
