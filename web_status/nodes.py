"""All nodes together: each asked at the same time, and their studies in one list.

A node that gives no answer in time is told as such, and holds up nobody. The list is by the time at
which the first instance came; where the instances of a study lie on several nodes, it says whether
one has all of them, by comparing their UIDs.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol, TypeVar

from aiohttp import web

from ledger.rows import SeriesRow, StudyRow
from ledger.study_reader import StudyFilter, StudyPage
from web_status.api.node import State
from web_status.context import WebContext
from web_status.errors import NodeUnheard
from web_status.languages import msgid
from web_status.node_ledger import LedgerNode
from web_status.node_remote import RemoteNode
from web_status.node_settings import HERE, NodeSettings

SECONDS = 5.0
"""How long each question may take."""
_COMPARED = 20  # studies of a page whose instances are compared; more are told as not compared

_Found = TypeVar("_Found")


class Node(Protocol):
    """A node that can be asked; each call raises `NodeUnheard` where it gives no answer."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def url(self) -> str:
        """Where its page is."""

    async def state(self) -> State:
        """How it is."""

    async def studies(self, wanted: StudyFilter, before: int | None, limit: int) -> StudyPage:
        """Studies that it has, the latest first."""

    async def instances(self, study_id: int) -> Mapping[str, frozenset[str]]:
        """The SOP Instance UIDs of a study of its, by Series Instance UID."""

    async def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True)
class Trouble:
    """Why a node gave no answer, and what to do about it."""

    node: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class NodeState:
    """How a node is; `state` is None where `trouble` says why it gave no answer."""

    name: str
    url: str
    state: State | None = None
    trouble: Trouble | None = None


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


@dataclass(frozen=True)
class Gathered:
    """Studies of all nodes, the latest first.

    Attributes
    ----------
    studies
        A page of them.
    older
        Node to the number of its last study on this page, where there are older ones at any.
    troubles
        The nodes that are missing in it.
    """

    studies: tuple[FoundStudy, ...] = ()
    older: Mapping[str, int] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()


class Nodes:
    """All of them: the one that asks, and those that its configuration names.

    Parameters
    ----------
    context
        This node, which names the others.
    """

    def __init__(self, context: WebContext) -> None:
        here = LedgerNode(HERE, "", context)
        self._nodes: tuple[Node, ...] = (here, *(_node(one, context) for one in context.nodes))

    async def close(self) -> None:
        """Give back what they hold."""
        await asyncio.gather(*(node.close() for node in self._nodes))

    async def states(self) -> tuple[NodeState, ...]:
        """How each is."""
        answers = await self._each(self._nodes, lambda node: node.state())
        return tuple(
            NodeState(node.name, node.url, trouble=answer)
            if isinstance(answer, Trouble)
            else NodeState(node.name, node.url, answer)
            for node, answer in zip(self._nodes, answers, strict=True)
        )

    async def studies(
        self,
        wanted: StudyFilter,
        before: Mapping[str, int],
        limit: int,
    ) -> Gathered:
        """A page of studies.

        Parameters
        ----------
        before
            Node to the number of a study, as `Gathered.older` has it.
        """
        answers = await self._each(
            self._nodes, lambda node: node.studies(wanted, before.get(node.name), limit)
        )
        heard = {
            node: answer
            for node, answer in zip(self._nodes, answers, strict=True)
            if isinstance(answer, StudyPage)
        }
        shown = _merged(heard, limit)
        troubles = [answer for answer in answers if isinstance(answer, Trouble)]
        found, more = await self._completed(shown, [*heard])
        return Gathered(found, _older(heard, shown, before), (*troubles, *more))

    async def _completed(
        self, shown: Sequence[Part], nodes: Sequence[Node]
    ) -> tuple[tuple[FoundStudy, ...], tuple[Trouble, ...]]:
        """The studies of a list, with what any node has of them."""
        uids = tuple(dict.fromkeys(part.study.StudyInstanceUID for part in shown))
        if len(nodes) < 2 or not uids:
            return tuple(FoundStudy((part,)) for part in shown), ()
        wanted = StudyFilter(study_uids=uids)
        answers = await self._each(nodes, lambda node: node.studies(wanted, None, len(uids)))
        pairs = zip(nodes, answers, strict=True)
        heard = {node: page for node, page in pairs if isinstance(page, StudyPage)}
        parts = [*shown, *_merged(heard, len(uids) * len(nodes))]
        found = [FoundStudy(_of(uid, parts)) for uid in uids]
        several = [one for one in found if len(one.parts) > 1]
        compared = await asyncio.gather(*(self._compared(one) for one in several[:_COMPARED]))
        known = {one.study.StudyInstanceUID: one for one in (*map(_uncompared, several), *compared)}
        troubles = tuple(answer for answer in answers if isinstance(answer, Trouble))
        return tuple(known.get(one.study.StudyInstanceUID, one) for one in found), troubles

    async def _compared(self, found: FoundStudy) -> FoundStudy:
        """A study with the instances of each series compared between the nodes."""
        numbers = {part.node: part.study.id for part in found.parts}
        nodes = [node for node in self._nodes if node.name in numbers]
        answers = await self._each(nodes, lambda node: node.instances(numbers[node.name]))
        held = {
            node.name: answer
            for node, answer in zip(nodes, answers, strict=True)
            if not isinstance(answer, Trouble)
        }
        if len(held) < len(nodes):
            return _uncompared(found)
        return replace(found, shared=tuple(_shared(found, held)))

    async def _each(
        self, nodes: Iterable[Node], question: Callable[[Node], Awaitable[_Found]]
    ) -> list[_Found | Trouble]:
        """What each node answers, or why it does not, within `SECONDS` for all."""
        return await asyncio.gather(*(_heard(node, question) for node in nodes))


NODES = web.AppKey("nodes", Nodes)


def _node(settings: NodeSettings, context: WebContext) -> Node:
    if settings.data is None:
        return RemoteNode(settings)
    return LedgerNode(settings.name, settings.url, context.beside(settings.data))


async def _heard(node: Node, question: Callable[[Node], Awaitable[_Found]]) -> _Found | Trouble:
    try:
        async with asyncio.timeout(SECONDS):
            return await question(node)
    except NodeUnheard as error:
        return Trouble(node.name, str(error), error.remedy)
    except TimeoutError:
        return Trouble(
            node.name,
            msgid("it did not answer in time"),
            msgid(
                "See whether the machine and the network between are up, and whether its disk"
                " answers. Senders go to the other nodes meanwhile."
            ),
        )


def _merged(pages: Mapping[Node, StudyPage], limit: int) -> list[Part]:
    """The first so many studies of several lists, which are each in order."""
    lists = (
        [Part(node.name, _link(node, row), row) for row in page.rows]
        for node, page in pages.items()
    )
    return [*heapq.merge(*lists, key=_began, reverse=True)][:limit]


def _link(node: Node, row: StudyRow) -> str:
    """The page of a study; empty where no page of its node is known."""
    return f"{node.url}/studies/{row.id}" if node.url or node.name == HERE else ""


def _began(part: Part) -> str:
    return min((row.first_seen_at for row in part.study.series), default="")


def _older(
    pages: Mapping[Node, StudyPage], shown: Sequence[Part], before: Mapping[str, int]
) -> dict[str, int]:
    """From where each node's list goes on; empty where none does."""
    is_more = sum(len(page.rows) for page in pages.values()) > len(shown)
    if not is_more and not any(page.has_older for page in pages.values()):
        return {}
    return {**before, **{part.node: part.study.id for part in shown}}


def _of(uid: str, parts: Iterable[Part]) -> tuple[Part, ...]:
    """What each node has of a study, the latest first; where there are two answers, the last."""
    of = {part.node: part for part in parts if part.study.StudyInstanceUID == uid}
    return tuple(sorted(of.values(), key=_began, reverse=True))


def _shared(
    found: FoundStudy, held: Mapping[str, Mapping[str, frozenset[str]]] | None
) -> Iterable[SharedSeries]:
    """The series that several nodes have, with who has all of each."""
    rows = {row.SeriesInstanceUID: row for part in found.parts for row in part.study.series}
    for uid, row in rows.items():
        counts = {
            part.node: one.instances
            for part in found.parts
            for one in part.study.series
            if one.SeriesInstanceUID == uid
        }
        if len(counts) < 2:
            continue
        if held is None:
            yield SharedSeries(row, counts, None, ())
            continue
        uids = {name: held[name].get(uid, frozenset()) for name in counts}
        together = frozenset(chain.from_iterable(uids.values()))
        whole = tuple(name for name, some in uids.items() if some == together)
        yield SharedSeries(row, counts, len(together), whole)


def _uncompared(found: FoundStudy) -> FoundStudy:
    return replace(found, shared=tuple(_shared(found, None)))
