"""Makes the ledger again from the spool and the results.

What files tell is recorded as they tell it. What they do not tell is left open, and the daemon
finds it anew: a series without a result is arriving until the watcher closes it on the evidence
of the journal, and every closed series is decided again by the rules in force.
"""

import contextlib
import hashlib
import itertools
import multiprocessing
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ledger.cases import instances_digest
from ledger.connection import open_for_reading
from ledger.deleted import take_over
from ledger.errors import LedgerError
from ledger.holdings import series_files, set_aside_files
from ledger.intake import Intake
from ledger.published import Published, published_jobs, record_job
from ledger.session import Session
from listener.durable import give_to_owner_of_folder, sync_folder
from listener.errors import UnreadableInstance
from listener.journal import JournalReader
from listener.series import Arrival
from listener.spool import SeriesKey
from listener.summary import read_summary
from listener.watcher import Findings
from listener.wholeness import findings_of, slice_of

_CHUNK = 256  # files a task
_WORTHWHILE = 8  # tasks

_INSTANCE = (
    "INSERT INTO instances (series_id, SOPInstanceUID, SOPClassUID, InstanceNumber,"
    " TransferSyntaxUID, association_id, bytes, sha256, received_at, revision)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_STUDY_KEYWORDS = ("PatientID", "PatientName", "AccessionNumber", "StudyDate", "StudyDescription")


@dataclass
class Rebuilt:
    """What a rebuild found.

    Attributes
    ----------
    instances, series, jobs, quarantined
        How many it recorded.
    deleted
        Instances that rules had deleted, from the record in the spool.
    left
        Files of the spool that it could not place; the daemon judges them when it starts.
    altered
        The SOP Instance UIDs whose bytes are not those that the earlier ledger recorded; they
        keep the recorded SHA-256, so that `ledger.verify` goes on naming them.
    set_aside
        Where the earlier ledger is; None where there was none.
    """

    instances: int = 0
    series: int = 0
    jobs: int = 0
    quarantined: int = 0
    deleted: int = 0
    left: int = 0
    altered: tuple[str, ...] = ()
    set_aside: Path | None = None


@dataclass(frozen=True)
class Seen:
    """An instance of the spool, and when it was written, in nanoseconds since the epoch."""

    arrival: Arrival
    written: int


def rebuild(
    ledger: Path,
    spool: Path,
    results: Path,
    *,
    processes: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Rebuilt:
    """Make the ledger again; the earlier one is kept beside it under a name with the time.

    Nobody may have the ledger open for writing. Receivers may run: what they store meanwhile is
    found by the watcher. The new ledger takes its place only when it is whole.

    Parameters
    ----------
    ledger, spool, results
        The SQLite file, and the folders it is made from.
    processes
        How many read the spool; by default as many as there are processors.
    progress
        Told now and then how many instances were recorded.
    """
    new = ledger.with_name(f"{ledger.name}.new")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{new}{suffix}").unlink(missing_ok=True)
    recorded = recorded_digests(ledger)
    session = Session(new)
    try:
        with session.atomic():
            rebuilt = _Rebuild(session, spool, results, recorded).run(processes, progress)
    finally:
        session.close()
    if ledger.exists():
        rebuilt.set_aside = set_aside(ledger)
    give_to_owner_of_folder(new)
    new.replace(ledger)
    sync_folder(str(ledger.parent))
    return rebuilt


def set_aside(ledger: Path) -> Path:
    """Give the ledger, with its write-ahead log, another name; return it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = ledger.with_name(f"{ledger.stem}-{stamp}{ledger.suffix}")
    for suffix in ("-wal", "-shm", ""):
        path = Path(f"{ledger}{suffix}")
        if path.exists():
            path.rename(f"{aside}{suffix}")
    return aside


def recorded_digests(ledger: Path) -> Mapping[str, str]:
    """SOP Instance UID to the SHA-256 of its reception, as far as the earlier ledger tells."""
    digests: dict[str, str] = {}
    with (
        contextlib.suppress(LedgerError, sqlite3.Error),
        closing(open_for_reading(ledger, any_schema=True)) as connection,
    ):
        digests.update(_digests(connection))
    return digests


def _digests(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    for row in connection.execute("SELECT SOPInstanceUID, sha256 FROM instances"):
        yield row["SOPInstanceUID"], row["sha256"]


class _Rebuild:
    """One rebuild, into an empty ledger."""

    def __init__(
        self, session: Session, spool: Path, results: Path, recorded: Mapping[str, str]
    ) -> None:
        self._session = session
        self._intake = Intake(session)
        self._spool = spool
        self._recorded = recorded
        self._jobs = published_jobs(results)
        self._studies: dict[str, int] = {}
        self._altered: list[str] = []
        self._rebuilt = Rebuilt()

    def run(self, processes: int | None, progress: Callable[[int], None]) -> Rebuilt:
        """Record everything; the journal first, as the watcher does."""
        journal = JournalReader(self._spool / "journal", {})
        events = tuple(journal.read())
        self._intake.record(Findings(events, (), (), 0, journal.offsets))
        for key, seen in _seen_by_series(self._spool, processes):
            placed = [one for one in seen if one is not None]
            self._rebuilt.left += len(seen) - len(placed)
            if placed:
                self._record_series(key, placed)
                progress(self._rebuilt.instances)
        self._leave_doubles()
        self._rebuilt.deleted = take_over(self._session, self._spool, lambda: self._jobs)
        entries = [(one.name, one.reason, one.series_uid) for one in set_aside_files(self._spool)]
        self._rebuilt.quarantined = self._intake.record_quarantine(entries)
        self._rebuilt.altered = tuple(self._altered)
        return self._rebuilt

    def _record_series(self, key: SeriesKey, seen: list[Seen]) -> None:
        seen.sort(key=lambda one: (one.written, one.arrival.path.name))
        digests = [self._digest(one.arrival) for one in seen]
        uids = [one.arrival.header.identity.SOPInstanceUID for one in seen]
        jobs = self._jobs.get(key, [])
        sizes = _revisions(jobs, list(zip(uids, digests, strict=True)))
        last = jobs[-1] if jobs and sizes.get(jobs[-1].revision) == len(seen) else None
        series_id = self._insert_series(key, seen, jobs, last)
        self._session.execute_many(
            _INSTANCE,
            (
                _instance_row(series_id, one, digest, revision)
                for one, digest, revision in zip(
                    seen, digests, _first_revisions(sizes, len(seen)), strict=True
                )
            ),
        )
        for job in jobs:
            is_current = last is not None and job.revision == last.revision
            record_job(self._session, series_id, job, is_current=is_current)
        self._session.note(series_id, "recorded again from the spool")
        self._rebuilt.instances += len(seen)
        self._rebuilt.series += 1
        self._rebuilt.jobs += len(jobs)

    def _digest(self, arrival: Arrival) -> str:
        """The SHA-256 to record: that of the reception, where it is known."""
        uid = arrival.header.identity.SOPInstanceUID
        recorded = self._recorded.get(uid, arrival.sha256)
        if recorded != arrival.sha256:
            self._altered.append(uid)
        return recorded

    def _insert_series(
        self,
        key: SeriesKey,
        seen: Sequence[Seen],
        jobs: Sequence[Published],
        last: Published | None,
    ) -> int:
        header = seen[0].arrival.header
        return self._session.insert(
            "series",
            study_id=self._study_id(key.StudyInstanceUID, seen[0]),
            SeriesInstanceUID=key.SeriesInstanceUID,
            Modality=header.text("Modality"),
            SeriesNumber=header.number("SeriesNumber"),
            SeriesDescription=header.text("SeriesDescription"),
            calling_ae=header.origin.calling_ae,
            called_ae=header.origin.called_ae,
            revision=jobs[-1].revision if jobs else 0,
            instances=len(seen),
            bytes=sum(one.arrival.bytes for one in seen),
            first_seen_at=_time(seen[0].written),
            last_arrival_at=_time(seen[-1].written),
            **({"state": "arriving"} if last is None else _closed(last, seen)),
        )

    def _study_id(self, uid: str, first: Seen) -> int:
        """The study; it is open until the watcher closes it, which takes no file's word."""
        if uid not in self._studies:
            header = first.arrival.header
            self._studies[uid] = self._session.insert(
                "studies",
                StudyInstanceUID=uid,
                first_seen_at=_time(first.written),
                is_arriving=1,
                **{keyword: header.text(keyword) for keyword in _STUDY_KEYWORDS},
            )
        return self._studies[uid]

    def _leave_doubles(self) -> None:
        """Leave the later ones of a SOP Instance UID in two series to the watcher's judgement."""
        rows = list(
            self._session.query(
                "SELECT id, series_id, bytes FROM instances AS later WHERE EXISTS"
                " (SELECT 1 FROM instances AS first"
                "  WHERE first.SOPInstanceUID = later.SOPInstanceUID"
                "  AND (first.received_at, first.id) < (later.received_at, later.id))"
            )
        )
        for row in rows:
            self._session.execute("DELETE FROM instances WHERE id = ?", [row["id"]])
            self._session.execute(
                "UPDATE series SET instances = instances - 1, bytes = bytes - ? WHERE id = ?",
                [row["bytes"], row["series_id"]],
            )
        self._rebuilt.instances -= len(rows)
        self._rebuilt.left += len(rows)


def _closed(last: Published, seen: Sequence[Seen]) -> dict[str, object]:
    """How a series stands whose current set of instances has a result."""
    expected = last.facts.get("instances_expected")
    return {
        "state": "closed",
        "outcome": "process",
        "grade": last.facts.get("grade", "quiet"),
        "evidence": last.facts.get("evidence", "its results do not tell why it was closed"),
        "expected": expected,
        "missing": None if expected is None else max(0, expected - len(seen)),
        "header_findings": len(findings_of(tuple(slice_of(one.arrival.header) for one in seen))),
        "closed_at": last.at,
    }


def _revisions(jobs: Sequence[Published], instances: Sequence[tuple[str, str]]) -> dict[int, int]:
    """Published revision to how many of the instances, in the order they came, it has.

    Only those are in it whose digest is that of the instances which are here.
    """
    sizes: dict[int, int] = {}
    for job in jobs:
        size = int(job.facts.get("instances", len(instances)))
        if job.revision not in sizes and instances_digest(instances[:size]) == job.digest:
            sizes[job.revision] = size
    return sizes


def _first_revisions(sizes: Mapping[int, int], count: int) -> Iterator[int | None]:
    """The first published revision that each instance is in, in the order they came."""
    for place in range(count):
        yield min((revision for revision, size in sizes.items() if place < size), default=None)


def _instance_row(series_id: int, seen: Seen, digest: str, revision: int | None) -> list[object]:
    header = seen.arrival.header
    return [
        *(series_id, header.identity.SOPInstanceUID, header.identity.SOPClassUID),
        *(header.number("InstanceNumber"), header.transfer_syntax_uid),
        *(header.origin.association_id, seen.arrival.bytes, digest),
        *(_time(seen.written), revision),
    ]


def _seen_by_series(
    spool: Path, processes: int | None
) -> Iterator[tuple[SeriesKey, list[Seen | None]]]:
    """Every series of the spool with what its files say; None for one that cannot be placed."""
    tasks = [
        (key, files[start : start + _CHUNK])
        for key, files in series_files(spool)
        for start in range(0, len(files), _CHUNK)
    ]
    with ExitStack() as stack:
        parts = _mapped(tasks, min(processes or os.cpu_count() or 1, len(tasks)), stack)
        for key, group in itertools.groupby(
            zip(tasks, parts, strict=True), key=lambda pair: pair[0][0]
        ):
            yield key, [seen for _, part in group for seen in part]


def _mapped(
    tasks: Sequence[tuple[SeriesKey, list[str]]], processes: int, stack: ExitStack
) -> Iterator[list[Seen | None]]:
    """What each task found, in order; by other processes where that is worth starting them."""
    if processes < 2 or len(tasks) < _WORTHWHILE:
        return map(_read_files, tasks)
    # A fork server: threads of the daemon must not be copied.
    context = multiprocessing.get_context("forkserver")
    pool = stack.enter_context(ProcessPoolExecutor(processes, mp_context=context))
    return pool.map(_read_files, tasks)


def _read_files(task: tuple[SeriesKey, list[str]]) -> list[Seen | None]:
    key, files = task
    return [_read(key, Path(path)) for path in files]


def _read(key: SeriesKey, path: Path) -> Seen | None:
    try:
        header = read_summary(path)
        status = path.stat()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (UnreadableInstance, OSError):
        return None
    identity = header.identity
    if (*key, path.stem) != (
        identity.StudyInstanceUID,
        identity.SeriesInstanceUID,
        identity.SOPInstanceUID,
    ):
        return None
    return Seen(Arrival(key, header, path, status.st_size, digest), status.st_mtime_ns)


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")
