"""Reads what is known of a closed series beside its header: what the rules decide on.

The daemon reads through its own connection, a command through one that cannot write.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.errors import NotInLedger
from ledger.records import ClosedSeries
from listener.spool import SeriesKey
from rules.texts import RuleText

Query = Callable[[str, Sequence[object]], Iterable[Mapping[str, Any]]]
"""Runs a statement and returns its rows."""


@dataclass(frozen=True)
class Found:
    """What one processor found in the current revision of a series."""

    processor: str
    state: str
    details: Mapping[str, object]


@dataclass(frozen=True)
class Case:
    """A closed series, its study, and what became of it.

    Attributes
    ----------
    series
        Its current revision.
    is_arriving
        Whether more has come, so that it will close again.
    series_number, description
        What people call it by.
    study_modalities, study_series, study_instances
        What has come of its study so far.
    study_is_arriving, study_grade
        Whether more of the study may come, and how good the evidence was that it does not.
    found
        What processors found, the latest last.
    ended_rules
        The rules whose jobs on this revision have ended, well or not.
    job_keys
        What identifies the jobs on this revision.
    outcome, summary
        What was decided of this revision; None while nothing is.
    put_off
        Whether a rule waits for something.
    list_rule
        The rule of the latest retrieve list with the accession number of its study, under the
        name of the list; None where that list has none, or there is no such list.
    """

    series: ClosedSeries
    is_arriving: bool
    series_number: int | None
    description: str
    study_modalities: tuple[str, ...]
    study_series: int
    study_instances: int
    study_is_arriving: bool
    study_grade: str | None
    found: tuple[Found, ...]
    ended_rules: frozenset[str]
    job_keys: frozenset[str]
    outcome: str | None
    summary: str | None
    put_off: bool
    list_rule: RuleText | None


class Cases:
    """Reads cases.

    Parameters
    ----------
    query
        Runs a statement on the ledger.
    """

    def __init__(self, query: Query) -> None:
        self._query = query

    def case(self, series_id: int) -> Case:
        """All that is known of a closed series.

        Raises
        ------
        NotInLedger
            There is no series of this number.
        """
        row = self._one("SELECT * FROM series WHERE id = ?", [series_id])
        study = self._one(
            "SELECT json_group_array(DISTINCT Modality) AS modalities, count(*) AS series,"
            " sum(instances) AS instances, is_arriving, complete_grade, AccessionNumber"
            " FROM series JOIN studies ON studies.id = study_id WHERE study_id = ?",
            [row["study_id"]],
        )
        current = [series_id, row["revision"]]
        jobs = list(self._query("SELECT * FROM jobs WHERE series_id = ? AND revision = ?", current))
        decision = self._decision(current)
        return Case(
            series=self.closed_series(series_id),
            is_arriving=row["state"] == "arriving",
            series_number=row["SeriesNumber"],
            description=row["SeriesDescription"],
            study_modalities=tuple(sorted(filter(None, json.loads(study["modalities"])))),
            study_series=study["series"],
            study_instances=study["instances"],
            study_is_arriving=bool(study["is_arriving"]),
            study_grade=study["complete_grade"],
            found=self._found(current),
            ended_rules=frozenset(job["rule"] for job in jobs if job["state"] not in _NO_END),
            job_keys=frozenset(job["key"] for job in jobs),
            outcome=decision.get("outcome"),
            summary=decision.get("summary"),
            put_off=bool(decision.get("put_off")),
            list_rule=self._list_rule(study["AccessionNumber"]),
        )

    def closed_series(self, series_id: int, revision: int | None = None) -> ClosedSeries:
        """A revision of a series, by default the current one.

        What came after it is not in it, also when it has been recorded meanwhile.
        """
        row = self._one(
            "SELECT series.*, StudyInstanceUID FROM series"
            " JOIN studies ON studies.id = study_id WHERE series.id = ?",
            [series_id],
        )
        revision = row["revision"] if revision is None else revision
        instances = list(
            self._query(
                "SELECT SOPInstanceUID, sha256 FROM instances WHERE series_id = ?"
                " AND revision <= ? AND deletion_id IS NULL"
                " ORDER BY InstanceNumber, SOPInstanceUID",
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

    def closed_series_of_study(self, study_instance_uid: str) -> tuple[int, ...]:
        """The series of a study that are closed."""
        return self._ids(
            "SELECT id FROM series WHERE state = 'closed' AND study_id ="
            " (SELECT id FROM studies WHERE StudyInstanceUID = ?)",
            [study_instance_uid],
        )

    def put_off(self) -> tuple[int, ...]:
        """The closed series of which a rule waits for something and no job is left to do."""
        return self._ids(
            "SELECT series.id FROM decisions JOIN series ON series.id = series_id"
            " WHERE put_off AND state = 'closed' AND decisions.revision = series.revision"
            " AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.series_id = series.id"
            "  AND jobs.revision = series.revision AND jobs.state IN ('queued', 'running'))",
            [],
        )

    def closed_since(self, at: str) -> tuple[int, ...]:
        """The series that were closed at or after a time (ISO 8601, UTC), the oldest first."""
        return self._ids(
            "SELECT id FROM series WHERE state = 'closed' AND closed_at >= ? ORDER BY closed_at",
            [at],
        )

    def of_uid(self, series_instance_uid: str) -> tuple[int, ...]:
        """The series of this UID; several studies may hold one."""
        return self._ids(
            "SELECT id FROM series WHERE SeriesInstanceUID = ? ORDER BY id", [series_instance_uid]
        )

    def study(self, series_id: int) -> tuple[str, str]:
        """Accession number and UID of a series' study."""
        row = self._one(
            "SELECT AccessionNumber, StudyInstanceUID FROM studies"
            " WHERE id = (SELECT study_id FROM series WHERE id = ?)",
            [series_id],
        )
        return row["AccessionNumber"], row["StudyInstanceUID"]

    def _decision(self, current: Sequence[object]) -> Mapping[str, Any]:
        rows = self._query(
            "SELECT outcome, summary, put_off FROM decisions WHERE series_id = ? AND revision = ?",
            current,
        )
        return next(iter(rows), {})

    def _list_rule(self, accession_number: str) -> RuleText | None:
        rows = self._query(
            "SELECT list.id, list.rule FROM retrieve_items AS item"
            " JOIN retrieve_lists AS list ON list.id = list_id"
            " WHERE accession_number = ? AND state != 'cancelled' ORDER BY list_id DESC LIMIT 1",
            [accession_number],
        )
        for row in rows:
            if row["rule"]:
                return RuleText(f"Retrieve list {row['id']}", row["rule"])
        return None

    def _found(self, current: Sequence[object]) -> tuple[Found, ...]:
        rows = self._query(
            "SELECT processor, steps.state, details FROM jobs JOIN steps ON job_id = jobs.id"
            " WHERE series_id = ? AND revision = ? AND jobs.state = 'done' ORDER BY steps.id",
            current,
        )
        return tuple(Found(r["processor"], r["state"], json.loads(r["details"])) for r in rows)

    def _ids(self, statement: str, values: Sequence[object]) -> tuple[int, ...]:
        return tuple(row["id"] for row in self._query(statement, values))

    def _one(self, statement: str, values: Sequence[object]) -> Mapping[str, Any]:
        for row in self._query(statement, values):
            return row
        raise NotInLedger("no such series")


_NO_END = frozenset({"queued", "running", "superseded"})


def instances_digest(instances: Iterable[tuple[str, str]]) -> str:
    """The digest of a set of instances, each given as its UID and SHA-256; in any order."""
    lines = "".join(f"{uid}:{sha256}\n" for uid, sha256 in sorted(instances))
    return hashlib.sha256(lines.encode("ascii")).hexdigest()
