"""Finds the Part 10 files that can be sent, and what each needs of an association."""

from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

_NEEDED = ("SOPClassUID", "SOPInstanceUID")
_TOLD = ("StudyInstanceUID", "PatientID")


@dataclass(frozen=True)
class DicomFile:
    """A Part 10 file and the presentation context it needs.

    `is_consistent` tells whether its file meta names the same instance as its dataset; where it
    does not, as after a careless de-identification, the dataset is what counts. Study and patient
    are for the audit trail.
    """

    path: Path
    SOPClassUID: str
    TransferSyntaxUID: str
    is_consistent: bool = True
    SOPInstanceUID: str = ""
    StudyInstanceUID: str = ""
    PatientID: str = field(default="", repr=False)

    @property
    def context(self) -> tuple[str, str]:
        """SOP class and transfer syntax."""
        return self.SOPClassUID, self.TransferSyntaxUID


def dicom_files(path: Path) -> tuple[tuple[DicomFile, ...], int]:
    """The Part 10 files at or below `path` that can be sent.

    Returns
    -------
    files : tuple of DicomFile
        In the order of their names.
    skipped : int
        Files left out: not Part 10, without transfer syntax or SOP class, or a DICOMDIR.
    """
    paths = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    read = [read_file(one) for one in paths]
    files = tuple(file for file in read if file is not None)
    return files, len(read) - len(files)


def read_file(path: Path) -> DicomFile | None:
    """What is needed to send a file; None where it cannot be sent."""
    try:
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=[*_NEEDED, *_TOLD])
        meta = dataset.file_meta
        named = (str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
        syntax = str(meta.TransferSyntaxUID)
    except (InvalidDicomError, EOFError, AttributeError):
        return None
    in_meta = (meta.get("MediaStorageSOPClassUID"), meta.get("MediaStorageSOPInstanceUID"))
    told = (str(dataset.get(keyword) or "") for keyword in _TOLD)
    file = DicomFile(path, named[0], syntax, named == in_meta, named[1], *told)
    return None if file.SOPClassUID == MediaStorageDirectoryStorage else file
