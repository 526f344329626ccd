"""Deletes what its rule keeps no longer, once what was made of it is published and intact.

One thing at a time: its outputs are compared with their manifest in a thread of their own, then
the deletion is recorded, then carried out. What a stop interrupts is carried out at the next
start. All methods belong to the thread that owns the ledger.
"""

import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledger.retention import Deletion, Due
from ledger.retention import Retention as Records
from listener.durable import sync_folder
from listener.spool import Spool
from processor.disguise import published_keys
from processor.errors import ProcessorError
from processor.publish import require_intact
from processor.report import REPORT_FILE
from processor.workbook import WORKBOOK_FILE
from rules.model import Rule
from safelight.settings import StorageSettings
from web_status.audit import AuditTrail
from web_status.audit_events import Deed

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 3600.0


@dataclass(frozen=True)
class _Check:
    """Something that is due, while its outputs are compared."""

    due: Due
    future: Future[None]


class Retention:
    """Keeps what rules say, for as long as they say.

    Parameters
    ----------
    storage, spool
        Where results and instances are.
    records
        What is due, and where deletions are recorded.
    key_file
        The site key, which outputs may be disguised by.
    trail
        Told what is gone.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        storage: StorageSettings,
        spool: Spool,
        records: Records,
        key_file: Path,
        *,
        trail: AuditTrail,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._key_file = key_file
        self._trail = trail
        self._spool = spool
        self._records = records
        self._clock = clock
        self._beside = ThreadPoolExecutor(1, "retention")
        self._due: deque[Due] = deque()
        self._check: _Check | None = None
        self._next_sweep = clock()

    def resume(self) -> None:
        """Carry out what an earlier run recorded; before the spool is watched."""
        for deletion in self._records.unfinished():
            self._carry_out(deletion)

    def stop(self) -> None:
        """Give up what is being compared: nothing was deleted for it."""
        self._beside.shutdown(cancel_futures=True)

    def step(self, rules: Sequence[Rule]) -> None:
        """Do the next thing there is to do, if any; it never takes long."""
        if self._check is not None:
            if self._check.future.done():
                self._delete(self._check)
                self._check = None
        elif self._due:
            due = self._due.popleft()
            self._check = _Check(due, self._beside.submit(self._require_intact, due))
        elif self._clock() >= self._next_sweep:
            self._next_sweep = self._clock() + _SWEEP_SECONDS
            self._due.extend(self._sweep(rules))

    def _sweep(self, rules: Sequence[Rule]) -> list[Due]:
        """All that is due: instances before results, which prove what was made of them."""
        now = datetime.now(UTC)
        instances = _ended_before(now, {r.name: r.keep.instances_days for r in rules if r.steps})
        results = _ended_before(now, {r.name: r.keep.results_days for r in rules if r.steps})
        return [*self._records.instances_due(instances), *self._records.results_due(results)]

    def _require_intact(self, due: Due) -> None:
        for one in due.published:
            keys = published_keys(one.key, self._key_file)
            require_intact(self._storage.results, Path(one.folder), keys)

    def _delete(self, check: _Check) -> None:
        error = check.future.exception()
        if isinstance(error, ProcessorError | OSError | ValueError):
            logger.error(
                "the %s of series %d are kept beyond their time: %s",
                check.due.what,
                check.due.series_id,
                error if isinstance(error, ProcessorError) else type(error).__name__,
            )
            return
        if error is not None:
            raise error
        deletion = self._records.begin(check.due)
        if deletion is not None:
            self._carry_out(deletion)

    def _carry_out(self, deletion: Deletion) -> None:
        try:
            self._records.note(deletion, self._storage.spool)
            if deletion.what == "instances":
                self._remove_instances(deletion)
            else:
                self._remove_results(deletion)
        except OSError as error:  # tried again at the next start; the ledger has it
            logger.error("deletion %d: %s", deletion.id, error.strerror)  # noqa: TRY400
            return
        self._trail.record(
            Deed(
                f"{deletion.what} deleted",
                target=f"deletion {deletion.id}",
                study=deletion.key.StudyInstanceUID,
                instances=len(deletion.sop_instance_uids),
                patient=deletion.patient_id,
            )
        )
        self._records.end(deletion)  # last: what is not recorded as ended is told again
        logger.info("deletion %d: %s of a series are gone", deletion.id, deletion.what)

    def _remove_instances(self, deletion: Deletion) -> None:
        """All but what was sent again since, as can be after an interruption: that is kept."""
        folder = self._spool.folder_of(deletion.key)
        if not folder.is_dir():
            return
        recorded = deletion.at.timestamp()
        for uid in deletion.sop_instance_uids:
            path = folder / f"{uid}.dcm"
            if path.is_file() and path.stat().st_mtime < recorded:
                path.unlink()
        sync_folder(folder)

    def _remove_results(self, deletion: Deletion) -> None:
        """Whole at once, as they were published; what then stays in scratch is tidied up."""
        folder = self._storage.results / deletion.folder
        if folder.is_dir():
            gone = self._storage.scratch / f"deletion{deletion.id}"
            folder.rename(gone)
            sync_folder(folder.parent)
            shutil.rmtree(gone)
            self._remove_empty(folder.parent)

    def _remove_empty(self, study: Path) -> None:
        """Remove workbook and report of a study without results; its folder if that was all."""
        if study == self._storage.results or any(path.is_dir() for path in study.iterdir()):
            return
        workbook = study / WORKBOOK_FILE
        self._records.forget_workbook(workbook.relative_to(self._storage.results).as_posix())
        remains = (
            *study.glob(".metadata-*.tmp"),
            *study.glob(".report-*.tmp"),
        )  # of killed workers
        for path in (workbook, study / REPORT_FILE, *remains):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # somebody put something else there
            study.rmdir()
            sync_folder(study.parent)


def _ended_before(now: datetime, days: Mapping[str, float | None]) -> dict[str, str]:
    """The time before which the jobs of each rule must have ended, for rules that say one."""
    return {
        rule: (now - timedelta(days=kept)).isoformat(timespec="milliseconds")
        for rule, kept in days.items()
        if kept is not None
    }
