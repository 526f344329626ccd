"""Reads the ledger for the status page and the command line. It never writes or holds a lock."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ledger.audit_reader import AuditReader
from ledger.configuration_reader import ConfigurationReader
from ledger.connection import open_for_reading
from ledger.errors import NotInLedger
from ledger.notification_reader import NotificationReader
from ledger.retrieve_reader import RetrieveReader
from ledger.rows import (
    AssociationRow,
    DecisionRow,
    DeletionRow,
    Growth,
    HistoryRow,
    JobRow,
    KeptInstance,
    OutputRow,
    Overview,
    PauseRow,
    QuarantineRow,
    RefusalRow,
    RevisionRow,
    RuleLoadRow,
    RunRow,
    SeriesRow,
    StepRow,
)
from ledger.rule_reader import RuleReader
from ledger.sender_reader import SenderReader
from ledger.series_rows import SERIES, decoded, series_rows
from ledger.study_reader import StudyReader
from ledger.tallies import Tallies, tallies_of

if TYPE_CHECKING:
    from ledger.cases import Cases

_Record = TypeVar("_Record")
_RUNS = 20


class LedgerReader:
    """A read-only view of the ledger; one thread at a time may use it.

    Parameters
    ----------
    path
        The SQLite file.

    Raises
    ------
    NoLedger, NewerSchema, UnreadableLedger, LedgerLocked
        As `ledger.connection.open_for_reading` says.
    """

    def __init__(self, path: Path) -> None:
        self._connection = open_for_reading(path)
        self.audit = AuditReader(self._connection)
        self.retrieves = RetrieveReader(self._connection)
        self.senders = SenderReader(self._connection)
        self.rules = RuleReader(self._connection)
        self.studies = StudyReader(self._connection)
        self.notifications = NotificationReader(self._connection)
        self.configurations = ConfigurationReader(self._connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @cached_property
    def cases(self) -> "Cases":
        """What rules decide on."""
        from ledger.cases import Cases  # noqa: PLC0415 - takes long, and few who read need it

        return Cases(self._mappings)

    def version(self) -> int:
        """A number that changes whenever somebody wrote to the ledger."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def overview(self) -> Overview:
        """The numbers of the state line."""
        row = self._connection.execute(
            """SELECT
            (SELECT count(*) FROM studies) AS studies,
            (SELECT count(*) FROM series) AS series,
            (SELECT coalesce(sum(instances), 0) FROM series) AS instances,
            (SELECT coalesce(sum(bytes), 0) FROM series) AS bytes,
            (SELECT count(*) FROM associations WHERE state = 'open') AS open_associations,
            (SELECT count(*) FROM series WHERE state = 'arriving') AS arriving,
            (SELECT count(*) FROM jobs WHERE state = 'queued') AS queued,
            (SELECT count(*) FROM jobs WHERE state = 'running') AS running,
            (SELECT count(*) FROM series WHERE outcome = 'hold')
             + (SELECT count(*) FROM jobs WHERE state = 'dead')
             + (SELECT count(DISTINCT job_id) FROM steps JOIN jobs ON jobs.id = job_id
                WHERE steps.state = 'failed' AND jobs.state = 'done') AS attention,
            (SELECT count(*) FROM quarantine) AS quarantined,
            (SELECT count(*) FROM refusals WHERE at >
             strftime('%Y-%m-%dT%H:%M:%S', 'now', '-1 day')) AS refusals,
            (SELECT count(*) FROM notifications WHERE state = 'dead') AS undelivered"""
        ).fetchone()
        return Overview(**dict(row))

    def tallies(self) -> Tallies:
        """The sums that are watched over time."""
        return tallies_of(self._connection)

    def series(self, *, limit: int = 100, offset: int = 0) -> tuple[SeriesRow, ...]:
        """The series, those that moved last first."""
        query = f"{SERIES} ORDER BY last_arrival_at DESC, series.id DESC LIMIT ? OFFSET ?"
        return self._series(query, [limit, offset])

    def instance(self, sop_instance_uid: str) -> KeptInstance | None:
        """The instance of this UID; None where the ledger has none."""
        names = ", ".join(field.name for field in fields(KeptInstance))
        found = self._records(
            KeptInstance,
            f"SELECT {names} FROM instances JOIN series ON series.id = series_id"
            " JOIN studies ON studies.id = study_id WHERE SOPInstanceUID = ?",
            [sop_instance_uid],
        )
        return found[0] if found else None

    def one_series(self, series_id: int) -> SeriesRow:
        """One series.

        Raises
        ------
        NotInLedger
            There is no series of this number.
        """
        found = self._series(f"{SERIES} WHERE series.id = ?", [series_id])
        if not found:
            raise NotInLedger(f"no series {series_id}")
        return found[0]

    def study_series(self, study_id: int) -> tuple[SeriesRow, ...]:
        """The series of a study, by number.

        Raises
        ------
        NotInLedger
            There is no study of this number.
        """
        found = self._series(
            f"{SERIES} WHERE study_id = ? ORDER BY SeriesNumber, series.id", [study_id]
        )
        if not found:
            raise NotInLedger(f"no study {study_id}")
        return found

    def decision(self, series_id: int) -> DecisionRow | None:
        """The latest decision on a series; None while there is none."""
        row = self._connection.execute(
            "SELECT revision, outcome, summary, reasons, decided_at FROM decisions"
            " WHERE series_id = ? ORDER BY revision DESC LIMIT 1",
            [series_id],
        ).fetchone()
        return None if row is None else DecisionRow(**decoded(row, "reasons"))

    def revisions(self, series_id: int) -> tuple[RevisionRow, ...]:
        """The revisions of a series, the latest first; none while it was never closed."""
        rows = self._connection.execute(
            "SELECT revision, summary, decided_at, (SELECT count(*) FROM instances"
            "  WHERE series_id = ?1 AND revision <= decisions.revision) AS instances"
            " FROM decisions WHERE series_id = ?1 ORDER BY revision DESC",
            [series_id],
        )
        return tuple(RevisionRow(**dict(row)) for row in rows)

    def sop_instance_uids(self, series_id: int) -> frozenset[str]:
        """The instances of a series that ever came; a rule may have deleted some since."""
        rows = self._connection.execute(
            "SELECT SOPInstanceUID FROM instances WHERE series_id = ?", [series_id]
        )
        return frozenset(uid for (uid,) in rows)

    def rules_in_force(self) -> tuple[RuleLoadRow | None, RuleLoadRow | None]:
        """The rules in force, and a later attempt to load others that failed, if there is one."""
        names = ", ".join(field.name for field in fields(RuleLoadRow))
        statement = f"SELECT {names} FROM rule_loads ORDER BY id DESC"
        loads = self._records(RuleLoadRow, f"{statement} LIMIT 1", [])
        good = self._records(
            RuleLoadRow,
            statement.replace(" ORDER", " WHERE problem IS NULL ORDER") + " LIMIT 1",
            [],
        )
        failed = loads[0] if loads and loads[0].problem is not None else None
        return (good[0] if good else None), failed

    def history(self, series_id: int) -> tuple[HistoryRow, ...]:
        """Everything that happened to a series, in order."""
        return self._records(
            HistoryRow, "SELECT at, what FROM history WHERE series_id = ? ORDER BY id", [series_id]
        )

    def jobs_of(self, series_id: int) -> tuple[JobRow, ...]:
        """The jobs of a series, the newest first."""
        return self._jobs("WHERE series_id = ? ORDER BY id DESC", [series_id])

    def jobs(
        self, states: Sequence[str], *, limit: int = 50, offset: int = 0
    ) -> tuple[JobRow, ...]:
        """Jobs in one of `states`, those that began last first."""
        marks = ", ".join("?" for _ in states)
        return self._jobs(
            f"WHERE state IN ({marks}) ORDER BY coalesce(started_at, queued_at) DESC, id DESC"
            " LIMIT ? OFFSET ?",
            [*states, limit, offset],
        )

    def earlier_runs(self, job_id: int) -> tuple[RunRow, ...]:
        """The latest jobs that ended well and were of the same rule and steps as a job."""
        rows = self._connection.execute(
            "SELECT run.seconds, instances FROM jobs AS asked CROSS JOIN"
            " (SELECT * FROM jobs WHERE state = 'done' AND rule = ?2"
            "  ORDER BY ended_at DESC LIMIT ?3) AS run ON run.steps = asked.steps"
            " CROSS JOIN series ON series.id = run.series_id"
            " WHERE asked.id = ?1 AND run.seconds IS NOT NULL",
            [job_id, self._rule_of(job_id), _RUNS],
        )
        return tuple(RunRow(**dict(row)) for row in rows)

    def _rule_of(self, job_id: int) -> str:
        row = self._connection.execute("SELECT rule FROM jobs WHERE id = ?", [job_id]).fetchone()
        return "" if row is None else str(row[0])

    def count_jobs(self, *states: str) -> int:
        """How many jobs are in one of `states`."""
        marks = ", ".join("?" for _ in states)
        row = self._connection.execute(
            f"SELECT count(*) FROM jobs WHERE state IN ({marks})", states
        )
        return int(row.fetchone()[0])

    def job(self, job_id: int) -> JobRow:
        """One job.

        Raises
        ------
        NotInLedger
            There is no job of this number.
        """
        found = self._jobs("WHERE id = ?", [job_id])
        if not found:
            raise NotInLedger(f"no job {job_id}")
        return found[0]

    def pauses(self) -> tuple[PauseRow, ...]:
        """What keeps jobs waiting, what pauses everything first."""
        return self._records(
            PauseRow,
            "SELECT processor, cause, reason, at, until FROM pauses ORDER BY processor, cause",
            [],
        )

    def disk_stage(self) -> str | None:
        """The latest stage of the disk; None where none was recorded."""
        row = self._connection.execute(
            "SELECT stage FROM disk_stages ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return None if row is None else str(row[0])

    def kept_bytes(self) -> int:
        """Bytes of the instances that no rule has deleted."""
        (kept,) = self._connection.execute(
            """SELECT coalesce(sum(CASE WHEN deleted = 0 THEN bytes WHEN deleted < instances THEN
            (SELECT sum(bytes) FROM instances WHERE series_id = series.id AND deletion_id IS NULL)
            ELSE 0 END), 0) FROM series"""
        ).fetchone()
        return int(kept)

    def growth(self) -> Growth:
        """What came and stayed in the last 24 hours, or since the first study when that is less."""
        now = datetime.now(UTC)
        since = (now - timedelta(hours=24)).isoformat(timespec="milliseconds")
        row = self._connection.execute(
            """SELECT
            (SELECT coalesce(sum(instances.bytes), 0) FROM series
             JOIN instances ON series_id = series.id
             WHERE last_arrival_at >= ?1 AND received_at >= ?1)
            - (SELECT coalesce(sum(bytes), 0) FROM deletions
               WHERE at >= ?1 AND what = 'instances') AS received,
            (SELECT coalesce(sum(outputs.bytes), 0) FROM jobs JOIN outputs ON job_id = jobs.id
             WHERE ended_at >= ?1)
            - (SELECT coalesce(sum(bytes), 0) FROM deletions
               WHERE at >= ?1 AND what = 'results') AS published,
            (SELECT first_seen_at FROM studies ORDER BY id LIMIT 1) AS began""",
            [since],
        ).fetchone()
        began = datetime.fromisoformat(row["began"]) if row["began"] else now
        hours = min(24.0, max(1.0, (now - began).total_seconds() / 3600))
        return Growth(row["received"], row["published"], hours)

    def deletions(self, *, limit: int = 50) -> tuple[DeletionRow, ...]:
        """What rules deleted, the latest first."""
        names = ", ".join(field.name for field in fields(DeletionRow))
        return self._records(
            DeletionRow, f"SELECT {names} FROM deletions ORDER BY id DESC LIMIT ?", [limit]
        )

    def associations(self, *, limit: int = 20) -> tuple[AssociationRow, ...]:
        """The latest associations, open ones first."""
        names = ", ".join(field.name for field in fields(AssociationRow))
        return self._records(
            AssociationRow,
            f"SELECT {names} FROM associations ORDER BY state = 'open' DESC, began_at DESC LIMIT ?",
            [limit],
        )

    def refusals(self, *, limit: int = 50) -> tuple[RefusalRow, ...]:
        """What was refused, the latest first."""
        return self._records(
            RefusalRow,
            "SELECT calling_ae, at, reason FROM refusals ORDER BY id DESC LIMIT ?",
            [limit],
        )

    def quarantine(self, *, limit: int = 50) -> tuple[QuarantineRow, ...]:
        """What was set aside, the latest first."""
        return self._records(
            QuarantineRow,
            "SELECT name, reason, SeriesInstanceUID, at FROM quarantine"
            " ORDER BY at DESC, name LIMIT ?",
            [limit],
        )

    def output(self, output_id: int) -> OutputRow:
        """One published file.

        Raises
        ------
        NotInLedger
            There is no output of this number.
        """
        found = self._outputs("outputs.id = ?", output_id)
        if not found:
            raise NotInLedger(f"no output {output_id}")
        return found[0]

    def _mappings(self, statement: str, values: Sequence[object]) -> Iterator[Mapping[str, Any]]:
        return map(dict, self._connection.execute(statement, list(values)))

    def _series(self, query: str, values: Sequence[object]) -> tuple[SeriesRow, ...]:
        return series_rows(self._connection, query, values)

    def _jobs(self, clause: str, values: Sequence[object]) -> tuple[JobRow, ...]:
        rows = self._connection.execute(
            "SELECT id, key, series_id, revision, rule, state, priority, tries, queued_at,"
            " not_before, started_at, ended_at, seconds, folder, error"
            f" FROM jobs {clause}",
            list(values),
        ).fetchall()
        return tuple(
            JobRow(
                **dict(row),
                steps=self._steps(row["id"]),
                outputs=self._outputs("job_id = ? ORDER BY outputs.id", row["id"]),
            )
            for row in rows
        )

    def _steps(self, job_id: int) -> tuple[StepRow, ...]:
        rows = self._connection.execute(
            "SELECT processor, state, summary, details FROM steps WHERE job_id = ? ORDER BY id",
            [job_id],
        )
        return tuple(StepRow(**decoded(row, "details")) for row in rows)

    def _outputs(self, clause: str, value: int) -> tuple[OutputRow, ...]:
        return self._records(
            OutputRow,
            "SELECT outputs.id, job_id, processor, folder || '/' || path AS path, kind, bytes,"
            " sha256 FROM outputs JOIN jobs ON jobs.id = job_id"
            f" WHERE deletion_id IS NULL AND {clause}",
            [value],
        )

    def _records(
        self, kind: type[_Record], query: str, values: Sequence[object]
    ) -> tuple[_Record, ...]:
        return tuple(kind(**dict(row)) for row in self._connection.execute(query, list(values)))
