"""The description of the interface for programs (OpenAPI 3.1), made from its operations. Pure."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from web_status.api.operation import Files, Operation
from web_status.api.problems import PROBLEM_TYPE, Problem
from web_status.roles import Role

_Json = dict[str, Any]
_Mode = Literal["validation", "serialization"]
_ALWAYS = (401, 403, 408, 413, 421, 500, 503)
_SECURITY: _Json = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "`safelight user token NAME CALLED` makes one.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "safelight",
        "description": "The login of a browser (`__Host-safelight` with HTTPS). What changes"
        " something needs the `csrf_token` of `/api/v1/session` as header `X-CSRF-Token`.",
    },
}
_ABOUT = """\
What the pages of Safelight do, for programs. Numbers are those of the pages; times are ISO 8601 in
UTC. Who may not see the names of patients gets `(hidden)` in their place, as on the pages. What
goes wrong is told as `application/problem+json` (RFC 9457)."""


def description(operations: Iterable[Operation], version: str) -> _Json:
    """The description of `operations`."""
    listed = tuple(operations)
    refs, schemas = _schemas(listed)
    paths: dict[str, _Json] = {}
    for operation in listed:
        paths.setdefault(operation.canonical, {})[operation.method.lower()] = _one(operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Safelight", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {_name(status): _problem(status, refs) for status in _met(listed)},
            "securitySchemes": _SECURITY,
        },
    }


_Refs = Mapping[tuple[type[BaseModel], _Mode], _Json]


def _schemas(operations: Iterable[Operation]) -> tuple[_Refs, _Json]:
    """Where each model is described, and the descriptions."""
    models: dict[tuple[type[BaseModel], _Mode], None] = {(Problem, "serialization"): None}
    for operation in operations:
        if operation.body is not None:
            models[operation.body, "validation"] = None
        if isinstance(operation.answers, type):
            models[operation.answers, "serialization"] = None
    refs, found = models_json_schema([*models], ref_template="#/components/schemas/{model}")
    return {model: refs[model] for model in models}, found["$defs"]


def _one(operation: Operation, refs: _Refs) -> _Json:
    summary, more = operation.words
    role = f"For anyone with the role {operation.needs.role} or more."
    if operation.needs.names:
        role += " It names patients, so it is for those only who may see their names."
    told: _Json = {
        "operationId": operation.name,
        "summary": summary.removesuffix("."),
        "description": f"{more}\n\n{role}".strip(),
        "tags": [operation.tag],
        "responses": _responses(operation, refs),
    }
    if operation.parameters or operation.query is not None:
        told["parameters"] = [*_path_parameters(operation), *_query_parameters(operation)]
    if operation.takes is not None and operation.query is None:
        told["requestBody"] = _request_body(operation, refs)
    if operation.needs.role is Role.ANYONE:
        told["security"] = []
    return told


_IN_PATHS: Mapping[str, _Json] = MappingProxyType(
    {
        "number": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
        "plane": {"type": "string", "pattern": "^[a-z]{1,10}$"},
        "index": {"type": "integer", "minimum": 0, "maximum": 10**9 - 1},
    }
)


def _path_parameters(operation: Operation) -> Iterable[_Json]:
    for name in operation.parameters:
        yield {"name": name, "in": "path", "required": True, "schema": _IN_PATHS[name]}


def _query_parameters(operation: Operation) -> Iterable[_Json]:
    if operation.query is None:
        return
    for name, schema in operation.query.model_json_schema()["properties"].items():
        words = schema.pop("description", "")
        yield {"name": name, "in": "query", "description": words, "schema": schema}


def _request_body(operation: Operation, refs: _Refs) -> _Json:
    if operation.body is not None:
        required = any(field.is_required() for field in operation.body.model_fields.values())
        schema = refs[operation.body, "validation"]
        return {"required": required, "content": {"application/json": {"schema": schema}}}
    file = {"contentMediaType": "application/octet-stream"}
    form = {"type": "object", "properties": {"files": {"type": "array", "items": file}}}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


def _responses(operation: Operation, refs: _Refs) -> _Json:
    refusals = {
        str(status): {"$ref": f"#/components/responses/{_name(status)}"}
        for status in sorted(_refusals(operation))
    }
    return {str(operation.success): _success(operation, refs), **refusals}


def _met(operations: Iterable[Operation]) -> list[int]:
    """The statuses of all refusals."""
    return sorted({status for operation in operations for status in _refusals(operation)})


def _name(status: int) -> str:
    return HTTPStatus(status).name.lower()


def _problem(status: int, refs: _Refs) -> _Json:
    content = {PROBLEM_TYPE: {"schema": refs[Problem, "serialization"]}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _success(operation: Operation, refs: _Refs) -> _Json:
    told: _Json = {"description": HTTPStatus(operation.success).phrase}
    if isinstance(operation.answers, Files):
        told["content"] = {kind: {"schema": {}} for kind in operation.answers.types}
    elif operation.answers is not None:
        schema = refs[operation.answers, "serialization"]
        told["content"] = {"application/json": {"schema": schema}}
    return told


def _refusals(operation: Operation) -> set[int]:
    """What every request may meet, and what this one may because of what it takes and does."""
    found = {*_ALWAYS, *operation.refuses}
    if operation.parameters:
        found.add(404)
    if operation.method != "GET":
        found.add(409)
    if operation.takes is not None:
        found.add(422)
    if operation.takes is not None and operation.query is None:
        found.add(415)
    if isinstance(operation.takes, Files):
        found |= {400}
    return found
