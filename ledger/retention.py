"""Records what is deleted by which rule: before it happens, so that no restart forgets it.

Rows of what is deleted stay, with the number of their deletion: they are accounted for.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ledger.deleted import line_of, note
from ledger.session import Row, Session
from listener.journal import now
from listener.spool import SeriesKey

What = Literal["instances", "results"]

# The jobs of each series' current revision, for series with instances that are here.
_FINISHED = """
SELECT series.id AS series_id, series.revision, json_group_array(json_object(
    'key', key, 'rule', rule, 'folder', folder, 'ended_at', ended_at,
    'is_deleted', deletion_id IS NOT NULL,
    'is_good', jobs.state = 'done' AND NOT EXISTS
        (SELECT 1 FROM steps WHERE job_id = jobs.id AND steps.state != 'done'))) AS jobs
FROM series JOIN jobs ON series_id = series.id AND jobs.revision = series.revision
WHERE series.state = 'closed' AND outcome = 'process' AND instances > deleted
GROUP BY series.id
"""


@dataclass(frozen=True)
class Published:
    """The published outputs of a job: its key, and its folder below the results folder."""

    key: str
    folder: str


@dataclass(frozen=True)
class Due:
    """Something whose time is over.

    Attributes
    ----------
    what
        The instances of a series' revision, or the results of one job.
    series_id, revision
        Which series.
    rule
        The rule that says so; of several, the one that keeps it longest.
    published
        The outputs that must be intact before anything is deleted.
    """

    what: What
    series_id: int
    revision: int
    rule: str
    published: tuple[Published, ...]


@dataclass(frozen=True)
class Deletion:
    """A deletion that was recorded at `at`, and what of then must be gone; whose it was."""

    id: int
    what: What
    at: datetime
    key: SeriesKey
    sop_instance_uids: tuple[str, ...]
    folder: str
    patient_id: str = field(repr=False)


class Retention:
    """The deleting side of the ledger."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def instances_due(self, ended_before: Mapping[str, str]) -> Iterator[Due]:
        """The series whose instances no rule keeps any longer.

        Each job of the series' revision must have ended well, by a rule of `ended_before` and
        before the time it says. A series that another rule processed too is not among them.

        Parameters
        ----------
        ended_before
            The name of each rule that lets instances go, and the time (ISO 8601, UTC) before
            which its jobs must have ended.
        """
        for row in list(self._session.query(_FINISHED)):
            jobs: list[dict[str, Any]] = json.loads(row["jobs"])
            if all(_is_over(job, ended_before) for job in jobs):
                longest = min(jobs, key=lambda job: ended_before[job["rule"]])
                here = (Published(j["key"], j["folder"]) for j in jobs if not j["is_deleted"])
                yield Due(
                    "instances", row["series_id"], row["revision"], longest["rule"], tuple(here)
                )

    def results_due(self, ended_before: Mapping[str, str]) -> Iterator[Due]:
        """The jobs whose results their rule keeps no longer."""
        for rule, before in ended_before.items():
            rows = self._session.query(
                "SELECT key, series_id, revision, folder FROM jobs WHERE rule = ?"
                " AND ended_at < ? AND state IN ('done', 'superseded') AND folder IS NOT NULL"
                " AND deletion_id IS NULL",
                [rule, before],
            )
            for row in list(rows):
                published = (Published(row["key"], row["folder"]),)
                yield Due("results", row["series_id"], row["revision"], rule, published)

    def begin(self, due: Due) -> Deletion | None:
        """Record a deletion, which may then be carried out; None where it is no longer due."""
        with self._session.atomic():
            counted = self._instances(due) if due.what == "instances" else self._results(due)
            if not counted["count"]:
                return None
            deletion_id = self._session.insert(
                "deletions",
                series_id=due.series_id,
                what=due.what,
                rule=due.rule,
                at=now(),
                **counted,
            )
            if due.what == "instances":
                self._mark_instances(deletion_id, due, counted["count"])
            else:
                self._session.execute(
                    "UPDATE jobs SET deletion_id = ? WHERE key = ?",
                    [deletion_id, due.published[0].key],
                )
            self._session.note(
                due.series_id, f'deleted by rule "{due.rule}": {counted["count"]} {due.what}'
            )
        return self._deletion(deletion_id)

    def _instances(self, due: Due) -> Row:
        return self._session.one(
            "SELECT count(*) AS count, coalesce(sum(instances.bytes), 0) AS bytes FROM instances"
            " JOIN series ON series.id = series_id WHERE series_id = ? AND deletion_id IS NULL"
            " AND state = 'closed' AND series.revision = ?",
            [due.series_id, due.revision],
        )

    def _results(self, due: Due) -> Row:
        """One job's outputs; its manifest, which every published job has, counts as one more."""
        return self._session.one(
            "SELECT count(DISTINCT jobs.id) + count(outputs.id) AS count,"
            " coalesce(sum(bytes), 0) AS bytes FROM jobs LEFT JOIN outputs ON job_id = jobs.id"
            " WHERE key = ? AND deletion_id IS NULL",
            [due.published[0].key],
        )

    def _mark_instances(self, deletion_id: int, due: Due, count: int) -> None:
        self._session.execute(
            "UPDATE instances SET deletion_id = ? WHERE series_id = ? AND deletion_id IS NULL",
            [deletion_id, due.series_id],
        )
        self._session.execute(
            "UPDATE series SET deleted = deleted + ? WHERE id = ?", [count, due.series_id]
        )

    def unfinished(self) -> tuple[Deletion, ...]:
        """What was recorded and perhaps not carried out when an earlier run ended."""
        rows = self._session.query("SELECT id FROM deletions WHERE ended_at IS NULL ORDER BY id")
        return tuple(self._deletion(row["id"]) for row in list(rows))

    def note(self, deletion: Deletion, spool: Path) -> None:
        """Add a deletion to the record in the spool, before anything goes."""
        note(spool, line_of(self._session, deletion.id))

    def end(self, deletion: Deletion) -> None:
        """Record that a deletion was carried out."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE deletions SET ended_at = ? WHERE id = ?", [now(), deletion.id]
            )

    def forget_workbook(self, path: str) -> None:
        """Record that the workbook of a study, at `path` below results, is no more."""
        with self._session.atomic():
            self._session.execute("UPDATE studies SET workbook = NULL WHERE workbook = ?", [path])

    def _deletion(self, deletion_id: int) -> Deletion:
        row = self._session.one(
            "SELECT deletions.*, StudyInstanceUID, SeriesInstanceUID, PatientID,"
            " coalesce((SELECT folder FROM jobs WHERE deletion_id = deletions.id), '') AS folder"
            " FROM deletions JOIN series ON series.id = deletions.series_id"
            " JOIN studies ON studies.id = study_id WHERE deletions.id = ?",
            [deletion_id],
        )
        uids = self._session.query(
            "SELECT SOPInstanceUID FROM instances WHERE series_id = ? AND deletion_id = ?",
            [row["series_id"], deletion_id],
        )
        return Deletion(
            deletion_id,
            row["what"],
            datetime.fromisoformat(row["at"]),
            SeriesKey(row["StudyInstanceUID"], row["SeriesInstanceUID"]),
            tuple(instance["SOPInstanceUID"] for instance in uids),
            row["folder"],
            row["PatientID"],
        )


def _is_over(job: Mapping[str, Any], ended_before: Mapping[str, str]) -> bool:
    return bool(job["is_good"] and job["ended_at"] < ended_before.get(job["rule"], ""))
