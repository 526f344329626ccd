"""What the ledger knows of studies whose jobs have ended: for their workbooks and reports."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from ledger.session import Row, Session
from processor.cells import Cell
from processor.reported import Remark, ReportedSeries

# Studies of one accession number count as one: their results share a folder.
_SIBLINGS = """SELECT id FROM series WHERE study_id IN (
    WITH own AS (SELECT studies.id, AccessionNumber FROM series
     JOIN studies ON studies.id = study_id WHERE series.id = ?)
    SELECT id FROM own
    UNION SELECT studies.id FROM studies JOIN own USING (AccessionNumber)
     WHERE AccessionNumber != '')"""

_STUDY = ("PatientID", "PatientName", "AccessionNumber", "StudyDate", "StudyDescription")
_SERIES = ("SeriesNumber", "SeriesDescription", "Modality")

_WITHOUT_RESULTS = f"""SELECT StudyInstanceUID, SeriesInstanceUID, SeriesNumber,
    SeriesDescription, Modality, instances, expected, grade, evidence, series.state, outcome,
    (SELECT error FROM jobs WHERE series_id = series.id AND jobs.revision = series.revision
     AND state = 'dead' ORDER BY id DESC LIMIT 1) AS error,
    EXISTS (SELECT 1 FROM jobs WHERE series_id = series.id AND state = 'done') AS was_done,
    (SELECT summary FROM decisions WHERE series_id = series.id
     AND decisions.revision = series.revision) AS summary
    FROM series JOIN studies ON studies.id = study_id
    WHERE series.id IN ({_SIBLINGS}) AND NOT EXISTS
        (SELECT 1 FROM jobs WHERE series_id = series.id AND jobs.state = 'done'
         AND deletion_id IS NULL)
    ORDER BY series.id"""


class Studies:
    """The study of a series, with all that belongs to it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def folders(self, series_id: int) -> tuple[str, ...]:
        """Folders of the current results of a series' study; none while a job is unfinished."""
        waiting = self._session.one(
            "SELECT count(*) AS n FROM jobs"
            # The plus has the index of the series used, and not that of a long queue.
            f" WHERE series_id IN ({_SIBLINGS}) AND +state IN ('queued', 'running')",
            [series_id],
        )
        if waiting["n"]:
            return ()
        rows = self._session.query(
            f"SELECT folder FROM jobs WHERE series_id IN ({_SIBLINGS}) AND +state = 'done'"
            " AND deletion_id IS NULL ORDER BY id",
            [series_id],
        )
        return tuple(row["folder"] for row in rows)

    def header(self, series_id: int) -> Mapping[str, Cell]:
        """What is known of a series' study, by keyword."""
        row = self._session.one(
            f"SELECT {', '.join(_STUDY)} FROM series JOIN studies ON studies.id = study_id"
            " WHERE series.id = ?",
            [series_id],
        )
        return {name: row[name] for name in _STUDY}

    def without_results(self, series_id: int) -> tuple[ReportedSeries, ...]:
        """The series of a series' study of which nothing is published, and why."""
        return tuple(map(_reported, self._session.query(_WITHOUT_RESULTS, [series_id])))

    def record_workbook(self, series_id: int, path: PurePosixPath) -> None:
        """Record where the workbook of a series' study is, below results."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE studies SET workbook = ? WHERE id ="
                " (SELECT study_id FROM series WHERE id = ?)",
                [str(path), series_id],
            )


def _reported(row: Row) -> ReportedSeries:
    return ReportedSeries(
        row["StudyInstanceUID"],
        row["SeriesInstanceUID"],
        header={name: row[name] for name in _SERIES},
        instances=row["instances"],
        expected=row["expected"],
        grade=row["grade"] or "",
        evidence=row["evidence"] or "",
        remark=_remark(row),
    )


def _remark(row: Row) -> Remark:
    if row["error"]:
        return Remark("bad", f"given up: {row['error']}")
    if row["state"] == "arriving":
        return Remark("calm", "no results yet: instances are still coming")
    if row["outcome"] == "hold":
        return Remark("bad", f"held: {row['summary']}")
    if row["was_done"]:
        return Remark("calm", "its results were deleted by a rule of retention")
    return Remark("calm", f"nothing is made of it: {row['summary'] or 'not decided yet'}")
