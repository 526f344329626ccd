"""Records what became of series: closures, decisions, jobs and what they made."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from ledger.records import ClaimedJob, ClosedSeries, NewJob, decode_steps, encode_steps
from ledger.session import Row, Session
from listener.journal import now
from listener.series import Closure, StudyClosure
from listener.spool import SeriesKey
from processor.model import JobResult
from rules.model import Decision


class Work:
    """The deciding and processing side of the ledger."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def close_series(self, closure: Closure) -> ClosedSeries:
        """Record that a series is closed, as its next revision."""
        row = self._series_row(closure.key)
        with self._session.atomic():
            self._session.execute(
                "UPDATE series SET state = 'closed', revision = revision + 1, grade = ?,"
                " evidence = ?, expected = ?, missing = ?, header_findings = ?, outcome = NULL,"
                " closed_at = ? WHERE id = ?",
                [
                    *(closure.grade, closure.evidence, closure.expected, closure.missing),
                    *(closure.header_findings, now(), row["id"]),
                ],
            )
            self._session.execute(
                "UPDATE instances SET revision = ? WHERE series_id = ? AND revision IS NULL",
                [row["revision"] + 1, row["id"]],
            )
            self._session.note(row["id"], f"closed as {closure.grade}: {closure.evidence}")
        return self.closed_series(row["id"])

    def close_study(self, closure: StudyClosure) -> None:
        """Record that a study is complete, and on what evidence."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE studies SET is_arriving = 0, complete_grade = ?,"
                " complete_evidence = ?"
                " WHERE StudyInstanceUID = ?",
                [closure.grade, closure.evidence, closure.StudyInstanceUID],
            )

    def undecided(self) -> tuple[int, ...]:
        """The closed series no decision was recorded for.

        An earlier run ended in between, or the ledger was made again.
        """
        rows = self._session.query(
            "SELECT id FROM series WHERE state = 'closed' AND (outcome IS NULL OR NOT EXISTS"
            " (SELECT 1 FROM decisions WHERE series_id = series.id"
            "  AND decisions.revision = series.revision))"
        )
        return tuple(row["id"] for row in rows)

    def held(self) -> tuple[int, ...]:
        """The series held for a rule that could not be evaluated."""
        rows = self._session.query(
            "SELECT id FROM series WHERE state = 'closed' AND outcome = 'hold'"
        )
        return tuple(row["id"] for row in rows)

    def closed_series(self, series_id: int, revision: int | None = None) -> ClosedSeries:
        """A revision of a series, by default the current one.

        What came after it is not in it, also when it has been recorded meanwhile.
        """
        row = self._session.one(
            "SELECT series.*, StudyInstanceUID FROM series"
            " JOIN studies ON studies.id = study_id WHERE series.id = ?",
            [series_id],
        )
        revision = row["revision"] if revision is None else revision
        instances = list(
            self._session.query(
                "SELECT SOPInstanceUID, sha256 FROM instances WHERE series_id = ?"
                " AND revision <= ? ORDER BY InstanceNumber, SOPInstanceUID",
                [series_id, revision],
            )
        )
        return ClosedSeries(
            id=series_id,
            key=SeriesKey(row["StudyInstanceUID"], row["SeriesInstanceUID"]),
            revision=revision,
            grade=row["grade"],
            evidence=row["evidence"],
            expected=row["expected"],
            missing=row["missing"],
            header_findings=row["header_findings"],
            sop_instance_uids=tuple(i["SOPInstanceUID"] for i in instances),
            digest=instances_digest((i["SOPInstanceUID"], i["sha256"]) for i in instances),
            calling_ae=row["calling_ae"],
            called_ae=row["called_ae"],
        )

    def record_decision(
        self, series: ClosedSeries, decision: Decision, jobs: Sequence[NewJob]
    ) -> None:
        """Record a decision and queue its jobs; jobs of earlier revisions are superseded."""
        at = now()
        with self._session.atomic():
            self._session.table("decisions").insert(
                {
                    "series_id": series.id,
                    "revision": series.revision,
                    "outcome": decision.outcome,
                    "summary": decision.summary,
                    "reasons": json.dumps([asdict(reason) for reason in decision.reasons]),
                    "decided_at": at,
                },
                replace=True,
            )
            self._session.execute(
                "UPDATE series SET outcome = ? WHERE id = ?", [decision.outcome, series.id]
            )
            self._session.execute(
                "UPDATE jobs SET state = 'superseded' WHERE series_id = ? AND revision < ?"
                " AND state != 'running'",
                [series.id, series.revision],
            )
            for job in jobs:
                self._queue(series, job, at)
            self._session.note(series.id, f"decided: {decision.summary}")

    def _queue(self, series: ClosedSeries, job: NewJob, at: str) -> None:
        self._session.execute(
            "INSERT INTO jobs (key, series_id, revision, rule, steps, digest, state,"
            " not_before, queued_at) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?)"
            " ON CONFLICT (key) DO NOTHING",
            [
                job.key,
                series.id,
                series.revision,
                job.rule,
                encode_steps(job.steps),
                series.digest,
                at,
                at,
            ],
        )

    def requeue_running(self) -> int:
        """Queue again what was running when an earlier run ended; return how many."""
        with self._session.atomic():
            return self._session.execute(
                "UPDATE jobs SET state = 'queued' WHERE state = 'running'"
            ).rowcount

    def claim(self, limit: int) -> tuple[ClaimedJob, ...]:
        """Take up to `limit` queued jobs whose time has come; they are running from now on."""
        with self._session.atomic():
            rows = list(
                self._session.query(
                    "SELECT * FROM jobs WHERE state = 'queued' AND not_before <= ?"
                    " ORDER BY not_before, id LIMIT ?",
                    [now(), limit],
                )
            )
            for row in rows:
                self._session.execute(
                    "UPDATE jobs SET state = 'running', tries = tries + 1, started_at = ?"
                    " WHERE id = ?",
                    [now(), row["id"]],
                )
        return tuple(self._claimed(row) for row in rows)

    def _claimed(self, row: Row) -> ClaimedJob:
        return ClaimedJob(
            row["id"],
            row["key"],
            row["rule"],
            decode_steps(row["steps"]),
            row["tries"] + 1,
            self.closed_series(row["series_id"], row["revision"]),
        )

    def finish(self, job: ClaimedJob, result: JobResult) -> None:
        """Record what a job made."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE jobs SET state = 'done', ended_at = ?, seconds = ?, folder = ?,"
                " error = NULL WHERE id = ?",
                [now(), result.seconds, str(result.folder), job.id],
            )
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
            self._supersede_if_old(job)

    def _supersede_if_old(self, job: ClaimedJob) -> None:
        """Mark a job superseded when its series was closed anew while it ran."""
        self._session.execute(
            "UPDATE jobs SET state = 'superseded' WHERE id = ? AND revision <"
            " (SELECT revision FROM series WHERE id = series_id)",
            [job.id],
        )

    def retry(self, job: ClaimedJob, error: str, delay_seconds: float) -> None:
        """Queue a failed job again, after a pause."""
        later = datetime.now(UTC) + timedelta(seconds=delay_seconds)
        with self._session.atomic():
            self._session.execute(
                "UPDATE jobs SET state = 'queued', error = ?, not_before = ? WHERE id = ?",
                [error, later.isoformat(timespec="milliseconds"), job.id],
            )
            self._session.note(job.series.id, f"try {job.tries} failed: {error}; again later")

    def bury(self, job: ClaimedJob, error: str) -> None:
        """Give a job up: it is a dead letter for a person to look at."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE jobs SET state = 'dead', error = ?, ended_at = ? WHERE id = ?",
                [error, now(), job.id],
            )
            self._session.note(job.series.id, f"given up after {job.tries} tries: {error}")

    def study_folders(self, series_id: int) -> tuple[str, ...]:
        """Folders of the current results of a series' study; none while a job is unfinished.

        Studies of one accession number count as one: their results share a folder.
        """
        siblings = (
            "SELECT series.id FROM series JOIN studies ON studies.id = study_id,"
            " (SELECT studies.* FROM series JOIN studies ON studies.id = study_id"
            "  WHERE series.id = ?) AS own"
            " WHERE studies.id = own.id"
            " OR (own.AccessionNumber != '' AND studies.AccessionNumber = own.AccessionNumber)"
        )
        waiting = self._session.one(
            "SELECT count(*) AS n FROM jobs"
            f" WHERE series_id IN ({siblings}) AND state IN ('queued', 'running')",
            [series_id],
        )
        if waiting["n"]:
            return ()
        rows = self._session.query(
            f"SELECT folder FROM jobs WHERE series_id IN ({siblings}) AND state = 'done'"
            " ORDER BY id",
            [series_id],
        )
        return tuple(row["folder"] for row in rows)

    def record_workbook(self, series_id: int, path: str) -> None:
        """Record where the workbook of a series' study is, below results."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE studies SET workbook = ? WHERE id ="
                " (SELECT study_id FROM series WHERE id = ?)",
                [path, series_id],
            )

    def _series_row(self, key: SeriesKey) -> Row:
        return self._session.one(
            "SELECT series.* FROM series JOIN studies ON studies.id = study_id"
            " WHERE StudyInstanceUID = ? AND SeriesInstanceUID = ?",
            list(key),
        )


def instances_digest(instances: Iterable[tuple[str, str]]) -> str:
    """The digest of a set of instances, each given as its UID and SHA-256; in any order."""
    lines = "".join(f"{uid}:{sha256}\n" for uid, sha256 in sorted(instances))
    return hashlib.sha256(lines.encode("ascii")).hexdigest()
