"""The pages of the rules over a real ledger, and the drafts that are kept between requests.

Not covered: putting rules in force, which needs a daemon: tests/safelight/deciding/
test_page_rules.py, and in a browser tests/acceptance/test_rules_page.py.
"""

import html
import json
import re

import pytest

from rules.texts import RuleText
from web_status.drafts import Draft, Drafts

from .forms import form

RULES = """\
# For Mrs Doe
[[rule]]
name = "One patient"
[rule.match]
PatientID = "P0042"
any = [{ OtherPatientNames = "DOE" }, { Rows = { min = 2, max = 9 } }]
[rule.then]
drop = "not now"

[[rule]]
name = "Everything"
priority = 7
window = "20:00-06:00"
[rule.match]
Modality = { in = ["MR", "CT"], if_absent = false }
not = { grade = { at_least = "quiet" } }
[rule.run]
convert = { format = "nifti" }
qc = {}
[rule.deliver]
to = "a/{PatientID}"
[rule.keep]
results_days = 90

[[rule]]
name = "Off"
enabled = false
then = { hold = "look" }
"""


@pytest.fixture
def load(chronicle):
    """Function that records rules as in force."""

    def load(text, name="rules.toml"):
        chronicle._ledger.rule_loads.record(text.count("[[rule]]"), (RuleText(name, text),))

    return load


def test_whom_a_rule_tells_is_said(page, load):
    load(
        '[[rule]]\nname = "A"\nnotify = { to = ["team", "it"], on = "failed" }\nrun = { qc = {} }\n'
    )
    assert "Told are team, it, of failed." in page.section("rules", "/rules")


@pytest.fixture
def ask(page, users, log_in):
    """Function that posts fields to a path as an administrator, or as `who`."""
    known = {}

    def ask(path, who="ada", method="POST", **fields):
        headers = known[who] = known.get(who) or log_in(page, who)
        if method == "GET":
            return page.get(path, **headers)
        body, kind = form(*((name, None, text.encode()) for name, text in fields.items()))
        return page.get(path, "POST", body, Content_Type=kind, **headers)

    return ask


def text_of(answer):
    """What a person reads of a page, on one line."""
    inside = re.sub(r"<(script|head).*?</\1>", " ", answer.text, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", inside)))


def mark_of(answer):
    (mark,) = re.findall(r'name="mark" value="(\w+)"', answer.text)
    return mark


def deeds(page):
    lines = (page.context.data / "audit.log").read_text().splitlines()
    return [(deed["action"], deed["user"]) for deed in map(json.loads, lines)]


def test_a_rule_reads_as_sentences_and_as_it_is_written(load, ask):
    load(RULES)
    told = text_of(ask("/rules", "olga", "GET"))
    for sentence in (
        'PatientID is "P0042".',
        'One of these holds: OtherPatientNames is "DOE". All of these hold: Rows is at least 2.',
        "Rows is at most 9.",
        'Modality is one of ["MR", "CT"]. Does not hold without a value.',
        'This does not hold: grade is "quiet" or better.',
        "The series is left out, and nothing runs: not now",
        "The series waits for a person, and nothing runs: look",
        'format = "nifti"',
        "Outputs go to a/{PatientID} .",
        "Its jobs have priority 7.",
        "Its jobs begin in these hours: 20:00-06:00.",
        "Results are deleted after so many days: 90.",
        "Off not enabled",
        '[[rule]] name = "Everything" priority = 7',
    ):
        assert sentence in told, sentence


def test_a_rule_counts_the_latest_series_that_it_matched(chronicle, load, page):
    load(RULES)
    for number in range(3):
        chronicle.whole_series(1, series=f"1.2.{number}")
    told = text_of(page.get("/rules"))
    assert "Everything matched 3 of the last 3 series" in told
    assert "One patient matched 0 of the last 3 series" in told


def test_who_the_rules_are_about_is_hidden_from_viewers_and_so_are_comments(load, ask):
    load(RULES)
    seen = ask("/rules", "victor", "GET").text
    told = html.unescape(seen)
    assert "P0042" not in told
    assert "DOE" not in told
    assert "Mrs Doe" not in told
    assert 'PatientID = "(hidden)"' in told
    assert "a/{PatientID}" in told  # a place to fill in names nobody
    assert 'in = ["MR", "CT"]' in told


def test_a_refused_reload_is_told_and_its_values_only_to_who_sees_names(chronicle, load, ask):
    load(RULES)
    chronicle._ledger.rule_loads.record_failure('match.PatientID: got "DOE"')
    assert 'got "DOE"' in text_of(ask("/rules", "olga", "GET"))
    viewer = text_of(ask("/rules", "victor", "GET"))
    assert "Other rules were refused" in viewer
    assert "DOE" not in viewer


def test_rules_that_only_an_earlier_release_could_read_are_said_to_be_so(load, page):
    load('[[rule]]\nname = "Old"\nfrom_before = 1\n')
    assert "as an earlier release wrote them" in text_of(page.get("/rules"))


def test_without_a_ledger_there_are_no_rules_and_no_draft(page):
    assert "No rules were read yet." in text_of(page.get("/rules"))
    assert "No rules were read yet." not in page.get("/rules/draft").text
    assert page.get("/rules/draft").status == 409


def test_a_draft_begins_with_what_is_in_force_and_says_so(load, ask):
    load(RULES)
    answer = ask("/rules/draft", method="GET")
    assert "For Mrs Doe" in answer.text
    told = text_of(answer)
    assert "no errors" in told
    assert "The draft says what is in force." in told


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("Modality = { in", "Modalitys = { in", 15, "match.Modalitys"),
        ('hold = "look"', 'hlod = "look"', 28, "then.hlod"),
        ("priority = 7", "priority = 700", 12, "priority"),
        ("qc = {}", "qcc = {}", 19, "run.qcc"),
        ("results_days = 90", "results_days = -1", 23, "keep.results_days"),
        ("[rule.keep]", "[rule.keep", 22, "TOML"),
        ('name = "Off"', 'name = "Everything"', 26, "name"),
    ],
)
def test_an_error_is_told_with_its_line_and_key(load, ask, old, new, line, key):
    load(RULES)
    answer = ask("/rules/draft", text=RULES.replace(old, new), mark="")
    assert f'data-line="{line}"' in answer.text
    assert f"<code>{key}</code>" in answer.text
    assert "cannot be put in force" in text_of(answer)
    assert re.search(r'formaction="/rules/force" disabled', answer.text)


@pytest.mark.parametrize("text", [f"a = {'[' * 100_000}", f"a = {'1' * 5000}"])
def test_a_draft_that_cannot_even_be_read_shuts_nobody_out(load, ask, text):
    load(RULES)
    for path in ("/rules/draft", "/rules/draft/replay"):
        answer = ask(path, text=text, mark="")
        assert answer.status == 200
        assert "cannot be put in force" in text_of(answer)
    assert ask("/rules/draft", method="GET").status == 200


def test_what_a_draft_changes_has_a_sign_before_each_line(load, ask):
    load(RULES)
    answer = ask("/rules/draft", text=RULES.replace("priority = 7", "priority = 8"), mark="")
    assert '<span class="removed">-priority = 7' in answer.text
    assert '<span class="added">+priority = 8' in answer.text


def test_a_draft_is_kept_for_who_wrote_it_alone(load, ask, page):
    load(RULES)
    ask("/rules/draft", text="# by Ada\r\n", mark="m")
    assert Drafts(page.context.data).read("ada") == Draft("# by Ada\n", "m")
    assert "# by Ada" in ask("/rules/draft", method="GET").text
    path = page.context.data / "rules" / "drafts" / "ada.json"
    assert path.stat().st_mode & 0o777 == 0o600
    page.context.data.joinpath("rules/drafts/ada.json").write_text("{")
    assert "For Mrs Doe" in ask("/rules/draft", method="GET").text


def test_a_draft_that_says_what_is_in_force_is_none(load, ask, page):
    load(RULES)
    ask("/rules/draft", text="# other", mark="m")
    ask("/rules/draft", text=RULES.replace("\n", "\r\n"), mark="m")
    assert Drafts(page.context.data).read("ada") is None


def test_a_draft_can_be_thrown_away(load, ask):
    load(RULES)
    ask("/rules/draft", text="# other", mark="m")
    assert ask("/rules/draft/discard").status == 303
    assert "For Mrs Doe" in ask("/rules/draft", method="GET").text


def test_a_draft_longer_than_other_forms_is_taken_and_one_beyond_all_bounds_is_not(load, ask):
    load(RULES)
    assert ask("/rules/draft", text="# x\n" * 100_000, mark="").status == 200
    assert ask("/rules/draft", text="# x\n" * 300_000, mark="").status == 413


def test_who_edits_is_told_that_others_put_rules_in_force_meanwhile(load, ask):
    load(RULES)
    mine = mark_of(ask("/rules/draft", method="GET"))
    draft = f"{RULES}# mine\n"
    assert "Other rules have come into force" not in ask("/rules/draft", text=draft, mark=mine).text
    load(f"{RULES}# theirs\n")
    stale = ask("/rules/draft", text=draft, mark=mine)
    assert "Other rules have come into force" in stale.text
    assert '<span class="removed">-# theirs' in stale.text
    refused = ask("/rules/force", text=draft, mark=mine)
    assert refused.status == 409
    assert "Other rules have come into force" in refused.text
    assert ask("/rules/draft/rebase", text=draft, mark=mine).status == 303
    gone_on = ask("/rules/draft", method="GET")
    assert "# mine" in gone_on.text
    assert "Other rules have come into force" not in gone_on.text


def test_a_file_that_says_something_else_is_told_and_can_be_begun_with(load, ask, page):
    (page.context.data / "rules").mkdir()
    (page.context.data / "rules" / "rules.toml").write_text("# edited by hand\n")
    load(RULES)
    assert "The file of the rules says something else" in ask("/rules/draft", method="GET").text
    assert ask("/rules/draft/file").status == 303
    assert "# edited by hand" in ask("/rules/draft", method="GET").text


def test_a_series_that_is_none_is_no_reason_to_lose_the_draft(load, ask):
    load(RULES)
    for series in ("", "x", "9" * 30, "7"):
        answer = ask("/rules/draft/try", text="# mine", mark="", series=series)
        assert answer.status == 200
        assert "Not done." in answer.text
        assert "# mine" in answer.text


def test_a_draft_with_an_error_is_neither_tried_nor_replayed_nor_put_in_force(load, ask):
    load(RULES)
    mark = mark_of(ask("/rules/draft", method="GET"))
    for path in ("/rules/draft/try", "/rules/draft/replay"):
        answer = ask(path, text="[[rule", mark=mark, series="1", days="7")
        assert answer.status == 200
        assert "Not done." in answer.text
    assert "Not done." in ask("/rules/force", text="[[rule", mark=mark).text


def test_versions_tell_who_put_them_in_force_and_what_they_changed(load, ask, page):
    load(RULES)
    load(RULES)  # a restart reads them again
    load(RULES.replace("priority = 7", "priority = 8"))
    trail = {"action": "rules put in force", "user": "ada", "target": "version 3"}
    ask("/rules", method="GET")
    with (page.context.data / "audit.log").open("a") as log:
        log.write(json.dumps(trail) + "\n")
    versions = ask("/rules/versions", method="GET")
    assert re.findall(r'href="/rules/versions/(\d)"', versions.text) == ["3", "1"]
    told = text_of(versions)
    assert re.search(r"in force ada 3 rules What it changed", told)
    assert re.search(r"the file, which was read then 3 rules What it changed Undo", told)
    third = ask("/rules/versions/3", method="GET")
    assert '<span class="removed">-priority = 7' in third.text
    assert '<span class="added">+priority = 8' in third.text
    assert "into force again" not in third.text
    assert "into force again" in ask("/rules/versions/1", method="GET").text
    assert ask("/rules/versions/2", method="GET").status == 404


def test_the_audit_trail_has_a_draft_once_and_each_replay(load, ask, page):
    load(RULES)
    for text in ("# a", "# b", "# c"):
        ask("/rules/draft", text=text, mark="m")
    ask("/rules/draft/replay", text="# c", mark="m", days="30")
    ask("/rules/draft/discard")
    assert [action for action, _ in deeds(page) if action.startswith("rules")] == [
        "rules draft begun",
        "rules replayed",
        "rules draft discarded",
    ]
