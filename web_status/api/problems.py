"""How the interface for programs says that something went wrong: RFC 9457."""

from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict

PROBLEM_TYPE = "application/problem+json"


class Fault(BaseModel):
    """One part of a request that cannot be taken."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    where: str
    """The field, with those it is in: ``accessions.3``."""
    why: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    title: str
    """The name of the status."""
    status: int
    detail: str
    """What a person should know, as the page says it."""
    errors: tuple[Fault, ...] = ()
    """What of the request cannot be taken, where that is known."""


def problem(status: int, detail: str, errors: Iterable[Fault] = ()) -> web.Response:
    """The answer to a request that failed."""
    told = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=tuple(errors)
    )
    return web.Response(
        body=told.model_dump_json().encode(),
        status=status,
        headers={"Content-Type": PROBLEM_TYPE},
    )
