"""The record of what rules deleted, in the spool: what a new ledger cannot see there.

Each deletion is a line of JSON that is durable before its files go, in a file that is only ever
appended to. A ledger that is made again, or restored, takes from it what it does not know.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ledger.holdings import association_of
from ledger.published import Published, record_job
from ledger.session import Session
from listener.spool import SeriesKey

FILE = "deletions.jsonl"

Line = Mapping[str, Any]
Jobs = Callable[[], Mapping[SeriesKey, Sequence[Published]]]

_STUDY = (
    *("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber", "StudyDate"),
    *("StudyDescription", "first_seen_at", "complete_grade", "complete_evidence"),
)
_SERIES = (
    *("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "calling_ae"),
    *("called_ae", "state", "revision", "grade", "evidence", "outcome", "expected", "missing"),
    *("header_findings", "first_seen_at", "last_arrival_at", "closed_at"),
)
_INSTANCE = (
    *("SOPInstanceUID", "SOPClassUID", "InstanceNumber", "TransferSyntaxUID"),
    *("association_id", "bytes", "sha256", "received_at", "revision"),
)
_DECISION = ("revision", "outcome", "summary", "reasons", "decided_at")
_DELETION = ("what", "count", "bytes", "rule", "at")


def note(spool: Path, line: Line) -> None:
    """Append a deletion to the record; it is on disk when this returns."""
    descriptor = os.open(spool / FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END) and os.pread(descriptor, 1, file.tell() - 1) != b"\n":
            file.write(b"\n")  # a kill cut the last line off; its files are still there
        file.write(json.dumps(line).encode() + b"\n")
        os.fsync(descriptor)


def lines(spool: Path) -> Iterator[Line]:
    """What was deleted, in order; a line that was cut off is passed over."""
    try:
        with (spool / FILE).open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    yield json.loads(line)
    except FileNotFoundError:
        return


def line_of(session: Session, deletion_id: int) -> Line:
    """All that the ledger knows of what a deletion takes away."""
    deletion = session.one("SELECT * FROM deletions WHERE id = ?", [deletion_id])
    series = session.one("SELECT * FROM series WHERE id = ?", [deletion["series_id"]])
    study = session.one("SELECT * FROM studies WHERE id = ?", [series["study_id"]])
    decisions = session.query(
        "SELECT * FROM decisions WHERE series_id = ? AND revision = ?",
        [series["id"], series["revision"]],
    )
    instances = session.query(
        f"SELECT {', '.join(_INSTANCE)} FROM instances WHERE deletion_id = ?", [deletion_id]
    )
    jobs = session.query("SELECT key FROM jobs WHERE deletion_id = ?", [deletion_id])
    return {
        "deletion": _only(_DELETION, deletion),
        "study": _only(_STUDY, study),
        "series": _only(_SERIES, series),
        "decisions": [_only(_DECISION, row) for row in decisions],
        "instances": [list(row.values()) for row in instances],
        "jobs": [row["key"] for row in jobs],
    }


def take_over(session: Session, spool: Path, jobs: Jobs) -> int:
    """Record what was deleted and is not known; return how many instances that are.

    What is in the spool was not deleted yet, or was sent again since: then it is in the ledger as
    what came again, and what was deleted before counts for the association that had brought it.

    Parameters
    ----------
    session
        The ledger.
    spool
        The folder with the record.
    jobs
        Asked, where it is needed, for what is published, by series.
    """
    with session.atomic():
        return sum(_take_over(session, spool, line, jobs) for line in lines(spool))


def _take_over(session: Session, spool: Path, line: Line, jobs: Jobs) -> int:
    key = SeriesKey(line["study"]["StudyInstanceUID"], line["series"]["SeriesInstanceUID"])
    folder = spool / "instances" / key.StudyInstanceUID / key.SeriesInstanceUID
    series_id = _series_id(session, key)
    if series_id is not None:
        _mark_results(session, series_id, line)
    deleted = [
        (instance, path.exists())
        for instance, path in _instances(line, folder)
        if not path.exists() or association_of(path) != instance["association_id"]
    ]
    if not deleted:
        return 0
    series_id = series_id or _new_series(session, key, line, jobs)
    deletion_id = _deletion_id(session, series_id, line["deletion"])
    return sum(
        _mark(session, series_id, deletion_id, instance, is_here=is_here)
        for instance, is_here in deleted
    )


def _instances(line: Line, folder: Path) -> Iterator[tuple[Line, Path]]:
    """What a deletion took away, and where it was."""
    for values in line["instances"]:
        yield dict(zip(_INSTANCE, values, strict=True)), folder / f"{values[0]}.dcm"


def _series_id(session: Session, key: SeriesKey) -> int | None:
    rows = session.query(
        "SELECT series.id FROM series JOIN studies ON studies.id = study_id"
        " WHERE StudyInstanceUID = ? AND SeriesInstanceUID = ?",
        list(key),
    )
    return next((int(row["id"]) for row in rows), None)


def _new_series(session: Session, key: SeriesKey, line: Line, jobs: Jobs) -> int:
    """Record a series of which no instance is here, closed and decided as it was."""
    studies = session.query(
        "SELECT id FROM studies WHERE StudyInstanceUID = ?", [key.StudyInstanceUID]
    )
    study = next((row["id"] for row in studies), None)
    study_id = study or session.insert("studies", **_only(_STUDY, line["study"]))
    values = _only(_SERIES, line["series"])
    series_id = session.insert("series", study_id=study_id, **values)
    for decision in line["decisions"]:
        session.insert("decisions", series_id=series_id, **_only(_DECISION, decision))
    for job in jobs().get(key, ()):
        is_current = job.revision == line["series"]["revision"]
        record_job(session, series_id, job, is_current=is_current)
    session.note(series_id, "recorded again from the record of deletions")
    return series_id


def _deletion_id(session: Session, series_id: int, deletion: Line) -> int:
    rows = session.query(
        "SELECT id FROM deletions WHERE series_id = ? AND what = ? AND at = ?",
        [series_id, deletion["what"], deletion["at"]],
    )
    known = next((int(row["id"]) for row in rows), None)
    values = _only(_DELETION, deletion)
    return known or session.insert(
        "deletions", series_id=series_id, ended_at=deletion["at"], **values
    )


def _mark_results(session: Session, series_id: int, line: Line) -> None:
    """Record that results were deleted which the ledger has as published, and not made again."""
    for key in line["jobs"]:
        due = session.query(
            "SELECT id FROM jobs WHERE key = ? AND deletion_id IS NULL AND ended_at < ?",
            [key, line["deletion"]["at"]],
        )
        for job in list(due):
            deletion_id = _deletion_id(session, series_id, line["deletion"])
            session.execute(
                "UPDATE jobs SET deletion_id = ? WHERE id = ?", [deletion_id, job["id"]]
            )


def _mark(
    session: Session, series_id: int, deletion_id: int, instance: Line, *, is_here: bool
) -> int:
    """Record that an instance was deleted; return 1 where the ledger did not know it, else 0.

    `is_here` says that it was sent again since.
    """
    rows = session.query(
        "SELECT id, deletion_id, association_id FROM instances"
        " WHERE series_id = ? AND SOPInstanceUID = ?",
        [series_id, instance["SOPInstanceUID"]],
    )
    known = next(rows, None)
    if known is None and not is_here:
        _insert_deleted(session, series_id, deletion_id, instance)
        return 1
    if known is not None and known["deletion_id"] == deletion_id:
        return 0
    came_as = None if known is None else (known["association_id"], known["deletion_id"])
    if known is not None and came_as == (instance["association_id"], None):
        session.execute(
            "UPDATE instances SET deletion_id = ? WHERE id = ?", [deletion_id, known["id"]]
        )
        session.execute("UPDATE series SET deleted = deleted + 1 WHERE id = ?", [series_id])
        return 1
    session.replace(
        "sent_again",
        deletion_id=deletion_id,
        SOPInstanceUID=instance["SOPInstanceUID"],
        association_id=instance["association_id"],
    )
    return 0


def _insert_deleted(session: Session, series_id: int, deletion_id: int, instance: Line) -> None:
    session.insert("instances", series_id=series_id, deletion_id=deletion_id, **instance)
    session.execute(
        "UPDATE series SET deleted = deleted + 1, instances = instances + 1, bytes = bytes + ?"
        " WHERE id = ?",
        [instance["bytes"], series_id],
    )


def _only(names: Sequence[str], row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in names}
