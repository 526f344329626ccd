"""What the first page is made from: what moves, what needs a person, and one page of series."""

from dataclasses import dataclass

from ledger.reader import LedgerReader
from ledger.rows import AssociationRow, JobRow, Overview, SeriesRow
from web_status.context import Progress
from web_status.retrieves import Fetching, running_retrieves

PAGE_SIZE = 50
_SHOWN = 20


@dataclass(frozen=True)
class Running:
    """A job in a worker: its series, the step at work and the fraction of that done."""

    job: JobRow
    series: SeriesRow
    step: str
    fraction: float


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


EMPTY = Now(Overview(*[0] * 11))
"""How the node is before its ledger exists."""


def gather(reader: LedgerReader, page: int, progress: Progress) -> Now:
    """Ask the ledger for one page of the list, and for what moves."""
    overview = reader.overview()
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
    return tuple(
        Running(job, reader.one_series(job.series_id), *progress.get(job.key, ("", 0.0)))
        for job in reader.jobs(["running"], limit=_SHOWN)
    )


def _to_be_tried_again(reader: LedgerReader) -> tuple[tuple[JobRow, SeriesRow], ...]:
    jobs = [job for job in reader.jobs(["queued"]) if job.error]
    return tuple((job, reader.one_series(job.series_id)) for job in jobs[:_SHOWN])


def _attention(reader: LedgerReader, newest: tuple[SeriesRow, ...]) -> tuple[SeriesRow, ...]:
    found = {row.id: row for row in newest if row.state == "attention"}
    for job in reader.jobs(["dead"], limit=_SHOWN):
        if job.series_id not in found:
            found[job.series_id] = reader.one_series(job.series_id)
    return tuple(found.values())[:_SHOWN]
