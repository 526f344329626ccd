"""What is missing of a study, by name: what a PACS listed against what came."""

from dataclasses import dataclass

from ledger.reader import LedgerReader
from ledger.rows import SeriesRow, StudyRow
from listener.retrievals import ListedSeries, Retrieval

_NAMED = 100


@dataclass(frozen=True)
class ShortSeries:
    """A series of which something is missing.

    Attributes
    ----------
    series
        What came of it; None for nothing.
    expected, missing
        How many instances the PACS said that it has, and how many of those did not come.
    uids
        The SOP Instance UIDs that did not come, at most a hundred; empty where the PACS only
        counted.
    """

    SeriesInstanceUID: str
    series: SeriesRow | None
    expected: int
    missing: int
    uids: tuple[str, ...] = ()

    @property
    def unnamed(self) -> int:
        """How many are missing beside those that are named."""
        return self.missing - len(self.uids)


@dataclass(frozen=True)
class Shortfall:
    """What is missing of a study.

    Attributes
    ----------
    pacs
        The AE title of who said what the study has; empty where nobody did.
    series
        Those that are short.
    """

    pacs: str = ""
    series: tuple[ShortSeries, ...] = ()

    @property
    def missing(self) -> int:
        """How many instances."""
        return sum(one.missing for one in self.series)


def shortfall(reader: LedgerReader, study: StudyRow, told: Retrieval | None) -> Shortfall:
    """What is missing of a study, by what a PACS said of it at its latest retrieval."""
    if told is None:
        return Shortfall()
    here = {row.SeriesInstanceUID: row for row in study.series}
    found = (_short(reader, uid, here.get(uid), listed) for uid, listed in told.series.items())
    return Shortfall(told.pacs, tuple(one for one in found if one is not None))


def _short(
    reader: LedgerReader, uid: str, row: SeriesRow | None, listed: ListedSeries
) -> ShortSeries | None:
    expected = listed.expected or 0
    if row is not None and row.instances >= expected and not row.missing:
        return None  # the usual case, without a look at the instances
    came = frozenset() if row is None else reader.sop_instance_uids(row.id)
    if listed.sop_instance_uids:
        missing = sorted(listed.sop_instance_uids - came)
        short = ShortSeries(uid, row, expected, len(missing), tuple(missing[:_NAMED]))
    else:
        short = ShortSeries(uid, row, expected, max(0, expected - len(came)))
    return short if short.missing else None
