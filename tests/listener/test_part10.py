"""Part 10 files: file meta, identity and header. Pixel data and the network are not covered."""

import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
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
from listener.part10 import (
    Identity,
    Origin,
    dataset_offset,
    encode_file_meta,
    read_header,
    read_identity,
    require_same_instance,
    require_uid,
)

IDENTITY = Identity("1.2.3", "1.2.3.4", "1.2.3.4.5", CTImageStorage)
ORIGIN = Origin("PACS1", "SAFELIGHT", "0123456789abcdef")


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000Lossless],
)
def test_the_identity_is_read_in_every_encoding(make_instance, syntax):
    instance = make_instance(SOPInstanceUID="1.9")
    data = encode(instance, syntax.is_implicit_VR, syntax.is_little_endian)
    assert read_identity(data, syntax) == Identity("1.2.3", "1.2.3.4", "1.9", CTImageStorage)


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


@given(st.binary(max_size=300))
def test_bytes_that_are_no_dataset_are_refused_and_nothing_else_happens(data):
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        with pytest.raises(UnusableInstance):
            read_identity(data, syntax)


def test_command_and_dataset_must_name_the_same_instance():
    require_same_instance(IDENTITY, CTImageStorage, "1.2.3.4.5")
    with pytest.raises(MismatchedInstance):
        require_same_instance(IDENTITY, CTImageStorage, "1.2.3.4.6")


def test_the_file_meta_says_how_it_is_encoded_and_who_sent_it(tmp_path, make_instance):
    dataset = encode(make_instance(SOPInstanceUID="1.2.3.4.5"), False, True)
    path = tmp_path / "a.dcm"
    path.write_bytes(encode_file_meta(IDENTITY, ExplicitVRLittleEndian, ORIGIN) + dataset)
    meta = pydicom.dcmread(path).file_meta
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.4.5"
    assert meta.SourceApplicationEntityTitle == "PACS1"
    assert meta.SendingApplicationEntityTitle == "PACS1"
    assert meta.ReceivingApplicationEntityTitle == "SAFELIGHT"
    with path.open("rb") as file:
        assert path.read_bytes()[dataset_offset(file) :] == dataset


def test_the_header_has_origin_and_plain_values_but_nothing_binary(tmp_path, make_instance):
    instance = make_instance(SOPInstanceUID="1.2.3.4.5", ImageType=["ORIGINAL", "PRIMARY"])
    path = tmp_path / "a.dcm"
    path.write_bytes(
        encode_file_meta(IDENTITY, ExplicitVRLittleEndian, ORIGIN) + encode(instance, False, True)
    )
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
