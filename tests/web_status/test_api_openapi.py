"""The description of the interface, and every answer against it. Roles: test_faults_web.py.

Not covered: requests made up from the description (`make fuzz-api`).
"""

import json
import re
from http import HTTPStatus
from pathlib import Path

import jsonschema
import pytest
from openapi_spec_validator import validate

from web_status.api.openapi import description
from web_status.api.operation import PREFIX
from web_status.api.problems import PROBLEM_TYPE
from web_status.api.routes import OPERATIONS
from web_status.app import make_app
from web_status.roles import ROUTES

from .forms import form

DESCRIBED = description(OPERATIONS, "0.1.0")
ACCESSIONS = {"accessions": ["A1", "0002"]}
DRAFT = {"text": "# nothing", "mark": "x"}
BODIES = {
    "search_studies": {"accession": "A1"},
    "order_retrieve": {**ACCESSIONS, "method": "move", "modalities": ["CT"], "least": 3},
    "plan_retrieve": ACCESSIONS,
    "pause": {"processor": "convert"},
    "resume": {},
    "find_studies_here": {"patient": "doe", "first_day": "2026-01-31", "size": 2},
    "find_studies_on_nodes": {"patient": "doe", "older_than": {"here": 9}},
    "write_draft": DRAFT,
    "try_draft": {**DRAFT, "series": 1},
    "replay_draft": {**DRAFT, "days": 30},
    "force_draft": DRAFT,
    "force_version": {"mark": "x"},
}
NOT_HERE = ("try_draft", "force_draft", "force_version")
"""No daemon is here to take rules, and no instance to try them on: tests/acceptance/test_api.py."""

NOT_REFUSED = (
    *("give_files", "begin_check"),  # they end later
    *(
        "find_studies_here",
        "find_studies_on_nodes",
        "write_draft",
        "discard_draft",
        "begin_draft_with_file",
    ),
    "replay_draft",  # asked of nobody beside this page
)
FILES = {"read_accessions": ("file", "list.txt", b"A1\nA2"), "give_files": ("files", "a", b"x")}
IN_PATH = {"number": "1", "plane": "axial", "index": "0"}
GETS = [operation for operation in OPERATIONS if operation.method == "GET"]
POSTS = [operation for operation in OPERATIONS if operation.method == "POST"]


def path_of(operation) -> str:
    return operation.canonical.removeprefix(PREFIX).format(**IN_PATH)


def named(operation) -> str:
    return operation.name


def conforms(operation, told) -> None:
    """Check the status, the type and the body of an answer against the description."""
    described = DESCRIBED["paths"][operation.canonical][operation.method.lower()]
    found = described["responses"][str(told.status)]
    if "$ref" in found:
        found = DESCRIBED["components"]["responses"][found["$ref"].rpartition("/")[2]]
    if told.status == HTTPStatus.NO_CONTENT:
        assert told.body == b""
        return
    kind = told.headers["Content-Type"].partition(";")[0]
    schema = found["content"][kind]["schema"]
    if kind.endswith("json"):
        checked = {**schema, "components": DESCRIBED["components"]}
        jsonschema.validate(told.json, checked, jsonschema.Draft202012Validator)


def test_the_description_is_good_openapi_3_1():
    validate(DESCRIBED)


def test_the_description_has_exactly_the_routes_of_the_interface(context):
    routes = make_app(context).router.routes()
    found = {(one.method.lower(), one.resource.canonical) for one in routes}
    served = {(method, path) for method, path in found if path.startswith("/api/")}
    served -= {(method, path) for method, path in served if method == "head"}
    own = {("get", f"{PREFIX}/"), ("get", f"{PREFIX}/openapi.json")}
    paths = DESCRIBED["paths"]
    assert {(method, path) for path in paths for method in paths[path]} == served - own


def test_each_operation_has_a_name_of_its_own_a_summary_and_a_role():
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    for operation in OPERATIONS:
        assert operation.words[0].endswith("."), operation.name
        assert operation.needs is ROUTES[operation.method, operation.canonical]


def test_the_description_is_served_and_has_a_page(api):
    served = api("victor", "GET", "/openapi.json")
    assert served.headers["Content-Type"].startswith("application/json")
    assert served.json == json.loads(json.dumps(DESCRIBED))
    page = api("victor", "GET", "/").body.decode()
    for operation in OPERATIONS:
        assert f"{operation.method} {operation.canonical.removeprefix(PREFIX)}<" in page


def test_the_documentation_has_everything_that_can_be_asked_about():
    words = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for operation in OPERATIONS:
        assert re.search(rf"/{operation.tag}\b", words), operation.tag


def test_no_patient_is_looked_for_in_an_address():
    for operation in GETS:
        names = set(operation.parameters)
        names |= set(operation.query.model_fields if operation.query else ())
        allowed = {*IN_PATH, "page", "size", "state", "phase", "centre", "width", "invert"}
        allowed |= {"first_day", "last_day", "modality", "grade", "low_quality", "before", "after"}
        assert names <= allowed, operation.name


@pytest.mark.parametrize("who", ["victor", "olga", "ada"])
@pytest.mark.parametrize("is_new", [True, False], ids=["before there is a ledger", "with all"])
def test_each_answer_to_a_question_is_as_described(request, api, who, is_new):
    if not is_new:
        request.getfixturevalue("tell_everything")()
    body, kind = form(FILES["give_files"])
    api("ada", "POST", "/uploads", body, Content_Type=kind)
    for operation in GETS:
        told = api(who, "GET", path_of(operation))
        conforms(operation, told)
        if who == "ada" and not is_new:
            assert told.status == operation.success, operation.name


@pytest.mark.parametrize("operation", POSTS, ids=named)
def test_each_deed_and_each_refusal_of_it_is_as_described(page, api, tell_everything, operation):
    tell_everything()
    path, given, more = path_of(operation), BODIES.get(operation.name), {}
    if operation.name in FILES:
        given, kind = form(FILES[operation.name])
        more = {"Content_Type": kind}
    done = api("ada", "POST", path, given, **more)
    conforms(operation, done)
    assert done.status == (409 if operation.name in NOT_HERE else operation.success)
    nobody = api(None, "POST", path, given, **more)
    conforms(operation, nobody)
    assert nobody.status == 401
    page.context.actions.problem = "it cannot be done"
    refused = api("ada", "POST", path, given, **more)
    conforms(operation, refused)
    if operation.name not in NOT_REFUSED:
        assert refused.status == 409
    if operation.name not in (*NOT_REFUSED, *NOT_HERE):
        assert refused.json["detail"] == "it cannot be done. Nothing was done."


@pytest.mark.parametrize("operation", [each for each in POSTS if each.body], ids=named)
@pytest.mark.parametrize(
    "wrong", [b"{", b"[]", b'"x"', b'{"unknown": 1}', b'{"accessions": 1}', b"\xff", b"null"]
)
def test_a_body_that_is_not_as_described_is_refused_and_not_repeated(api, operation, wrong):
    told = api("ada", "POST", path_of(operation), wrong, Content_Type="application/json")
    conforms(operation, told)
    assert told.status == 422
    assert told.headers["Content-Type"] == PROBLEM_TYPE
    assert told.json["errors"]


@pytest.mark.parametrize("operation", [each for each in GETS if each.query], ids=named)
@pytest.mark.parametrize("wrong", ["page=0", "size=201", "page=x", "unknown=1", "page=1&page=2"])
def test_a_query_that_is_not_as_described_is_refused(api, operation, wrong):
    told = api("ada", "GET", f"{path_of(operation)}?{wrong}")
    conforms(operation, told)
    assert told.status == 422
