"""Opens the ledger for the daemon, whatever state it is in: absent, damaged or locked."""

import logging
import threading
from collections.abc import Callable

from ledger.errors import LedgerLocked, UnreadableLedger
from ledger.rebuild import rebuild
from ledger.writer import LedgerWriter
from safelight.settings import StorageSettings

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
_BUSY_SECONDS = 5.0  # the supervisor hears from us well before it takes us for dead


def open_ledger(
    storage: StorageSettings, alive: Callable[[str], None], stop: threading.Event
) -> LedgerWriter | None:
    """Open the ledger; receivers store meanwhile, however long it takes.

    One that is absent although there is a spool, or that is damaged, is made again from the
    spool; a damaged one is kept beside it. One that another program has locked is waited for.

    Parameters
    ----------
    storage
        Where the ledger, the spool and the results are.
    alive
        Told what it waits for.
    stop
        Ends the wait.

    Returns
    -------
    LedgerWriter or None
        None where `stop` was set first.

    Raises
    ------
    NewerSchema
        A newer Safelight wrote it; it is left as it is.
    CopyFailed
        It is to be upgraded and no copy of it can be kept; it is left as it is.
    """
    while not stop.is_set():
        try:
            if not storage.ledger.exists() and any((storage.spool / "instances").glob("*")):
                _rebuild(storage, alive, "there is no ledger")
            return LedgerWriter(
                storage.ledger,
                busy_seconds=_BUSY_SECONDS,
                upgrading=lambda: alive("upgrading the ledger"),
            )
        except UnreadableLedger as error:
            _rebuild(storage, alive, str(error))
        except LedgerLocked as error:
            logger.warning("%s; waiting for it", error)
            alive("waiting: the ledger is locked by another program")
            stop.wait(_AGAIN_SECONDS)
    return None


def _rebuild(storage: StorageSettings, alive: Callable[[str], None], cause: str) -> None:
    logger.warning("%s; making it again from the spool", cause)
    rebuilt = rebuild(
        storage.ledger,
        storage.spool,
        storage.results,
        progress=lambda count: alive(f"making the ledger again: {count} instances"),
    )
    kept = "" if rebuilt.set_aside is None else f"; the earlier one is {rebuilt.set_aside.name}"
    logger.warning(
        "the ledger was made again: %d series, %d instances, %d jobs%s",
        *(rebuilt.series, rebuilt.instances, rebuilt.jobs, kept),
    )
