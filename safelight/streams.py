"""Spreads what a PACS is to send by C-MOVE over several associations.

On one, the PACS sends an instance only when the one before it is durable here: most of the time
both sides wait for the disk. Side by side the waits overlap, and the filesystem commits several at
once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from query.identifiers import Selection
from query.outcomes import RetrieveOutcome
from safelight.expecting import ExpectedStudy

_INSTANCES = (
    100  # of one request; their UIDs pass the 64 KB that a value can have at ten times more
)


def spread(wanted: Sequence[Selection], study: ExpectedStudy) -> list[Selection]:
    """Ask for studies and series by lists of their instances, where these are known."""
    return [part for one in wanted for part in _parts(one, study)]


def _parts(wanted: Selection, study: ExpectedStudy) -> Iterable[Selection]:
    meant = [
        one for one in study.wanted if wanted.SeriesInstanceUID in ("", one.match.SeriesInstanceUID)
    ]
    if wanted.SOPInstanceUID or not meant or not all(one.instances for one in meant):
        return [wanted]
    return [
        Selection(
            wanted.StudyInstanceUID,
            one.match.SeriesInstanceUID,
            SOPInstanceUIDs=tuple(
                i.SOPInstanceUID for i in one.instances[start : start + _INSTANCES]
            ),
        )
        for one in meant
        for start in range(0, len(one.instances), _INSTANCES)
    ]


def side_by_side(
    streams: int,
    wanted: Sequence[Selection],
    ask: Callable[[Sequence[Selection]], Iterable[RetrieveOutcome]],
) -> Iterator[RetrieveOutcome]:
    """Ask for all of it over at most so many associations; yield the outcomes when all have ended.

    Raises
    ------
    QueryError
        As of the first association that failed, once the others have ended.
    """
    shares = [share for n in range(streams) if (share := wanted[n::streams])]
    with ThreadPoolExecutor(max(1, len(shares))) as pool:
        for outcomes in pool.map(lambda share: tuple(ask(share)), shares):
            yield from outcomes
