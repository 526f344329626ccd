"""The files of the audit trail: lines of JSON that are only ever appended, each sealing the last.

A line has its number and the SHA-256 of the line before it, so that a line that was altered or
taken out shows. The file ``audit.log`` is renamed once it is large; no file is ever shortened.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from listener.durable import sync_folder
from web_status.private_files import open_private

AUDIT_NAME = "audit.log"
_ENDED = "audit-*.log"
_BYTES_MAX = 1 << 26
_TAIL_BYTES = 1 << 14
_FIRST = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class AuditLine:
    """One line.

    Attributes
    ----------
    number
        Its place in the trail, from 1; 0 for what was written before lines had numbers, and for
        what a full disk cut short.
    record
        What it says; empty where it cannot be read.
    raw
        Its bytes, without the end of the line.
    """

    number: int
    record: Mapping[str, Any]
    raw: bytes

    @classmethod
    def of(cls, raw: bytes) -> "AuditLine":
        """Read a line."""
        try:
            record = json.loads(raw)
            return cls(int(record.get("number", 0)), record, raw)
        except (ValueError, AttributeError, TypeError):
            return cls(0, {}, raw)

    @property
    def seal(self) -> str:
        """What the next line says of this one."""
        return hashlib.sha256(self.raw).hexdigest()


def is_audit_name(name: str) -> bool:
    """Whether a file of the trail may have this name."""
    return name == AUDIT_NAME or re.fullmatch(r"audit-\d{12}\.log", name) is not None


class AuditFiles:
    """The audit trail in the folder `data`. Several processes may append to it.

    Parameters
    ----------
    data
        The data folder.
    bytes_max
        A file larger than this is ended, and the next one begun.
    """

    def __init__(self, data: Path, bytes_max: int = _BYTES_MAX) -> None:
        self._data = data
        self._bytes_max = bytes_max
        self._path = data / AUDIT_NAME

    def paths(self) -> list[Path]:
        """The files, the oldest first."""
        return [*sorted(self._data.glob(_ENDED)), *filter(Path.is_file, [self._path])]

    def append(self, record: Mapping[str, Any]) -> None:
        """Have a line on disk when this returns.

        Raises
        ------
        OSError
            It cannot be written; what of it was is left, and is sealed like any line.
        """
        with self._locked() as descriptor:
            is_new = os.fstat(descriptor).st_size == 0
            number, last = self._latest(descriptor)
            line = {**record, "number": number + 1, "previous": last.seal if last else _FIRST}
            begin = b"" if is_new or _ends_in_newline(descriptor) else b"\n"
            content = begin + json.dumps(line).encode() + b"\n"
            if os.write(descriptor, content) < len(content):
                raise OSError(None, "the disk is full")
            os.fsync(descriptor)
            if is_new:
                sync_folder(self._data)

    def lines(self, path: Path, marked: bytes = b"") -> Iterator[AuditLine]:
        """The lines of one of the files that hold `marked`."""
        with path.open("rb") as file:
            for raw in file:
                if marked in raw and (whole := raw.removesuffix(b"\n")):
                    yield AuditLine.of(whole)

    def holding(self, number: int) -> Path | None:
        """The file that has the line of this number, or will have; None before there is one."""
        ended = (path for path in sorted(self._data.glob(_ENDED)) if _last_number(path) >= number)
        return next(ended, self._path if self._path.is_file() else None)

    def is_current(self, descriptor: int) -> bool:
        """Whether this is still the file that is appended to: any process may have ended it."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        return False

    def _latest(self, descriptor: int) -> tuple[int, AuditLine | None]:
        """The latest number, and the line before the next; of the file before in a new one."""
        found = _tail(descriptor)
        ended = sorted(self._data.glob(_ENDED))
        if not found[1] and ended:
            with ended[-1].open("rb") as file:
                found = _tail(file.fileno())
        return found

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file that is appended to, for us alone; a large one is ended first."""
        while True:
            descriptor = open_private(self._path, os.O_RDWR | os.O_APPEND)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self.is_current(descriptor) and not self._end(descriptor):
                    yield descriptor
                    return
            finally:
                os.close(descriptor)

    def _end(self, descriptor: int) -> bool:
        """Rename a large file by its last number; where that is forbidden, it goes on growing."""
        if os.fstat(descriptor).st_size < self._bytes_max:
            return False
        number, _ = _tail(descriptor)
        with suppress(PermissionError):  # chattr +a
            self._path.rename(self._data / f"audit-{number:012d}.log")
            sync_folder(self._data)
            return True
        return False


def _tail(descriptor: int) -> tuple[int, AuditLine | None]:
    """The latest number of a file, and its last line, however that ends."""
    size, length = os.fstat(descriptor).st_size, _TAIL_BYTES
    while True:
        start = max(0, size - length)
        lines = os.pread(descriptor, size - start, start).removesuffix(b"\n").split(b"\n")
        whole = [AuditLine.of(raw) for raw in (lines[1:] if start else lines) if raw]
        number = next((line.number for line in reversed(whole) if line.number), 0)
        if number or not start:
            return number, whole[-1] if whole else None
        length *= 4


def _last_number(path: Path) -> int:
    """The number of the last line of a file that has ended, which its name tells."""
    digits = path.stem.removeprefix("audit-")
    return int(digits) if digits.isdecimal() else 0


def _ends_in_newline(descriptor: int) -> bool:
    return os.pread(descriptor, 1, os.fstat(descriptor).st_size - 1) == b"\n"


class AuditFollower:
    """Reads the numbered lines after a number, from file to file, each once.

    Parameters
    ----------
    files
        The trail.
    after
        The number of the last line that is known.
    """

    def __init__(self, files: AuditFiles, after: int) -> None:
        self._files = files
        self._after = after
        self._file: BinaryIO | None = None

    def read(self, most: int) -> list[AuditLine]:
        """Up to `most` further lines; none where there are none yet."""
        found: list[AuditLine] = []
        while len(found) < most and (raw := self._next()) is not None:
            line = AuditLine.of(raw)
            if line.number > self._after:
                self._after = line.number
                found.append(line)
        return found

    def close(self) -> None:
        """Close the file that is read."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self) -> bytes | None:
        """The next whole line of this file, or of the one after it."""
        while True:
            if self._file is None and (path := self._files.holding(self._after + 1)) is not None:
                self._file = path.open("rb")
            if self._file is None:
                return None
            is_last = self._files.is_current(self._file.fileno())  # before we see its end
            begin = self._file.tell()
            raw = self._file.readline()
            if raw.endswith(b"\n"):
                return raw[:-1]
            self._file.seek(begin)
            if is_last:
                return None
            self.close()
