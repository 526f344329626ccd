"""Copies the ledger while others write to it: whole, checked and durable, or not at all."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ledger.errors import CopyFailed, UnreadableLedger
from listener.durable import give_to_owner_of_folder, sync_folder

_STEPS = 100_000  # of SQLite's machine, some milliseconds, between two questions whether to stop


def go_on() -> bool:
    """Not to stop."""
    return False


def copy_ledger(
    connection: sqlite3.Connection, target: Path, stopped: Callable[[], bool] = go_on
) -> None:
    """Copy what a connection sees at this moment to a file of its own.

    Writers are not held up: it is one read transaction (WAL).

    Parameters
    ----------
    connection
        The ledger, for reading or for writing, with no transaction open.
    target
        What is there is replaced.
    stopped
        Asked now and then; once it is true, the copy is given up.

    Raises
    ------
    CopyFailed
        It cannot be written, or was given up.
    UnreadableLedger
        The ledger is damaged.
    """
    temporary = target.with_name(f"{target.name}.part")  # one that a kill left is replaced
    try:
        temporary.unlink(missing_ok=True)
        _copy(connection, temporary, stopped)
        require_sound(temporary, stopped)
        give_to_owner_of_folder(temporary)
        _sync(temporary)
        temporary.replace(target)
    except OSError as error:
        raise CopyFailed(f"no copy of the ledger in {target.parent}: {error.strerror}") from error
    finally:
        for suffix in ("", "-journal"):
            Path(f"{temporary}{suffix}").unlink(missing_ok=True)
    sync_folder(target.parent)


def _copy(connection: sqlite3.Connection, temporary: Path, stopped: Callable[[], bool]) -> None:
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection.set_progress_handler(lambda: int(stopped()), _STEPS)
    try:
        connection.execute("VACUUM INTO ?", [str(temporary)])
    except sqlite3.OperationalError as error:
        raise CopyFailed(f"no copy of the ledger in {temporary.parent}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise UnreadableLedger(f"the ledger cannot be copied, it is damaged: {error}") from error
    finally:
        connection.set_progress_handler(None, 0)


def require_sound(path: Path, stopped: Callable[[], bool] = go_on) -> None:
    """Raise where a file that nobody writes to is no whole SQLite database.

    Its indexes are compared with their tables too.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.set_progress_handler(lambda: int(stopped()), _STEPS)
        try:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            raise CopyFailed(f"{path.name} was not checked: {error}") from error
        except sqlite3.DatabaseError as error:
            raise UnreadableLedger(f"{path.name} is no whole ledger: {error}") from error
    if found != "ok":
        raise UnreadableLedger(f"{path.name} is no whole ledger: its pages are damaged")


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
