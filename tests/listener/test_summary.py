"""The fast summary says what pydicom says, of every file there is."""

import gzip
from pathlib import Path

import pydicom.data
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from listener import summary
from listener.errors import UnreadableInstance
from listener.header import read_header
from listener.part10 import silence_dicom_libraries
from listener.summary import SUMMARY_KEYWORDS, read_summary

silence_dicom_libraries()


def outcome(read, path):
    """What a reader makes of a file: its header, limited to the summary, or its refusal."""
    try:
        header = read(path)
    except UnreadableInstance as error:
        return str(error)
    values = {name: v for name, v in header.values.items() if name in SUMMARY_KEYWORDS}
    return header.identity, header.transfer_syntax_uid, header.origin, values


@pytest.fixture
def make_file(tmp_path, make_instance):
    """Function that writes a CT instance; keyword arguments replace elements."""

    def make(syntax=ExplicitVRLittleEndian, **elements):
        instance = make_instance(**elements)
        instance.file_meta = FileMetaDataset()
        instance.file_meta.TransferSyntaxUID = syntax
        path = tmp_path / "a.dcm"
        instance.save_as(path, enforce_file_format=True)
        return path

    return make


def bundled():
    folder = Path(pydicom.data.__file__).parent / "test_files"
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_summary_is_what_pydicom_reads_of_each_of_its_files():
    differing = [p.name for p in bundled() if outcome(read_summary, p) != outcome(read_header, p)]
    assert differing == []


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_summary_is_what_pydicom_reads_of_real_scans(test_data, tmp_path):
    checked, differing = 0, []
    for folder in sorted(path for path in test_data.rglob("*") if path.is_dir()):
        for path in sorted(folder.glob("*.dcm*"))[:2]:
            plain = path
            if path.suffix == ".gz":
                plain = tmp_path / path.stem
                plain.write_bytes(gzip.decompress(path.read_bytes()))
            checked += 1
            if outcome(read_summary, plain) != outcome(read_header, plain):
                differing.append(str(path))
    assert checked > 20
    assert differing == []


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_every_encoding_is_read(make_file, syntax):
    path = make_file(
        syntax,
        SpecificCharacterSet="ISO_IR 192",
        PatientName="M\u00fcller^J\u00f6rg",
        ImagePositionPatient=["-1.5", "2", "1e2"],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        RequestAttributesSequence=[Dataset()],
        NumberOfFrames=3,
    )
    header = read_summary(path)
    assert outcome(read_summary, path) == outcome(read_header, path)
    assert header.text("PatientName") == "M\u00fcller^J\u00f6rg"
    assert header.values["ImagePositionPatient"] == (-1.5, 2.0, 100.0)
    assert header.number("NumberOfFrames") == 3


def test_escape_sequences_are_left_to_pydicom(make_file):
    japanese = {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce",
    }
    path = make_file(**japanese)
    assert read_summary(path).text("PatientName") == japanese["PatientName"]
    assert outcome(read_summary, path) == outcome(read_header, path)


def test_an_ordinary_file_needs_no_pydicom(make_file, monkeypatch):
    path = make_file(SpecificCharacterSet="ISO_IR 100")
    expected = outcome(read_header, path)
    monkeypatch.delattr(summary, "read_header")
    assert outcome(read_summary, path) == expected


@pytest.mark.parametrize("cut", [3, 131, 140, 150, 300, 420])
def test_a_file_that_breaks_off_is_judged_as_pydicom_judges_it(make_file, cut):
    path = make_file()
    path.write_bytes(path.read_bytes()[:cut])
    assert outcome(read_summary, path) == outcome(read_header, path)
