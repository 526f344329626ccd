"""Studies that lie on one node or on several: put in order, and judged by who has what. Pure."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from ledger.rows import SeriesRow, StudyRow


@dataclass(frozen=True)
class Part:
    """What one node has of a study; `link` leads to it."""

    node: str
    link: str
    study: StudyRow


@dataclass(frozen=True)
class SharedSeries:
    """A series of which several nodes have instances.

    Attributes
    ----------
    series
        As one of them has it.
    instances
        Node to how many it has.
    together
        How many different ones they have; None where that was not compared.
    whole_on
        The nodes that have all of these.
    """

    series: SeriesRow
    instances: Mapping[str, int]
    together: int | None
    whole_on: tuple[str, ...]

    @property
    def is_divided(self) -> bool:
        """Whether no node has all of its instances."""
        return self.together is not None and not self.whole_on


@dataclass(frozen=True)
class FoundStudy:
    """A study, wherever it is.

    Attributes
    ----------
    parts
        What each node has, the node first whose part came last.
    shared
        The series that several nodes have.
    """

    parts: tuple[Part, ...]
    shared: tuple[SharedSeries, ...] = ()

    @property
    def study(self) -> StudyRow:
        """The part that came last."""
        return self.parts[0].study

    @property
    def divided(self) -> tuple[SharedSeries, ...]:
        """The series that no node has whole."""
        return tuple(one for one in self.shared if one.is_divided)

    @property
    def is_compared(self) -> bool:
        """Whether it is known who has what."""
        return all(one.together is not None for one in self.shared)

    @property
    def whole_on(self) -> tuple[str, ...]:
        """The nodes that have all that any has of it; none where that was not compared."""
        if not self.is_compared:
            return ()
        all_uids = {row.SeriesInstanceUID for part in self.parts for row in part.study.series}
        not_whole = {
            (name, one.series.SeriesInstanceUID)
            for one in self.shared
            for name in one.instances
            if name not in one.whole_on
        }
        return tuple(
            part.node
            for part in self.parts
            if {row.SeriesInstanceUID for row in part.study.series} == all_uids
            and not any((part.node, uid) in not_whole for uid in all_uids)
        )

    @property
    def is_divided(self) -> bool:
        """Whether no node has all of it."""
        return self.is_compared and not self.whole_on


def merged(lists: Iterable[Iterable[Part]], limit: int) -> list[Part]:
    """The first so many of several lists, which are each in order: the latest first."""
    return [*heapq.merge(*lists, key=_began, reverse=True)][:limit]


def gathered(uid: str, parts: Iterable[Part]) -> FoundStudy:
    """A study with what each node has of it; where one gave two answers, the last."""
    of = {part.node: part for part in parts if part.study.StudyInstanceUID == uid}
    found = FoundStudy(tuple(sorted(of.values(), key=_began, reverse=True)))
    return replace(found, shared=tuple(_shared(found, None)))


def compared(found: FoundStudy, held: Mapping[str, Mapping[str, frozenset[str]]]) -> FoundStudy:
    """A study judged by its instances.

    Parameters
    ----------
    held
        Node to Series Instance UID to SOP Instance UIDs.
    """
    return replace(found, shared=tuple(_shared(found, held)))


def _began(part: Part) -> str:
    return min((row.first_seen_at for row in part.study.series), default="")


def _shared(
    found: FoundStudy, held: Mapping[str, Mapping[str, frozenset[str]]] | None
) -> Iterator[SharedSeries]:
    """The series that several nodes have, with who has all of each where that is known."""
    rows = {row.SeriesInstanceUID: row for part in found.parts for row in part.study.series}
    for uid, row in rows.items():
        counts = _counts(found, uid)
        if len(counts) < 2:
            continue
        if held is None:
            yield SharedSeries(row, counts, None, ())
            continue
        uids = {name: held[name].get(uid, frozenset()) for name in counts}
        together = frozenset(chain.from_iterable(uids.values()))
        whole = tuple(name for name, some in uids.items() if some == together)
        yield SharedSeries(row, counts, len(together), whole)


def _counts(found: FoundStudy, uid: str) -> dict[str, int]:
    """How many instances each node has of a series."""
    return {
        part.node: row.instances
        for part in found.parts
        for row in part.study.series
        if row.SeriesInstanceUID == uid
    }
