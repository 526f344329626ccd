"""An instance on its way into the spool: a temporary file, until it is whole and durable."""

import contextlib
import errno
import os
from collections.abc import Sequence

from listener.errors import SpoolUnavailable
from listener.identity import Identity
from listener.spool import Spool, StoreOutcome

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Incoming:
    """An instance on its way into the spool.

    Parameters
    ----------
    spool
        Where it goes.
    file_meta
        Preamble and file meta information, written first.
    """

    def __init__(self, spool: Spool, file_meta: bytes) -> None:
        self._spool = spool
        self.temporary = spool.temporary_name()
        self._file_meta = file_meta
        self._descriptor: int | None = None

    @property
    def offset(self) -> int:
        """Where the dataset begins in the file."""
        return len(self._file_meta)

    def write(self, pieces: list[memoryview]) -> None:
        """Append pieces of the dataset.

        Raises
        ------
        SpoolUnavailable
            The disk is full or failing; the temporary file is gone.
        """
        try:
            if self._descriptor is None:
                self._spool.require_space(sum(map(len, pieces)))
                self._descriptor = os.open(self.temporary, _CREATE, 0o666)
                pieces = [memoryview(self._file_meta), *pieces]
            _write_all(self._descriptor, pieces)
        except OSError as error:
            self.discard()
            raise _unavailable(error) from error

    def keep(self, identity: Identity) -> StoreOutcome:
        """Make the instance durable under its final name.

        Returns
        -------
        StoreOutcome
            ``kept``: it is in its series. ``duplicate``: the same bytes were there already.
            ``quarantined``: other bytes were there under this UID; the first stay, these are
            kept apart. All three may be acknowledged.

        Raises
        ------
        SpoolUnavailable
            The disk is full or failing; nothing partial remains.
        """
        try:
            self._seal()
            return self._spool.place(self.temporary, identity, self.offset)
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the temporary file; the instance is in its place, or was never here."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(self.temporary)  # noqa: PTH108

    def _seal(self) -> None:
        if self._descriptor is None:
            raise OSError(errno.ENODATA, "nothing was written")
        self._spool.sync_file(self._descriptor)


def _unavailable(error: OSError) -> SpoolUnavailable:
    if isinstance(error, SpoolUnavailable):
        return error
    return SpoolUnavailable(error.errno, os.strerror(error.errno or 0))


def _write_all(descriptor: int, pieces: Sequence[memoryview]) -> None:
    """Write all pieces, of which the kernel may take only a part at a time."""
    written = os.writev(descriptor, pieces)
    for piece in pieces:
        if written >= len(piece):
            written -= len(piece)
            continue
        rest = piece[written:]
        written = 0
        while rest:
            rest = rest[os.write(descriptor, rest) :]
