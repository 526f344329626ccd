"""All nodes together, for programs: how each is, and their studies in one list."""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from web_status.api.models import Answer
from web_status.api.node import State
from web_status.api.operation import Operation
from web_status.api.studies import SearchedStudies, Study
from web_status.found_studies import FoundStudy
from web_status.nodes import NODES
from web_status.nodes_page import find_everywhere

_Place = Annotated[int, Field(ge=0, lt=10**18)]


class Trouble(Answer):
    """Why a node gave no answer, and what to do about it."""

    node: str
    reason: str
    remedy: str


class NodeState(Answer):
    """A node; ``here`` is the one that was asked."""

    name: str
    url: str
    """Where its page is; empty where that is not known, and for ``here``."""
    state: State | None
    """Null where it gave no answer."""
    trouble: Trouble | None


class NodeStates(Answer):
    """All of them."""

    items: tuple[NodeState, ...]


class EverywhereAsked(SearchedStudies):
    """Studies that are looked for on all nodes; ``before`` and ``after`` do not matter."""

    older_than: Annotated[dict[str, _Place], Field(default_factory=dict)]
    """What ``older`` of the page before said."""


class Part(Answer):
    """What one node has of a study."""

    node: str
    link: str
    """Its page: a path for ``here``, empty where none is known."""
    study: Study


class SharedSeries(Answer):
    """A series of which several nodes have instances."""

    SeriesInstanceUID: str
    instances: dict[str, int]
    """How many each node has."""
    together: int | None
    """How many different ones they have; null where that was not compared."""
    whole_on: tuple[str, ...]
    """The nodes that have all of these."""


class FoundStudyAnswer(Answer):
    """A study, wherever it is."""

    StudyInstanceUID: str
    parts: tuple[Part, ...]
    """What each node has, the node first whose part came last."""
    shared: tuple[SharedSeries, ...]
    is_divided: bool
    """Whether no node has all of it."""
    whole_on: tuple[str, ...]
    """The nodes that have all that any has of it."""


class FoundStudies(Answer):
    """Studies of all nodes, those that came last first."""

    items: tuple[FoundStudyAnswer, ...]
    older: dict[str, int]
    """For ``older_than`` of the next page; empty after the last."""
    troubles: tuple[Trouble, ...]
    """The nodes that are missing in it."""


async def list_nodes(request: web.Request) -> NodeStates:
    """How this node and the others of its configuration are; each has 5 s to say."""
    states = await request.app[NODES].states()
    return NodeStates(items=tuple(map(NodeState.model_validate, states)))


async def find_studies_on_nodes(request: web.Request, asked: EverywhereAsked) -> FoundStudies:
    """Look for studies on all nodes; where several have instances of one, these are compared.

    Who may not see names of patients cannot look for a patient.
    """
    found = await find_everywhere(request, asked.filter(), asked.older_than, asked.size)
    return FoundStudies.model_validate(
        {
            "items": tuple(map(found_study, found.studies)),
            "older": found.older,
            "troubles": found.troubles,
        }
    )


def found_study(found: FoundStudy) -> FoundStudyAnswer:
    """A study as it is answered."""
    return FoundStudyAnswer.model_validate(
        {
            "StudyInstanceUID": found.study.StudyInstanceUID,
            "parts": found.parts,
            "shared": tuple(
                {"SeriesInstanceUID": one.series.SeriesInstanceUID, **vars(one)}
                for one in found.shared
            ),
            "is_divided": found.is_divided,
            "whole_on": found.whole_on,
        }
    )


OPERATIONS = (
    Operation("GET", "/nodes", list_nodes, NodeStates),
    Operation("POST", "/nodes/studies", find_studies_on_nodes, FoundStudies, EverywhereAsked),
)
