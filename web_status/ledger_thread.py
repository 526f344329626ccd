"""Asks the ledger off the event loop: one thread with one read-only connection."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from ledger.errors import LedgerLocked, NewerSchema, OlderSchema, UnreadableLedger
from ledger.reader import LedgerReader
from web_status.errors import LedgerUnavailable

_Answer = TypeVar("_Answer")
_UNAVAILABLE = (sqlite3.Error, LedgerLocked, NewerSchema, OlderSchema, UnreadableLedger)


class LedgerThread:
    """The page's way to the ledger.

    Parameters
    ----------
    path
        The SQLite file. It is opened at the first question after it exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: LedgerReader | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-reader")

    async def ask(self, question: Callable[[LedgerReader], _Answer]) -> _Answer:
        """Let `question` use the reader in its thread, and return what it found.

        Raises
        ------
        NoLedger
            There is no ledger yet.
        LedgerUnavailable
            SQLite cannot read it; the next question opens it anew.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, question)

    def _ask(self, question: Callable[[LedgerReader], _Answer]) -> _Answer:
        try:
            if self._reader is None:
                self._reader = LedgerReader(self._path)
            return question(self._reader)
        except _UNAVAILABLE as error:
            self._forget()
            raise LedgerUnavailable(f"{type(error).__name__} while reading the ledger") from error

    def _forget(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._forget)
        self._thread.shutdown()


LEDGER = web.AppKey("ledger", LedgerThread)
