"""Finds studies for the page, the latest first, a page at a time, also among very many."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType

from ledger.errors import NotInLedger
from ledger.rows import SeriesState, StudyRow
from ledger.series_rows import SERIES, STATE, series_rows

_STUDIES = """SELECT id, StudyInstanceUID, PatientID, PatientName, AccessionNumber, StudyDate,
    StudyDescription, is_arriving, complete_grade, complete_evidence FROM studies"""

# What a series is in at most, from columns and small sets: only of what is left the state, which
# takes long, is looked at.
_MAY_BE: Mapping[SeriesState, str] = MappingProxyType(
    {
        "arriving": "series.id IN (SELECT id FROM series WHERE state = 'arriving')",
        "waiting": "(outcome IS NULL OR series.id IN (SELECT series_id FROM jobs"
        " WHERE state = 'queued' UNION SELECT series_id FROM decisions WHERE put_off))",
        "processing": "series.id IN (SELECT series_id FROM jobs WHERE state = 'running')",
        "done": "outcome = 'process'",
        "kept": "(outcome = 'keep' OR series.id IN"
        " (SELECT series_id FROM jobs WHERE state = 'cancelled'))",
        "dropped": "outcome = 'drop'",
        "attention": "series.id IN (SELECT id FROM series WHERE outcome = 'hold'"
        " UNION SELECT series_id FROM jobs WHERE state = 'dead'"
        " UNION SELECT series_id FROM steps CROSS JOIN jobs ON jobs.id = job_id"
        "  WHERE steps.state = 'failed')",
    }
)
_LOW_QUALITY = """series.id IN (SELECT series_id FROM steps CROSS JOIN jobs ON jobs.id = job_id
    WHERE processor = 'qc' AND json_extract(details, '$.low_quality') AND jobs.state = 'done')"""


@dataclass(frozen=True)
class StudyFilter:
    """Which studies are looked for; what is empty does not matter.

    Attributes
    ----------
    patient
        Words that the name has, in any order, or a part of the patient ID.
    accession
        A part of the accession number.
    study_uids
        Any of these.
    first_day, last_day
        StudyDate, as ``20260131``; either may be open.
    modality, state, grade, low_quality
        Of one and the same series.
    """

    patient: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    study_uids: tuple[str, ...] = ()
    first_day: str = ""
    last_day: str = ""
    modality: str = ""
    state: SeriesState | None = None
    grade: str = ""
    low_quality: bool = False


@dataclass(frozen=True)
class StudyPage:
    """Some studies, the latest first, and whether there are newer and older ones."""

    rows: tuple[StudyRow, ...] = ()
    has_newer: bool = False
    has_older: bool = False


class StudyReader:
    """Asks about studies, on the connection of a `ledger.reader.LedgerReader`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def one(self, study_id: int) -> StudyRow:
        """One study.

        Raises
        ------
        NotInLedger
            There is no study of this number.
        """
        found = self._with_series(f"{_STUDIES} WHERE id = ?", [study_id])
        if not found:
            raise NotInLedger(f"no study {study_id}")
        return found[0]

    def page(
        self,
        wanted: StudyFilter,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> StudyPage:
        """Studies in the order in which they came first, the latest first.

        Parameters
        ----------
        before, after
            The number of a study: the next older or newer ones. A page is begun at a study, not
            at a count: what arrives meanwhile moves nothing, and far pages cost no more.
        """
        edge, order = ("studies.id > ?", "ASC") if after is not None else ("studies.id < ?", "DESC")
        at = after if after is not None else (1 << 62 if before is None else before)
        conditions, values = _conditions(wanted)
        found = self._with_series(
            f"{_STUDIES} WHERE {' AND '.join([edge, *conditions])}"
            f" ORDER BY studies.id {order} LIMIT ?",
            [at, *values, limit + 1],
        )
        more, rows = len(found) > limit, found[:limit]
        if after is not None:
            return StudyPage(rows[::-1], has_newer=more, has_older=True)
        return StudyPage(rows, has_newer=before is not None, has_older=more)

    def _with_series(self, query: str, values: Sequence[object]) -> tuple[StudyRow, ...]:
        rows = self._connection.execute(query, list(values)).fetchall()
        if not rows:
            return ()
        marks = ", ".join("?" for _ in rows)
        series = series_rows(
            self._connection,
            f"{SERIES} WHERE study_id IN ({marks}) ORDER BY study_id, SeriesNumber, series.id",
            [row["id"] for row in rows],
        )
        of = {number: tuple(some) for number, some in groupby(series, lambda one: one.study_id)}
        return tuple(
            StudyRow(
                **{**dict(row), "is_arriving": bool(row["is_arriving"])},
                series=of.get(row["id"], ()),
            )
            for row in rows
        )


def _conditions(wanted: StudyFilter) -> tuple[list[str], list[object]]:
    """The conditions on a study, with their values."""
    pairs = [*_of_study(wanted)]
    if of_series := [*_of_series(wanted)]:
        exists = " AND ".join(condition for condition, _ in of_series)
        values = [value for _, some in of_series for value in some]
        pairs.append(
            (f"EXISTS (SELECT 1 FROM series WHERE study_id = studies.id AND {exists})", values)
        )
    return [condition for condition, _ in pairs], [value for _, some in pairs for value in some]


def _of_study(wanted: StudyFilter) -> Iterator[tuple[str, list[object]]]:
    if wanted.study_uids:
        marks = ", ".join("?" for _ in wanted.study_uids)
        yield f"StudyInstanceUID IN ({marks})", [*wanted.study_uids]
    if wanted.first_day:
        yield "StudyDate >= ?", [wanted.first_day]
    if wanted.last_day:
        yield "StudyDate <= ? AND StudyDate != ''", [wanted.last_day]
    if wanted.accession:
        yield "AccessionNumber LIKE ? ESCAPE '!'", [_containing(wanted.accession)]
    if words := wanted.patient.replace("^", " ").split():
        named = " AND ".join("PatientName LIKE ? ESCAPE '!'" for _ in words)
        yield (
            f"(PatientID LIKE ? ESCAPE '!' OR {named})",
            [_containing(wanted.patient.strip()), *map(_containing, words)],
        )


def _of_series(wanted: StudyFilter) -> Iterator[tuple[str, list[object]]]:
    if wanted.modality:
        yield "Modality = ?", [wanted.modality]
    if wanted.grade:
        yield "grade = ?", [wanted.grade]
    if wanted.low_quality:
        yield _LOW_QUALITY, []
    if wanted.state is not None:
        yield _MAY_BE[wanted.state], []
        yield f"{STATE} = ?", [wanted.state]


def _containing(text: str) -> str:
    """A pattern for LIKE, with ``!`` before what would stand for other characters.

    >>> _containing("a_1%")
    '%a!_1!%%'
    """
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return f"%{text}%"
