"""Finds the Part 10 files that can be sent, and what each needs of an association."""

from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage


@dataclass(frozen=True)
class DicomFile:
    """A Part 10 file and the presentation context it needs.

    `is_consistent` tells whether its file meta names the same instance as its dataset; where it
    does not, as after a careless de-identification, the dataset is what counts.
    """

    path: Path
    SOPClassUID: str
    TransferSyntaxUID: str
    is_consistent: bool = True
    SOPInstanceUID: str = ""

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
        dataset = dcmread(
            path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"]
        )
        meta = dataset.file_meta
        named = (str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
        syntax = str(meta.TransferSyntaxUID)
    except (InvalidDicomError, EOFError, AttributeError):
        return None
    in_meta = (meta.get("MediaStorageSOPClassUID"), meta.get("MediaStorageSOPInstanceUID"))
    file = DicomFile(path, named[0], syntax, named == in_meta, named[1])
    return None if file.SOPClassUID == MediaStorageDirectoryStorage else file
