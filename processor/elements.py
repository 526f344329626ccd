"""The headers of plain Part 10 files, read several times as fast as pydicom does.

Plain is little endian with no element of undefined length at the top level, as most files are. Of
any other, and wherever there is doubt, nothing is said: pydicom reads it. Values stay undecoded, as
pydicom leaves them. What the files of a series have in common is found to be so by comparing bytes,
and takes time and room once: `processor.alike`.
"""

import os
from pathlib import Path

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from listener.part10 import dataset_offset
from processor.alike import VRS, Alike, BeyondBeginning, Elements, Known, Piece
from processor.headers import tag_of, text, values

_META_OFFSET = 132
_BEGINNING_BYTES = 1 << 14
_OF_THE_INSTANCE = frozenset({tag_of(0x00020000), tag_of(0x00020003)})


class PlainReader:
    """Reads the headers of files that are likely to be alike: those of a series."""

    def __init__(self) -> None:
        known: Known = {}
        self._meta = Alike(known, implicit=False)
        self._datasets: dict[str, Alike] = {
            syntax: Alike(known, implicit=syntax == ImplicitVRLittleEndian)
            for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
        }
        self._metas: dict[tuple[object, ...], FileMetaDataset] = {}

    def header(self, path: Path) -> Dataset | None:
        """The dataset as `pydicom.dcmread` would give it; None where the file is not plain.

        Its `file_meta` is that of all files with the same one, without the elements that are of the
        instance: MediaStorageSOPInstanceUID and the length.

        Raises
        ------
        OSError
            The file cannot be read.
        Exception
            What pydicom raises on character sets that do not exist.
        """
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                return self._header(Piece(file.fileno(), size, _BEGINNING_BYTES))
            except BeyondBeginning:
                return self._header(Piece(file.fileno(), size, size))

    def _header(self, piece: Piece) -> Dataset | None:
        start = dataset_offset(piece.contents[:144])
        begins = 0 < start <= len(piece.contents)
        meta = self._meta.read(piece, _META_OFFSET, start) if begins else None
        if not meta or any(tag.group != 2 for tag in meta):
            return None
        file_meta = self._file_meta(meta)
        syntax = text(file_meta, "TransferSyntaxUID")
        if syntax not in self._datasets:
            return None
        if syntax == ImplicitVRLittleEndian and piece.contents[start + 4 : start + 6] in VRS:
            return None  # misnamed
        elements = self._datasets[syntax].read(piece, start, piece.size)
        if not elements:
            return None
        header = Dataset(elements)
        header.file_meta = file_meta
        header.set_original_encoding(syntax == ImplicitVRLittleEndian, True, _encodings(header))
        return header

    def _file_meta(self, meta: Elements) -> FileMetaDataset:
        shared = {tag: item for tag, item in meta.items() if tag not in _OF_THE_INSTANCE}
        key = tuple((tag, item.VR, item.value) for tag, item in shared.items())
        known = self._metas.get(key)
        if known is None:
            known = FileMetaDataset(shared)
            known.set_original_encoding(False, True, default_encoding)
            self._metas[key] = known
        return known


def _encodings(header: Dataset) -> str | list[str]:
    if "SpecificCharacterSet" not in header:
        return default_encoding
    return convert_encodings(list(values(header, "SpecificCharacterSet")))
