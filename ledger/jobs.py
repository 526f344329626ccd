"""The queue of jobs: they wait, are claimed with a lease, and end.

::

    queued ──claim──> running ──finish──> done
      ^ ^               │ │
      │ └──── retry ────┘ └──bury──> dead ──resend──> queued
      └── the lease ran out          cancelled ─resend─┘

A person cancels what is queued, running or dead. From any state a job is superseded when its
series was closed anew and the new revision does not ask for the same job again; a queued one
when its series is decided anew, such as dropped, and the decision does not ask for it.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from ledger.records import (
    ClaimedJob,
    ClosedSeries,
    NewJob,
    decode_steps,
    encode_notify,
    encode_steps,
)
from ledger.session import Row, Session
from ledger.told_jobs import queue_told
from listener.journal import now
from processor.model import JobResult
from rules.window import Window

LEASE_SECONDS = 60.0
_NO_OTHERS: Mapping[str, int] = MappingProxyType({})

_STEP_FAILED = """key = ? AND folder IS NOT NULL AND EXISTS (
    SELECT 1 FROM steps WHERE job_id = jobs.id AND state = 'failed')"""
_AFRESH = "state = 'queued', tries = 0, not_before = queued_at, ended_at = NULL"

# A pause of everything, or of a processor among a job's steps, keeps the job waiting.
_NOT_PAUSED = """NOT EXISTS (
    SELECT 1 FROM pauses WHERE (until IS NULL OR until > ?1) AND (processor = '' OR processor IN
    (SELECT json_extract(value, '$[0]') FROM json_each(jobs.steps))))"""

_BEGINS_WITH = "json_extract(steps, '$[0][0]') = ?4"
_BEGINS_WITHOUT = """coalesce(json_extract(steps, '$[0][0]'), '') NOT IN
    (SELECT value FROM json_each(?4))"""


def queue_jobs(session: Session, series: ClosedSeries, jobs: Sequence[NewJob]) -> None:
    """Queue the jobs of a decision, within the transaction that records it.

    A job that an earlier revision had already, by its key, is the job of this revision too and
    does not run again. The other jobs of earlier revisions are superseded, and so is what the
    decision before queued for this one, has not begun, and is not asked for any more.
    """
    _queue_all(session, series, jobs, series.revision - 1)


def queue_again(session: Session, series: ClosedSeries, jobs: Sequence[NewJob]) -> None:
    """Queue the jobs of a decision that a person asked for anew.

    Jobs of the same revision count as earlier ones, too: what is not asked for any more is
    superseded, what was deleted is made again. So is what was given up or cancelled.
    """
    _queue_all(session, series, jobs, series.revision)
    for job in jobs:
        session.execute(
            f"UPDATE jobs SET {_AFRESH} WHERE key = ? AND state IN ('dead', 'cancelled')",
            [job.key],
        )


def _queue_all(
    session: Session, series: ClosedSeries, jobs: Sequence[NewJob], earlier: int
) -> None:
    """Queue jobs; those of the revisions up to `earlier`, and what has not begun, give way."""
    marks = ", ".join("?" for _ in jobs)
    session.execute(
        "UPDATE jobs SET state = 'superseded' WHERE series_id = ? AND key NOT IN"
        f" ({marks}) AND (state = 'queued' OR state != 'running' AND revision <= ?)",
        [series.id, *(job.key for job in jobs), earlier],
    )
    for job in jobs:
        _forget_deleted(session, job, earlier)
        _queue(session, series, job)


def _forget_deleted(session: Session, job: NewJob, earlier: int) -> None:
    """Take out results that a rule deleted: a later decision that asks for them has them made."""
    rows = session.query(
        "SELECT id FROM jobs WHERE key = ? AND revision <= ? AND deletion_id IS NOT NULL",
        [job.key, earlier],
    )
    for row in list(rows):
        for table in ("outputs", "steps"):
            session.execute(f"DELETE FROM {table} WHERE job_id = ?", [row["id"]])
        session.execute(
            "UPDATE jobs SET state = 'superseded', folder = NULL, deletion_id = NULL, tries = 0"
            " WHERE id = ?",
            [row["id"]],
        )


def _queue(session: Session, series: ClosedSeries, job: NewJob) -> None:
    at = now()
    session.execute(
        "INSERT INTO jobs (key, series_id, revision, rule, steps, digest, priority, destination,"
        " window, notify, state, not_before, queued_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET revision = excluded.revision,"
        " priority = excluded.priority, window = excluded.window, notify = excluded.notify,"
        " state = CASE WHEN state != 'superseded' THEN state"
        "  WHEN folder IS NULL THEN 'queued' ELSE 'done' END",
        [
            *(job.key, series.id, series.revision, job.rule, encode_steps(job.steps)),
            *(series.digest, job.priority, job.destination, job.window),
            *(encode_notify(job.notify), at, at),
        ],
    )


class Jobs:
    """The scheduling side of the ledger.

    Parameters
    ----------
    session
        The ledger, open for writing.
    closed_series
        Tells a revision of a series by the series' number and the revision.
    """

    def __init__(self, session: Session, closed_series: Callable[[int, int], ClosedSeries]) -> None:
        self._session = session
        self._closed_series = closed_series

    def take_over(self, most_tries: int, most_of: Mapping[str, int] = _NO_OTHERS) -> int:
        """Queue again what an earlier run left running; return how many.

        Its leases need not run out: only one coordinator has the ledger, and its workers ended
        with it. What was begun `most_tries` times, or as often as `most_of` says of its first
        processor, and never ended is given up.
        """
        with self._session.atomic():
            for job in self._claimed_jobs("state = 'running'", []):
                if job.tries >= most_of.get(job.steps[0].processor, most_tries):
                    self._bury(job, "the daemon ended each time it ran")
            return self._session.execute(
                "UPDATE jobs SET state = 'queued', lease_until = NULL WHERE state = 'running'"
            ).rowcount

    def claim(
        self, limit: int, *, only: Collection[str] = (), without: Collection[str] = ()
    ) -> tuple[ClaimedJob, ...]:
        """Take up to `limit` jobs whose time has come, those of a higher priority first.

        They are running from now on, until their lease runs out: then they may be claimed again.

        Parameters
        ----------
        only, without
            Processors: the first of a job's must be one of these, where there are any, and must
            not be one of those.
        """
        with self._session.atomic():
            at = now()
            kinds: Collection[str | None] = only or (None,)
            rows = [row for first in kinds for row in self._due(at, limit, first, without)]
            rows.sort(key=lambda row: (-row["priority"], row["not_before"], row["id"]))
            ids = [row["id"] for row in rows[:limit]]
            for job_id in ids:
                self._session.execute(
                    "UPDATE jobs SET state = 'running', tries = tries + 1, started_at = ?,"
                    " lease_until = ? WHERE id = ?",
                    [at, _later(LEASE_SECONDS), job_id],
                )
            return tuple(job for job_id in ids for job in self._claimed_jobs("id = ?", [job_id]))

    def _due(
        self, at: str, limit: int, first: str | None, without: Collection[str]
    ) -> Iterator[Row]:
        """The jobs to begin next, as indexes have them in order: a queue may be very long."""
        if self._is_all_paused(at):
            return
        index = "jobs_queued_by_first" if first else "jobs_queued"
        begins = _BEGINS_WITH if first else _BEGINS_WITHOUT
        for due in (
            "jobs INDEXED BY jobs_by_state WHERE state = 'running' AND lease_until <= ?1",
            f"jobs INDEXED BY {index} WHERE state = 'queued' AND not_before <= ?1",
        ):
            yield from self._session.query(
                f"SELECT id, priority, not_before FROM {due} AND {begins} AND {_NOT_PAUSED}"
                " AND window IN (SELECT value FROM json_each(?3))"
                " ORDER BY priority DESC, not_before, id LIMIT ?2",
                [at, limit, json.dumps(self._open_windows()), first or json.dumps(list(without))],
            )

    def _is_all_paused(self, at: str) -> bool:
        return bool(
            list(
                self._session.query(
                    "SELECT 1 FROM pauses WHERE processor = '' AND (until IS NULL OR until > ?)",
                    [at],
                )
            )
        )

    def _open_windows(self) -> list[str]:
        """The windows of jobs in which a job may begin now; of most jobs that is any time."""
        here = datetime.now().astimezone()
        rows = self._session.query(
            "SELECT DISTINCT window FROM jobs INDEXED BY jobs_in_windows"
            " WHERE window != '' AND state IN ('queued', 'running')"
        )
        windows = [row["window"] for row in rows]
        return ["", *(text for text in windows if Window.parse(text).holds(here))]

    def renew(self, jobs: Iterable[ClaimedJob]) -> None:
        """Extend the leases of jobs that are running still."""
        with self._session.atomic():
            for job in jobs:
                self._session.execute(
                    "UPDATE jobs SET lease_until = ? WHERE id = ? AND state = 'running'",
                    [_later(LEASE_SECONDS), job.id],
                )

    def release(self, jobs: Iterable[ClaimedJob]) -> None:
        """Queue jobs again that were stopped for no fault of theirs: it counts as no try."""
        with self._session.atomic():
            for job in jobs:
                self._session.execute(
                    "UPDATE jobs SET state = 'queued', tries = tries - 1, lease_until = NULL"
                    " WHERE id = ? AND state = 'running'",
                    [job.id],
                )

    def finish(self, job: ClaimedJob, result: JobResult) -> None:
        """Record what a job made; nothing where the job was ended otherwise meanwhile."""
        with self._session.atomic():
            ended = self._session.execute(
                "UPDATE jobs SET state = 'done', ended_at = ?, seconds = ?, folder = ?,"
                " error = NULL, lease_until = NULL WHERE id = ? AND state = 'running'",
                [now(), result.seconds, str(result.folder), job.id],
            ).rowcount
            if ended:
                self._record_steps(job, result)
                self._supersede_if_old(job)
                queue_told(self._session, job.id)

    def _record_steps(self, job: ClaimedJob, result: JobResult) -> None:
        for step in result.steps:
            self._session.insert(
                "steps",
                job_id=job.id,
                processor=step.processor,
                state=step.state,
                summary=step.summary,
                details=json.dumps(dict(step.details)),
            )
            for output in step.outputs:
                self._session.insert(
                    "outputs", job_id=job.id, processor=step.processor, **asdict(output)
                )
            self._session.note(job.series.id, f"{step.processor}: {step.summary}")

    def retry(self, job: ClaimedJob, error: str, delay_seconds: float) -> None:
        """Queue a failed job again, after a pause."""
        with self._session.atomic():
            if self._requeue(job, error, delay_seconds):
                self._session.note(job.series.id, f"try {job.tries} failed: {error}; again later")
                self._supersede_if_old(job)

    def put_back(self, job: ClaimedJob, error: str, delay_seconds: float) -> None:
        """Queue a job again that could not do its work for no fault of its own: it is no try."""
        with self._session.atomic():
            if self._requeue(job, error, delay_seconds):
                self._session.execute("UPDATE jobs SET tries = tries - 1 WHERE id = ?", [job.id])
                self._session.note(job.series.id, f"waits: {error}")
                self._supersede_if_old(job)

    def _requeue(self, job: ClaimedJob, error: str, delay_seconds: float) -> bool:
        return bool(
            self._session.execute(
                "UPDATE jobs SET state = 'queued', error = ?, not_before = ?, lease_until = NULL"
                " WHERE id = ? AND state = 'running'",
                [error, _later(delay_seconds), job.id],
            ).rowcount
        )

    def bury(self, job: ClaimedJob, error: str) -> None:
        """Give a job up: it is a dead letter for a person to look at."""
        with self._session.atomic():
            self._bury(job, error)

    def _bury(self, job: ClaimedJob, error: str) -> None:
        ended = self._session.execute(
            "UPDATE jobs SET state = 'dead', error = ?, ended_at = ?, lease_until = NULL"
            " WHERE id = ? AND state = 'running'",
            [error, now(), job.id],
        ).rowcount
        if ended:
            self._session.note(job.series.id, f"given up after {job.tries} tries: {error}")
            self._supersede_if_old(job)
            queue_told(self._session, job.id)

    def resend(self, job_id: int) -> bool:
        """Queue a dead or cancelled job again with all its tries; return whether it was one."""
        return self._by_a_person(
            job_id,
            _AFRESH,
            ("dead", "cancelled"),
            "queued again by a person",
        )

    def cancel(self, job_id: int) -> bool:
        """Take a job out that has not ended well; return whether it was one."""
        return self._by_a_person(
            job_id,
            "state = 'cancelled', lease_until = NULL",
            ("queued", "running", "dead"),
            "cancelled by a person",
        )

    def latest_key(self, key: str, *, is_again: bool = False) -> str:
        """The key under which a job was made last, or will be.

        A job is published once. Where a step of it failed and a person has it made again, it is
        another job, whose key follows from the one before.
        """
        while True:
            after = hashlib.sha256(f"{key} again".encode()).hexdigest()
            if not (self._has("key = ?", after) or (is_again and self._has(_STEP_FAILED, key))):
                return key
            key = after

    def _has(self, where: str, key: str) -> bool:
        return bool(list(self._session.query(f"SELECT 1 FROM jobs WHERE {where}", [key])))

    def _by_a_person(self, job_id: int, change: str, states: Sequence[str], what: str) -> bool:
        marks = ", ".join("?" for _ in states)
        where = f"id = ? AND state IN ({marks})"
        with self._session.atomic():
            rows = list(
                self._session.query(
                    f"SELECT series_id, rule FROM jobs WHERE {where}", [job_id, *states]
                )
            )
            for row in rows:
                self._session.execute(f"UPDATE jobs SET {change} WHERE id = ?", [job_id])
                self._session.note(row["series_id"], f'job {job_id} ("{row["rule"]}") {what}')
        return bool(rows)

    def _supersede_if_old(self, job: ClaimedJob) -> None:
        """Mark a job superseded when its series was closed anew while it ran."""
        self._session.execute(
            "UPDATE jobs SET state = 'superseded' WHERE id = ? AND revision <"
            " (SELECT revision FROM series WHERE id = series_id)",
            [job.id],
        )

    def _claimed_jobs(self, where: str, values: Sequence[object]) -> tuple[ClaimedJob, ...]:
        rows = list(self._session.query(f"SELECT * FROM jobs WHERE {where}", values))
        return tuple(self._claimed(row) for row in rows)

    def _claimed(self, row: Row) -> ClaimedJob:
        return ClaimedJob(
            row["id"],
            row["key"],
            row["rule"],
            decode_steps(row["steps"]),
            row["tries"],
            self._closed_series(row["series_id"], row["revision"]),
            row["destination"],
        )


def _later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
