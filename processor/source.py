"""The source of a job: a series' spool files, each read once and each frame decoded once.

It does not judge: what cannot be read is a finding that the processors report.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from listener.identity import PARSE_ERRORS
from listener.part10 import Part10File
from processor.decoding import decode_frame
from processor.elements import PlainReader
from processor.errors import PixelDataError
from processor.headers import integer, number, sop_class_name, text

_T = TypeVar("_T")

_SIZES = ("Rows", "Columns", "SamplesPerPixel")
_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

_SMALL_FILE_BYTES = 1 << 24  # a larger one is not to be in memory twice

_NATIVE = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    }
)

# Decoder plug-ins also raise this, and Pillow an OSError without errno.
_UNDECODABLE = (*PARSE_ERRORS, RuntimeError)


@dataclass(frozen=True)
class Finding:
    """A file that could not be read at all."""

    name: str
    reason: str


class _Remembering:
    """Keeps what others work out of it, which several steps of a job ask for."""

    def __init__(self) -> None:
        self._results: dict[Any, Any] = {}

    def once(self, work: Callable[[Self], _T]) -> _T:
        """The result of a function on this object, which is called the first time only."""
        if work not in self._results:
            self._results[work] = work(self)
        result: _T = self._results[work]
        return result


class Instance(_Remembering):
    """One instance: its header, and its frames decoded when first asked for.

    Parameters
    ----------
    path : Path
        The spool file.
    header : Dataset
        The whole dataset. The encoded pixel data are dropped once every frame is decoded.
    cut_off : bool
        The file ends within an element; where that is the encapsulated pixel data, they are
        not in `header`.
    """

    def __init__(self, path: Path, header: Dataset, *, cut_off: bool = False) -> None:
        super().__init__()
        self.path = path
        self.header = header
        self.uid = text(header, "SOPInstanceUID") or path.stem
        self.number = integer(header, "InstanceNumber", -1)
        self.frame_count = max(1, integer(header, "NumberOfFrames", 1))
        self.has_pixels = cut_off or any(keyword in header for keyword in _PIXEL_KEYWORDS)
        self.is_cut_off = cut_off
        self._frames: dict[int, NDArray[Any] | PixelDataError] = {}

    @property
    def transfer_syntax(self) -> str:
        """The name of the transfer syntax the instance arrived in."""
        uid = self._transfer_syntax_uid
        return str(UID(uid).name) if uid else "unnamed transfer syntax"

    @property
    def _transfer_syntax_uid(self) -> str:
        meta = getattr(self.header, "file_meta", None)
        return text(meta, "TransferSyntaxUID") if meta is not None else ""

    def frame(self, index: int = 0) -> NDArray[Any]:
        """One frame of stored values.

        Returns
        -------
        ndarray, shape (rows, columns) or (rows, columns, 3)
            Stored values before rescale and windowing, read-only; colour is RGB unless it is
            PALETTE COLOR.

        Raises
        ------
        PixelDataError
            No pixel data, truncated pixel data, or no decoder could read them.
        """
        if index not in self._frames:
            self._frames[index] = self._decoded(index)
            self._drop_encoded()
        frame = self._frames[index]
        if isinstance(frame, PixelDataError):
            raise frame
        return frame

    def _decoded(self, index: int) -> NDArray[Any] | PixelDataError:
        problem = self._problem()
        if problem:
            return problem
        try:
            return decode_frame(self.header, self._transfer_syntax_uid, index)
        except OSError as error:
            if error.errno is not None:
                raise
            return self._undecodable(error)
        except _UNDECODABLE as error:
            return self._undecodable(error)

    def _undecodable(self, error: Exception) -> PixelDataError:
        return PixelDataError(
            f"cannot decode {self.transfer_syntax} ({type(error).__name__}) in instance {self.uid}"
        )

    def _problem(self) -> PixelDataError | None:
        """Why no frame can be decoded, as far as the header and the length tell."""
        if not self.has_pixels:
            cut = integer(self.header, "Rows") > 0
            reason = (
                "pixel data missing" if cut else f"no pixel data ({sop_class_name(self.header)})"
            )
            return PixelDataError(f"{reason} in instance {self.uid}", absent=True)
        if self.is_cut_off and "PixelData" not in self.header:
            return PixelDataError(f"pixel data truncated in instance {self.uid}")
        expected = self._expected_bytes()
        if expected is None:
            return PixelDataError(f"incomplete image description in instance {self.uid}")
        found = len(self.header.get("PixelData", b"") or b"")
        if self._transfer_syntax_uid in _NATIVE and "PixelData" in self.header and found < expected:
            return PixelDataError(
                f"pixel data truncated: {found} of {expected} bytes in instance {self.uid}"
            )
        if self.is_cut_off:
            return PixelDataError(f"the file ends within an element in instance {self.uid}")
        return None

    def _expected_bytes(self) -> int | None:
        """The length of native pixel data, None when the header does not tell."""
        if "NumberOfFrames" in self.header and number(self.header, "NumberOfFrames") is None:
            return None
        sizes = [integer(self.header, keyword) for keyword in _SIZES]
        bits = integer(self.header, "BitsAllocated")
        subsampled = text(self.header, "PhotometricInterpretation").endswith("422")
        if min(sizes) > 0 and bits > 0 and bits % 8 == 0 and not subsampled:
            return math.prod(sizes) * self.frame_count * bits // 8
        try:
            return get_expected_length(self.header)
        except PARSE_ERRORS:
            return None

    def _drop_encoded(self) -> None:
        if len(self._frames) == self.frame_count and "PixelData" in self.header:
            del self.header["PixelData"]


class SeriesSource(_Remembering):
    """A series' files, read when first needed and then kept.

    Parameters
    ----------
    files : sequence of Path
        Part 10 files, in any order.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        super().__init__()
        self._files = tuple(sorted(files, key=os.fspath))
        self._read: list[Instance | Finding] = []
        self._reader = PlainReader()

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """The readable instances by InstanceNumber, then by UID."""
        found = [item for item in self._all() if isinstance(item, Instance)]
        self._reader = PlainReader()  # all files are read: what they have in common is with them
        return tuple(sorted(found, key=lambda instance: (instance.number, instance.uid)))

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The files that could not be read."""
        return tuple(item for item in self._all() if isinstance(item, Finding))

    @property
    def file_count(self) -> int:
        """How many files the job was given."""
        return len(self._files)

    def first_header(self) -> Dataset:
        """The header of the first readable file, an empty one when there is none."""
        for item in self._all():
            if isinstance(item, Instance):
                return item.header
        return Dataset()

    def _all(self) -> Iterator[Instance | Finding]:
        for at, path in enumerate(self._files):
            if at == len(self._read):
                self._read.append(self._instance(path))
            yield self._read[at]

    def _instance(self, path: Path) -> Instance | Finding:
        return read_instance(path, self._reader)


class HeaderSource(SeriesSource):
    """A series' headers only: what comes after them, the pixels, is not read."""

    def _instance(self, path: Path) -> Instance | Finding:
        return _checked(path, lambda: Instance(path, dcmread(path, stop_before_pixels=True)))


def read_instance(path: Path, reader: PlainReader | None = None) -> Instance | Finding:
    """One file as an instance, or the finding why it is none.

    Parameters
    ----------
    reader : PlainReader
        That of the series' other files.

    Raises
    ------
    OSError
        The machine failed to read (not: the file is missing, which is a finding).
    """
    plain = reader or PlainReader()
    return _checked(path, lambda: _plain_instance(path, plain) or _any_instance(path))


def _checked(path: Path, read: Callable[[], Instance | Finding]) -> Instance | Finding:
    try:
        return read()
    except FileNotFoundError:
        return Finding(path.name, "the file is missing")
    except InvalidDicomError:
        return Finding(path.name, "not a DICOM file")
    except PARSE_ERRORS as error:
        return Finding(path.name, f"cannot be read ({type(error).__name__})")


def _plain_instance(path: Path, reader: PlainReader) -> Instance | None:
    if path.stat().st_size > _SMALL_FILE_BYTES:
        return None
    header = reader.header(path)
    return None if header is None else Instance(path, header)


def _any_instance(path: Path) -> Instance | Finding:
    with Part10File(path) as file:
        header = dcmread(file)
    if len(header):
        return Instance(path, header, cut_off=file.is_cut_off)
    # pydicom gives up a whole dataset that ends within encapsulated pixel data.
    header = dcmread(path, stop_before_pixels=True)
    if len(header):
        return Instance(path, header, cut_off=True)
    return Finding(path.name, "the file ends within its header")
