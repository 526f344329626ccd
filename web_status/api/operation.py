"""One thing that programs can ask for: what it takes, what it answers, and its route."""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from web_status.access import in_time
from web_status.api.problems import Fault, problem
from web_status.context import CONTEXT
from web_status.roles import ROUTES, Needs

PREFIX = "/api/v1"
NUMBER = r"{number:\d{1,18}}"
_PATTERN = re.compile(r":[^{}]*(?:\{[^{}]*\}[^{}]*)*(?=\})")
_JSON = "application/json"
_BODY_SECONDS = 20.0
_TEXT_BODY_BYTES_MAX = 4 << 20  # of a long text, which JSON writes longer
_WRONG = "What was sent is not what is expected here. Nothing was done."


@dataclass(frozen=True)
class Files:
    """What is sent or answered as a file, and not as JSON; the media types it may have."""

    types: tuple[str, ...]


FORM = Files(("multipart/form-data",))


@dataclass(frozen=True)
class Operation:
    """What programs can ask for.

    Attributes
    ----------
    path
        Below ``/api/v1``, as the router writes it.
    handler
        Answers a request, given what it takes. Its name is that of the operation, the first line
        of its docstring the summary.
    answers
        The model of the answer, or the files it may be; None where there is nothing to tell.
    takes
        The model of the query of a GET, else of the JSON in the body; or files.
    status
        Of what went well; 204 where there is nothing to tell.
    refuses
        Statuses of refusals beside those that the rest tells: see `web_status.api.openapi`.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Callable[..., Awaitable[Any]]
    answers: type[BaseModel] | Files | None = None
    takes: type[BaseModel] | Files | None = None
    status: int = 200
    refuses: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The ``operationId``."""
        return self.handler.__name__

    @property
    def words(self) -> tuple[str, str]:
        """The summary, and what there is to say beyond it."""
        summary, _, more = (inspect.getdoc(self.handler) or "").partition("\n")
        return summary, more.strip()

    @property
    def canonical(self) -> str:
        """The path without patterns, as the table of roles and the description have it.

        >>> Operation("GET", "/jobs/{number:[0-9]{1,18}}", print).canonical
        '/api/v1/jobs/{number}'
        """
        return PREFIX + _PATTERN.sub("", self.path)

    @property
    def tag(self) -> str:
        """What it is about: the first word of the path."""
        return self.canonical.removeprefix(PREFIX).split("/")[1]

    @property
    def success(self) -> int:
        """The status of what went well."""
        return self.status if self.answers is not None else HTTPStatus.NO_CONTENT.value

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(re.findall(r"\{(\w+)\}", self.canonical))

    @property
    def needs(self) -> Needs:
        """What it needs of who asks."""
        return ROUTES[self.method, self.canonical]

    @property
    def query(self) -> type[BaseModel] | None:
        """The model of the query, where it takes one."""
        return self.takes if isinstance(self.takes, type) and self.method == "GET" else None

    @property
    def body(self) -> type[BaseModel] | None:
        """The model of the JSON in the body, where it takes one."""
        return self.takes if isinstance(self.takes, type) and self.method != "GET" else None


def handler_of(operation: Operation) -> Handler:
    """What the router calls for an operation."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            given = await _given(operation, request)
        except ValidationError as error:
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, _WRONG, _faults(error))
        return _response(operation, await operation.handler(request, *given))

    return handle


async def _given(operation: Operation, request: web.Request) -> tuple[BaseModel, ...]:
    """What the operation takes: nothing, or one model."""
    if operation.query is not None:
        names = request.query.keys()
        values = {name: request.query.getall(name) for name in names}
        flat = {name: each[0] if len(each) == 1 else each for name, each in values.items()}
        return (operation.query.model_validate(flat),)
    if operation.body is not None:
        return (operation.body.model_validate_json(await _json(operation, request), strict=True),)
    return ()


async def _json(operation: Operation, request: web.Request) -> bytes:
    """The body; an empty one stands for an object without fields.

    Raises
    ------
    HTTPUnsupportedMediaType, HTTPRequestEntityTooLarge, HTTPRequestTimeout
        It is of another type, too large, or does not come.
    """
    if operation.needs.is_upload:
        upload_max = request.app[CONTEXT].settings.upload_bytes_max
        request = request.clone(client_max_size=min(upload_max, _TEXT_BODY_BYTES_MAX))
    async with in_time(_BODY_SECONDS):
        body = await request.read()
    if body and request.content_type != _JSON:
        raise web.HTTPUnsupportedMediaType
    return body or b"{}"


def _faults(error: ValidationError) -> list[Fault]:
    """What is wrong; not what was given, which may name a patient."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        Fault(where=".".join(str(part) for part in each["loc"]), why=each["msg"]) for each in found
    ]


def _response(operation: Operation, result: Any) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    if result is None:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return web.Response(
        body=result.model_dump_json().encode(),
        status=operation.status,
        headers={"Content-Type": _JSON},
    )
