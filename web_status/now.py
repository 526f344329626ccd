"""What the first page is made from: what moves, what needs a person, and one page of series."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ledger.reader import LedgerReader
from ledger.rows import AssociationRow, JobRow, Overview, RunRow, SeriesRow
from web_status.context import Progress
from web_status.retrieves import Fetching, running_retrieves

PAGE_SIZE = 50
_SHOWN = 20
_STEP_SECONDS = 5
_GROUND = 3  # so many earlier jobs are ground enough to say how long one will take


@dataclass(frozen=True)
class Running:
    """A job in a worker.

    Attributes
    ----------
    step, fraction
        The step at work, and how much of that is done, 0 to 1.
    seconds_left
        By how long earlier jobs of the same rule and steps took; None where too few are known,
        and when it takes longer than they did.
    """

    job: JobRow
    series: SeriesRow
    step: str
    fraction: float
    seconds_left: float | None = None


@dataclass(frozen=True)
class Now:
    """How the node is.

    Attributes
    ----------
    rows
        The asked page of the list of series.
    associations, arriving, running, fetching
        What moves; at most twenty of each.
    again
        Jobs that failed and will be tried again, each with its series.
    attention
        Series a person must look at: those among the newest, and those with a job given up.
    """

    overview: Overview
    rows: tuple[SeriesRow, ...] = ()
    associations: tuple[AssociationRow, ...] = ()
    arriving: tuple[SeriesRow, ...] = ()
    running: tuple[Running, ...] = ()
    fetching: tuple[Fetching, ...] = ()
    again: tuple[tuple[JobRow, SeriesRow], ...] = ()
    attention: tuple[SeriesRow, ...] = ()


EMPTY = Now(Overview(*[0] * 12))
"""How the node is before its ledger exists."""


def gather(reader: LedgerReader, page: int, progress: Progress, overview: Overview) -> Now:
    """Ask the ledger for one page of the list, and for what moves; `overview` is known already."""
    newest = reader.series(limit=PAGE_SIZE)
    offset = (page - 1) * PAGE_SIZE
    return Now(
        overview,
        newest if page == 1 else reader.series(limit=PAGE_SIZE, offset=offset),
        tuple(row for row in reader.associations(limit=_SHOWN) if row.state == "open"),
        tuple(row for row in newest if row.state == "arriving")[:_SHOWN],
        running_jobs(reader, progress),
        running_retrieves(reader, progress),
        _to_be_tried_again(reader) if overview.queued else (),
        _attention(reader, newest) if overview.attention else (),
    )


def running_jobs(reader: LedgerReader, progress: Progress) -> tuple[Running, ...]:
    """The jobs in workers, with how far they are as far as that is known."""
    found = []
    for job in reader.jobs(["running"], limit=_SHOWN):
        series = reader.one_series(job.series_id)
        left = seconds_left(job, series.instances, reader.earlier_runs(job.id))
        found.append(Running(job, series, *progress.get(job.key, ("", 0.0)), left))
    return tuple(found)


def seconds_left(job: JobRow, instances: int, earlier: Sequence[RunRow]) -> float | None:
    """How long a running job will take yet, if it takes as long an instance as earlier ones.

    None where fewer than three are known, and when that time is over. It goes down in steps of
    5 s: open pages need not be told each second.
    """
    if job.started_at is None or len(earlier) < _GROUND:
        return None
    an_instance = statistics.median(run.seconds / max(run.instances, 1) for run in earlier)
    ran = datetime.now(UTC) - datetime.fromisoformat(job.started_at)
    left = an_instance * instances - ran.total_seconds()
    return math.ceil(left / _STEP_SECONDS) * _STEP_SECONDS if left > 0 else None


def _to_be_tried_again(reader: LedgerReader) -> tuple[tuple[JobRow, SeriesRow], ...]:
    jobs = [job for job in reader.jobs(["queued"]) if job.error]
    return tuple((job, reader.one_series(job.series_id)) for job in jobs[:_SHOWN])


def _attention(reader: LedgerReader, newest: tuple[SeriesRow, ...]) -> tuple[SeriesRow, ...]:
    found = {row.id: row for row in newest if row.state == "attention"}
    for job in reader.jobs(["dead"], limit=_SHOWN):
        if job.series_id not in found:
            found[job.series_id] = reader.one_series(job.series_id)
    return tuple(found.values())[:_SHOWN]
