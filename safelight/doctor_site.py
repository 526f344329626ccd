"""The site that ``safelight doctor`` examines: its configuration, its daemon, and whose it is."""

import os
import pwd
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil

from ledger.errors import LedgerError
from ledger.reader import LedgerReader
from safelight.config import Config
from safelight.data_lock import running_pid


@dataclass(frozen=True)
class Site:
    """What is examined.

    Attributes
    ----------
    config, file
        The configuration, and where it was read from.
    """

    config: Config
    file: Path | None = None

    @cached_property
    def daemon(self) -> int | None:
        """The process number of the daemon of the data folder; None where none runs."""
        with suppress(PermissionError):
            return running_pid(self.config.storage.data)
        return None

    @cached_property
    def user(self) -> int:
        """Whose the folders must be: the daemon's user, else who owns the data, else ours."""
        with suppress(psutil.Error):
            if self.daemon is not None:
                return int(psutil.Process(self.daemon).uids().effective)
        with suppress(OSError):
            return self.config.storage.data.stat().st_uid
        return os.geteuid()

    @property
    def user_name(self) -> str:
        """What that user is called."""
        try:
            return pwd.getpwuid(self.user).pw_name
        except KeyError:
            return str(self.user)

    @contextmanager
    def as_user(self) -> Iterator[None]:
        """Do what follows as that user, where we are root: root may do what the daemon may not."""
        try:
            entry = pwd.getpwuid(self.user)
        except KeyError:
            entry = None
        if os.geteuid() != 0 or entry is None or self.user == 0:
            yield
            return
        gid, groups = os.getegid(), os.getgroups()
        os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
        os.setegid(entry.pw_gid)
        os.seteuid(self.user)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(gid)
            os.setgroups(groups)

    @contextmanager
    def ledger(self) -> Iterator[LedgerReader | None]:
        """The ledger; None where it cannot be read, which is a finding of its own."""
        try:
            with self.as_user():
                reader = LedgerReader(self.config.storage.ledger)
        except (LedgerError, sqlite3.Error, OSError):
            yield None
            return
        try:
            yield reader
        finally:
            reader.close()
