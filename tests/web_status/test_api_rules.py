"""Rules for programs: those in force, drafts and versions.

Not covered: trying rules on instances and putting them in force, which need a daemon:
tests/acceptance/test_api.py.
"""

import json

import pytest

from rules.texts import RuleText
from web_status.drafts import Draft, Drafts

RULES = """\
# For Mrs Doe
[[rule]]
name = "One patient"
match = { PatientID = "P0042" }
then = { drop = "not now" }

[[rule]]
name = "Everything"
run = { convert = { format = "nifti" } }
"""


@pytest.fixture
def load(chronicle):
    """Function that records rules as in force."""

    def load(text):
        chronicle._ledger.rule_loads.record(text.count("[[rule]]"), (RuleText("r.toml", text),))

    return load


@pytest.fixture
def ada(api):
    """Function that asks about rules as an administrator."""
    return lambda method, path, body=None: api("ada", method, f"/rules{path}", body)


def test_the_rules_in_force_are_told_with_what_they_matched(api, load, chronicle):
    load(RULES)
    chronicle.whole_series(1)
    told = api("olga", "GET", "/rules").json
    assert [(one["name"], one["enabled"], one["matched"]) for one in told["items"]] == [
        ("One patient", True, 0),
        ("Everything", True, 1),
    ]
    assert (told["series"], told["loaded"]["rules"], told["failed"]) == (1, 2, None)
    assert "P0042" in told["items"][0]["toml"]


def test_viewers_do_not_learn_whom_rules_are_about(api, load, chronicle):
    load(RULES)
    chronicle._ledger.rule_loads.record_failure('match.PatientID: got "DOE"')
    assert api("olga", "GET", "/rules").json["failed"]["problem"].endswith('got "DOE"')
    told = api("victor", "GET", "/rules")
    assert told.json["failed"]["problem"] == "(hidden)"
    assert 'PatientID = "(hidden)"' in told.json["items"][0]["toml"]
    for word in ("P0042", "DOE", "Doe"):
        assert word not in told.text


def test_before_there_is_a_ledger_there_are_no_rules_and_no_draft(ada):
    assert ada("GET", "").json["items"] == []
    assert ada("GET", "/draft").status == 409
    assert ada("GET", "/versions/1").status == 404
    assert ada("POST", "/versions/1/force", {"mark": "m"}).status == 404


def test_without_a_draft_there_is_what_is_in_force_to_begin_with(load, ada, page):
    (page.context.data / "rules").mkdir()
    (page.context.data / "rules" / "rules.toml").write_text(RULES)
    load(RULES)
    draft = ada("GET", "/draft").json
    assert (draft["text"], draft["flaw"], draft["changes"]) == (RULES, None, [])
    assert (draft["is_stale"], draft["may_force"]) == (False, False)
    assert draft["mark"] == draft["standing"]["mark"]


def test_a_draft_is_kept_checked_and_compared(load, ada, page):
    load(RULES)
    mark = ada("GET", "/draft").json["mark"]
    text = RULES.replace('"nifti"', '"npz"')
    draft = ada("POST", "/draft", {"text": text, "mark": mark}).json
    assert (draft["flaw"], draft["may_force"]) == (None, True)
    changed = [line["text"] for line in draft["changes"] if line["kind"] in ("added", "removed")]
    assert changed == [
        '-run = { convert = { format = "nifti" } }',
        '+run = { convert = { format = "npz" } }',
    ]
    assert ada("GET", "/draft").json == draft
    assert Drafts(page.context.data).read("ada") == Draft(text, mark)
    flawed = ada("POST", "/draft", {"text": text.replace("drop", "dorp"), "mark": mark}).json
    assert (flawed["flaw"]["line"], flawed["flaw"]["key"]) == (5, "then.dorp")
    assert flawed["may_force"] is False
    assert ada("POST", "/draft/discard").status == 204
    assert ada("GET", "/draft").json["text"] == RULES


def test_a_draft_of_a_program_is_the_one_of_the_page(load, ada, page, log_in):
    load(RULES)
    ada("POST", "/draft", {"text": "# by a program\n", "mark": "m"})
    assert "# by a program" in page.get("/rules/draft", **log_in(page, "ada")).text


def test_who_drafts_is_told_that_the_rules_changed_and_can_force_nothing(load, ada):
    load(RULES)
    mine = {"text": f"{RULES}# mine\n", "mark": ada("GET", "/draft").json["mark"]}
    load(f"{RULES}# theirs\n")
    draft = ada("POST", "/draft", mine).json
    assert (draft["is_stale"], draft["may_force"]) == (True, False)
    refused = ada("POST", "/force", mine)
    assert (refused.status, "have changed since" in refused.json["detail"]) == (409, True)
    again = ada("POST", "/draft", {**mine, "mark": draft["standing"]["mark"]}).json
    assert (again["is_stale"], again["may_force"]) == (False, True)
    undone = ada("POST", "/versions/1/force", {"mark": mine["mark"]})
    assert (undone.status, "have changed since" in undone.json["detail"]) == (409, True)


def test_a_draft_begins_again_with_what_its_file_says(load, ada, page):
    (page.context.data / "rules").mkdir()
    (page.context.data / "rules" / "rules.toml").write_text("# edited by hand\n")
    load(RULES)
    assert ada("POST", "/draft/file").json["text"] == "# edited by hand\n"
    assert ada("GET", "/draft").json["standing"]["file_text"] == "# edited by hand\n"


def test_a_draft_is_replayed_and_not_tried_on_a_series_that_is_none(load, ada, chronicle):
    load(RULES)
    chronicle.whole_series(2)
    draft = {"text": f"{RULES}# x\n", "mark": "m"}
    replay = ada("POST", "/draft/replay", {**draft, "days": 30}).json
    assert (replay["days"], replay["looked_at"], replay["of"]) == (30, 1, 1)
    refused = ada("POST", "/draft/replay", {**draft, "text": "[[rule"})
    assert (refused.status, "detail" in refused.json) == (409, True)
    assert ada("POST", "/draft/try", {**draft, "series": 7}).status == 409
    assert ada("POST", "/draft/replay", {**draft, "days": 2}).status == 422


def test_a_draft_may_be_longer_than_other_requests_and_has_its_bounds(load, ada):
    load(RULES)
    long = "# x\n" * (1 << 17)
    assert ada("POST", "/draft", {"text": long, "mark": ""}).json["text"] == long
    assert ada("POST", "/draft", {"text": long * 3, "mark": ""}).status == 422
    assert ada("POST", "/draft", {"text": long * 9, "mark": ""}).status == 413


def test_versions_tell_who_put_them_in_force_and_what_they_changed(load, ada, page):
    load(RULES)
    load(RULES.replace('"nifti"', '"npz"'))
    trail = {"action": "rules put in force", "user": "ada", "target": "version 2"}
    with (page.context.data / "audit.log").open("a") as log:
        log.write(json.dumps(trail) + "\n")
    told = ada("GET", "/versions").json
    assert [(one["id"], one["by"], one["is_in_force"]) for one in told["items"]] == [
        (2, "ada", True),
        (1, None, False),
    ]
    assert told["mark"] == ada("GET", "/draft").json["mark"]
    second = ada("GET", "/versions/2").json
    assert second["text"] == RULES.replace('"nifti"', '"npz"')
    assert '+run = { convert = { format = "npz" } }' in [one["text"] for one in second["changes"]]
    assert ada("GET", "/versions/3").status == 404
