"""Errors of the wiring, and how any error is told at the end of a process."""

import errno
import os
import traceback
from collections.abc import Mapping
from pathlib import Path

from ledger.errors import LedgerError
from listener.errors import ListenerError
from processor.errors import ProcessorError
from query.errors import QueryError
from rules.errors import RulesError
from web_status.errors import WebError


class SafelightError(Exception):
    """Base of all errors of this package; its text is the message a person reads."""


class ConfigError(SafelightError, ValueError):
    """The configuration is wrong: the key is named, and what was expected."""


class PortInUse(SafelightError, OSError):
    """Another process listens where we should; the message says which, where that is known."""


class SpoolInUse(SafelightError, OSError):
    """Another Safelight works on this data folder."""


class ChildFailed(SafelightError):
    """A process of the daemon ended again and again."""


class ListError(SafelightError, ValueError):
    """A list of accession numbers cannot be used; file and row are named, never the value."""


class BackupFailed(SafelightError):
    """No backup was made; the message says why."""


class BadBackup(SafelightError, ValueError):
    """A file is no backup that can be restored; nothing was changed."""


class NotAnswered(SafelightError, TimeoutError):
    """The daemon has not done yet what a command asked of it."""


class NotDelivered(SafelightError):
    """A message was not taken; the text says by whom, why, and what to do about it.

    Parameters
    ----------
    told
        What a person is told.
    is_final
        Whether another try would end the same.
    """

    def __init__(self, told: str, *, is_final: bool = False) -> None:
        super().__init__(told)
        self.is_final = is_final


class SyslogUnavailable(SafelightError, OSError):
    """A syslog server did not take the audit trail; the message says why, and what to do."""


class RulesRefused(SafelightError, ValueError):
    """The daemon could not read its rules again; the message says why."""


_OURS = (
    *(SafelightError, RulesError, LedgerError, QueryError, ListenerError, ProcessorError),
    WebError,
)


_REMEDIES: Mapping[int, str] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), ": free some space, or write elsewhere"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), ": who runs this may not read or write there"
    ),
}


def in_one_line(error: BaseException) -> str:
    """What a person is told of an error.

    Our own messages are told as they are, and the machine's without the file, whose name may be a
    patient's. Of any other error only its kind and place are: a library may have put a patient's
    data into its message.
    """
    if isinstance(error, _OURS):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"at {Path(place.filename).name}:{place.lineno}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)} ({where}){_REMEDIES.get(error.errno, '')}"
    return f"unexpected {type(error).__name__} {where}"
