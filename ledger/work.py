"""Records what became of series and studies: closures and decisions."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from ledger.cases import Cases
from ledger.jobs import queue_again, queue_jobs
from ledger.records import ClosedSeries, NewJob
from ledger.session import Row, Session
from listener.journal import now
from listener.series import Closure, StudyClosure
from listener.spool import SeriesKey
from rules.model import Decision


class Work:
    """The deciding side of the ledger."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cases = Cases(session.query)

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
                "UPDATE studies SET is_arriving = 0, complete_grade = ?, complete_evidence = ?"
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
        """The series that a rule holds, or that one could not be evaluated on."""
        rows = self._session.query(
            "SELECT id FROM series WHERE state = 'closed' AND outcome = 'hold'"
        )
        return tuple(row["id"] for row in rows)

    def closed_series(self, series_id: int, revision: int | None = None) -> ClosedSeries:
        """A revision of a series, by default the current one.

        What came after it is not in it, also when it has been recorded meanwhile.
        """
        return self._cases.closed_series(series_id, revision)

    def record_decision(
        self,
        series: ClosedSeries,
        decision: Decision,
        jobs: Sequence[NewJob],
        *,
        is_again: bool = False,
    ) -> None:
        """Record a decision and queue its jobs; jobs of earlier revisions are superseded.

        `is_again` says that a person asked for it: see `ledger.jobs.queue_again`.
        """
        with self._session.atomic():
            self._session.replace(
                "decisions",
                series_id=series.id,
                revision=series.revision,
                outcome=decision.outcome,
                summary=decision.summary,
                reasons=json.dumps([asdict(reason) for reason in decision.reasons]),
                decided_at=now(),
                put_off=decision.put_off,
            )
            self._session.execute(
                "UPDATE series SET outcome = nullif(?, 'wait') WHERE id = ?",
                [decision.outcome, series.id],
            )
            queue = queue_again if is_again else queue_jobs
            queue(self._session, series, jobs)
            told = "a person had it decided again" if is_again else "decided"
            self._session.note(series.id, f"{told}: {decision.summary}")

    def _series_row(self, key: SeriesKey) -> Row:
        return self._session.one(
            "SELECT series.* FROM series JOIN studies ON studies.id = study_id"
            " WHERE StudyInstanceUID = ? AND SeriesInstanceUID = ?",
            list(key),
        )
