"""The command ``nodes``: how this node and the others are, and which studies lie on several."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from processor.words import count, size
from safelight.options import config_option, configuration

if TYPE_CHECKING:
    from ledger.rows import StudyRow
    from safelight.config import Config
    from web_status.found_studies import FoundStudy
    from web_status.nodes import Gathered, NodeState

_STUDIES = 50


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def nodes(file: Path | None, *, as_json: bool) -> None:
    """Print how this node and those in [[nodes]] are, and which of the latest studies are divided.

    Exit code 0: all answered, and no study is divided. 1: not so.
    """
    states, found = asyncio.run(_asked(configuration(file)))
    divided = tuple(one for one in found.studies if one.is_divided)
    if as_json:
        click.echo(_document(states, divided))
    else:
        _print(states, divided)
    if divided or found.troubles or any(node.trouble for node in states):
        sys.exit(1)


async def _asked(config: "Config") -> "tuple[tuple[NodeState, ...], Gathered]":
    from ledger.study_reader import StudyFilter
    from safelight.coordinator import web_context
    from safelight.page_node import NodeCondition
    from web_status.nodes import Nodes

    nodes = Nodes(web_context(config, NodeCondition(config)))
    try:
        states, found = await asyncio.gather(
            nodes.states(), nodes.studies(StudyFilter(), {}, _STUDIES)
        )
    finally:
        await nodes.close()
    return states, found


def _document(states: "tuple[NodeState, ...]", divided: "tuple[FoundStudy, ...]") -> str:
    """What programs read; a study by its UID alone, which names nobody."""
    from web_status.api.nodes import NodeState as Answer

    document = {
        "nodes": [Answer.model_validate(node).model_dump(mode="json") for node in states],
        "divided": [
            {
                "StudyInstanceUID": one.study.StudyInstanceUID,
                "parts": {part.node: _counts(part.study) for part in one.parts},
                "series": {
                    each.series.SeriesInstanceUID: {**each.instances, "together": each.together}
                    for each in one.divided
                },
            }
            for one in divided
        ],
    }
    return json.dumps(document, indent=2)


def _counts(study: "StudyRow") -> dict[str, int]:
    """How many series and instances a node has of a study."""
    instances = sum(row.instances for row in study.series)
    return {"series": len(study.series), "instances": instances}


def _print(states: "tuple[NodeState, ...]", divided: "tuple[FoundStudy, ...]") -> None:
    console = Console()
    console.print(_table(states), highlight=False)
    for node in states:
        if node.trouble is not None:
            console.print(
                f"{node.name}: {node.trouble.reason}. {node.trouble.remedy}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    for one in divided:
        console.print(_divided_line(one), highlight=False, markup=False, soft_wrap=True)


def _table(states: "tuple[NodeState, ...]") -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("node", "version", "arriving", "queued", "free", "last instance", "state"):
        table.add_column(heading, overflow="fold")
    for node in states:
        table.add_row(node.name, *_cells(node))
    return table


def _cells(node: "NodeState") -> tuple[str, ...]:
    if node.state is None:
        return ("", "", "", "", "", "NO ANSWER")
    state, now = node.state, node.state.overview
    return (
        state.version or "-",
        str(now.arriving),
        str(now.queued),
        "-" if state.disk is None else size(state.disk.free),
        (state.last_instance_at or "-")[:19],
        "; ".join(alarm.what for alarm in state.alarms) or "no alarms",
    )


def _divided_line(one: "FoundStudy") -> str:
    """What is where of a study that no node has whole, and what to do about it."""
    uid = one.study.StudyInstanceUID
    parts = ", ".join(
        f"{count(sum(row.instances for row in part.study.series), 'instance')} on {part.node}"
        for part in one.parts
    )
    torn = f", {count(len(one.divided), 'series', 'series')} of it in parts" if one.divided else ""
    return (
        f"study {uid} is DIVIDED: {parts}{torn}. On each node but one:"
        f" safelight send {uid} --to HOST:PORT --aet AE_TITLE of that one"
    )
