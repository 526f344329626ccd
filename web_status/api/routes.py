"""The table of all operations, their routes, and the pages that describe them."""

import json

from aiohttp import web

from web_status.access import render
from web_status.api import (
    network,
    node,
    nodes,
    outputs,
    retrieves,
    rules,
    series,
    studies,
    uploads,
)
from web_status.api.openapi import description
from web_status.api.operation import PREFIX, Operation, handler_of
from web_status.context import CONTEXT

OPERATIONS: tuple[Operation, ...] = (
    *node.OPERATIONS,
    *series.OPERATIONS,
    *studies.OPERATIONS,
    *outputs.OPERATIONS,
    *retrieves.OPERATIONS,
    *network.OPERATIONS,
    *uploads.OPERATIONS,
    *nodes.OPERATIONS,
    *rules.OPERATIONS,
)


def add_api(app: web.Application) -> None:
    """Add the routes."""
    for operation in OPERATIONS:
        add = app.router.add_get if operation.method == "GET" else app.router.add_post
        add(PREFIX + operation.path, handler_of(operation))
    app.router.add_get(f"{PREFIX}/openapi.json", _description)
    app.router.add_get(f"{PREFIX}/", _page)


async def _description(request: web.Request) -> web.Response:
    described = description(OPERATIONS, request.app[CONTEXT].version)
    return web.json_response(described, dumps=lambda value: json.dumps(value, indent=1))


async def _page(request: web.Request) -> web.Response:
    return render("api.html", request, {"title": "For programs", "operations": OPERATIONS})
