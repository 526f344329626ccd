"""All nodes together: each asked at the same time, and their studies in one list.

A node that gives no answer in time is told as such, and holds up nobody. The list is by the time at
which the first instance came; where the instances of a study lie on several nodes, it says whether
one has all of them, by comparing their UIDs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from aiohttp import web

from ledger.rows import StudyRow
from ledger.study_reader import StudyFilter, StudyPage
from web_status.api.node import State
from web_status.context import WebContext
from web_status.errors import NodeUnheard
from web_status.found_studies import FoundStudy, Part, compared, gathered, merged
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
        shown = merged(_parts(heard), limit)
        troubles = [answer for answer in answers if isinstance(answer, Trouble)]
        found, more = await self._completed(shown, [*heard])
        return Gathered(found, _older(heard, shown, before), (*troubles, *more))

    async def _completed(
        self, shown: Sequence[Part], nodes: Sequence[Node]
    ) -> tuple[tuple[FoundStudy, ...], tuple[Trouble, ...]]:
        """The studies of a list, with what any node has of them."""
        uids = tuple(dict.fromkeys(part.study.StudyInstanceUID for part in shown))
        if len(nodes) < 2 or not uids:
            return tuple(gathered(uid, shown) for uid in uids), ()
        wanted = StudyFilter(study_uids=uids)
        answers = await self._each(nodes, lambda node: node.studies(wanted, None, len(uids)))
        pairs = zip(nodes, answers, strict=True)
        heard = {node: page for node, page in pairs if isinstance(page, StudyPage)}
        parts = [*shown, *(part for some in _parts(heard) for part in some)]
        found = {uid: gathered(uid, parts) for uid in uids}
        several = [uid for uid, one in found.items() if len(one.parts) > 1][:_COMPARED]
        judged = await asyncio.gather(*(self._compared(found[uid]) for uid in several))
        found |= zip(several, judged, strict=True)
        troubles = tuple(answer for answer in answers if isinstance(answer, Trouble))
        return tuple(found.values()), troubles

    async def _compared(self, found: FoundStudy) -> FoundStudy:
        """A study judged by its instances, where all nodes that have some tell them."""
        numbers = {part.node: part.study.id for part in found.parts}
        nodes = [node for node in self._nodes if node.name in numbers]
        answers = await self._each(nodes, lambda node: node.instances(numbers[node.name]))
        held = {
            node.name: answer
            for node, answer in zip(nodes, answers, strict=True)
            if not isinstance(answer, Trouble)
        }
        return compared(found, held) if len(held) == len(nodes) else found

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


def _parts(pages: Mapping[Node, StudyPage]) -> list[list[Part]]:
    """What each node has, in its own order."""
    return [
        [Part(node.name, _link(node, row), row) for row in page.rows]
        for node, page in pages.items()
    ]


def _link(node: Node, row: StudyRow) -> str:
    """The page of a study; empty where no page of its node is known."""
    return f"{node.url}/studies/{row.id}" if node.url or node.name == HERE else ""


def _older(
    pages: Mapping[Node, StudyPage], shown: Sequence[Part], before: Mapping[str, int]
) -> dict[str, int]:
    """From where each node's list goes on; empty where none does."""
    is_more = sum(len(page.rows) for page in pages.values()) > len(shown)
    if not is_more and not any(page.has_older for page in pages.values()):
        return {}
    return {**before, **{part.node: part.study.id for part in shown}}
