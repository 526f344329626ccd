"""Makes backups as the configuration says, in a thread of their own, and tells how they went."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ledger.errors import LedgerError
from listener.journal import now
from safelight.backup import make_backup
from safelight.backup_state import BackupState, ages_of, backups_in, leavings_in, note_backup
from safelight.config import Config
from safelight.errors import BackupFailed

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 60.0
_AGAIN_SECONDS = 3600.0  # after one that failed


class Backups:
    """Makes a backup whenever one is due; its methods never wait for one but at the end.

    Parameters
    ----------
    config
        The configuration in force.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._beside = ThreadPoolExecutor(1, "backups")
        self._stopped = threading.Event()
        self._running: Future[float] | None = None
        self._next_look = clock()

    def step(self) -> None:
        """Begin a backup where one is due."""
        folder = self._config.ledger.backup_folder
        if folder is None or self._clock() < self._next_look:
            return
        if self._running is None:
            self._running = self._beside.submit(self._make_if_due, folder)
        elif self._running.done():
            self._next_look = self._clock() + self._running.result()
            self._running = None

    def stop(self) -> None:
        """Give up the one that is being made."""
        self._stopped.set()
        self._beside.shutdown(cancel_futures=True)

    def _make_if_due(self, folder: Path) -> float:
        """Make one where it is due; return in how many seconds to look again."""
        try:
            if not _is_due(folder, self._config.ledger.backup_hours):
                return _LOOK_SECONDS
            folder.mkdir(parents=True, exist_ok=True)
            made = make_backup(self._config, folder, self._stopped.is_set)
            self._prune(folder)
        except (BackupFailed, LedgerError, OSError) as error:
            if not self._stopped.is_set():
                told = getattr(error, "strerror", None) or str(error)
                logger.error("backup: %s; tried again in an hour", told)  # noqa: TRY400 - said
                note_backup(self._config, BackupState(now(), problem=told))
            return _AGAIN_SECONDS
        logger.info("backup: %s, %d bytes", made.name, made.stat().st_size)
        note_backup(self._config, BackupState(now(), made.name))
        return _LOOK_SECONDS

    def _prune(self, folder: Path) -> None:
        """Remove the earliest of our backups but for as many as are to be kept, and leavings."""
        earliest = backups_in(folder)[: -self._config.ledger.backup_keep]
        for path in (*earliest, *leavings_in(folder)):
            path.unlink()


def _is_due(folder: Path, hours: float) -> bool:
    return min(ages_of(folder), default=hours) >= hours
