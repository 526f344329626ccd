"""Finds the scans that pydicom and pydicom-data ship, for the demo. It sends nothing."""

from contextlib import suppress
from pathlib import Path

import pydicom

from listener.errors import UnreadableInstance
from listener.header import read_header
from query.files import DicomFile, dicom_files

# Kept by pydicom to test how it reads what is broken.
_DAMAGED = frozenset(
    {
        "JPEG2000-embedded-sequence-delimiter.dcm",
        "MR_truncated.dcm",
        "UN_sequence.dcm",
        "badVR.dcm",
        "bad_sequence.dcm",
        "emri_small_jpeg_2k_lossless_too_short.dcm",
        "rtplan_truncated.dcm",
    }
)


def sample_files() -> tuple[DicomFile, ...]:
    """One file for each SOP instance, without those that are damaged or lack their UIDs."""
    folders = [Path(pydicom.__file__).parent / "data" / "test_files", *_pydicom_data()]
    files = [file for folder in folders for file in dicom_files(folder)[0]]
    by_instance: dict[str, DicomFile] = {}
    for file in files:
        if file.path.name in _DAMAGED:
            continue
        with suppress(UnreadableInstance):
            by_instance.setdefault(read_header(file.path).identity.SOPInstanceUID, file)
    return tuple(by_instance.values())


def _pydicom_data() -> list[Path]:
    try:
        from data_store import DataStore  # noqa: PLC0415 - the package is optional
    except ImportError:
        return []
    return [DataStore().data_path]
