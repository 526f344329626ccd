"""Changing the rules in the browser as an administrator does it, in a running daemon.

Screenshots are kept in tests/artifacts. Not covered: a service that may not write the file of its
rules (tests/safelight/deciding/test_page_rules.py).
"""

import json
import re

import pytest
from playwright.sync_api import expect

WORDS = "a patient's password"
RULES = """\
# The rules of the site

[[rule]]
name = "Only these modalities"
match = { not = { Modality = { in = ["CT", "MR"] } } }
then = { drop = "a modality that is not wanted" }

[[rule]]
name = "Check every series"
[rule.run]
qc = {}
"""
DROP_SMALL = """
[[rule]]
name = "Too few"
match = { instances = { max = 3 } }
then = { drop = "fewer than four instances" }
"""


@pytest.fixture
def site(daemon, tmp_path):
    """A daemon with rules in a file of their own."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "rules.toml").write_text(RULES)
    return daemon('[rules]\nfile = "rules.toml"')


@pytest.fixture
def shoot(keep_picture):
    """Function that keeps pictures of a tab: two widths, light and dark."""

    def keep_four(tab, name):
        for width in (1280, 400):
            tab.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                tab.emulate_media(color_scheme=scheme)
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                keep_picture(tab, f"{name}-{width}-{scheme}")
        tab.set_viewport_size({"width": 1280, "height": 900})
        tab.emulate_media(color_scheme="light")

    return keep_four


def put_after(text, old, new):
    """The text with something new behind a line."""
    assert old in text
    return text.replace(old, f"{old}{new}")


def test_an_administrator_changes_the_rules_and_undoes_it(site, stack, storescu, tab, shoot):
    for slices in (8, 2):
        storescu(stack(slices=slices)[0].parent, port=site.port, called="SAFELIGHT")
        site.wait_for_ended(1 if slices == 8 else 2)
    tab.goto(f"http://{site.web}/")
    tab.get_by_role("link", name="Rules", exact=True).click()
    expect(tab.get_by_text('Modality is one of ["CT", "MR"].')).to_be_visible()
    rule = tab.locator("article", has=tab.get_by_role("heading", name="Check every series"))
    expect(rule).to_contain_text("matched 2 of the last 2 series")
    shoot(tab, "rules")

    tab.get_by_role("link", name="Change the rules").click()
    text = tab.get_by_label("The rules, as TOML")
    expect(text).to_have_value(RULES)
    expect(tab.get_by_text("no errors")).to_be_visible()
    put_button = tab.get_by_role("button", name="Put into force")
    expect(put_button).to_be_disabled()
    tab.evaluate("window.sameDocument = true")

    draft = put_after(RULES, 'wanted" }\n', DROP_SMALL)
    text.fill(draft.replace("instances =", "instanzes ="))
    expect(tab.locator("#flaw")).to_contain_text("match.instanzes")
    expect(tab.locator("#flaw")).to_contain_text("did you mean instances?")
    expect(tab.locator(".gutter .wrong")).to_have_text("10")
    expect(text).to_have_attribute("aria-invalid", "true")
    expect(put_button).to_be_disabled()
    shoot(tab, "rules-error")

    text.fill(draft)
    expect(tab.get_by_text("no errors")).to_be_visible()
    expect(tab.locator(".gutter .wrong")).to_have_count(0)
    expect(tab.locator(".diff .added")).to_have_count(5)
    tab.get_by_label("Number of the series").fill("2")
    tab.get_by_role("button", name="Try it").click()
    by_draft = tab.get_by_role("region", name="By the draft")
    expect(by_draft).to_contain_text("Too few: fewer than four instances")
    expect(by_draft).to_contain_text("instances = 2: at most 3")
    expect(tab.get_by_role("region", name="By the rules in force")).to_contain_text("-> qc")
    shoot(tab, "rules-try")

    tab.get_by_role("button", name="Replay").click()
    expect(tab.get_by_role("heading", name="1 series would have been left out")).to_be_visible()
    row = tab.locator(".replayed tr", has_text="2 3 Thorax")
    expect(row).to_contain_text("Check every series -> qc")
    expect(tab.get_by_text("2 series of the last 7 days looked at, 1 unchanged.")).to_be_visible()
    assert tab.evaluate("window.sameDocument === true")  # all of it without a reload
    shoot(tab, "rules-draft")

    put_button.click()
    expect(tab.get_by_role("heading", name="Versions of the rules")).to_be_visible()
    assert (site.config.parent / "rules.toml").read_text() == draft
    shoot(tab, "rules-versions")
    small = stack(slices=3)[0].parent
    storescu(small, port=site.port, called="SAFELIGHT")
    assert site.wait_for_ended(3)[small.name].state == "dropped"

    tab.get_by_role("link", name="What it changed").first.click()
    expect(tab.locator(".diff .added")).to_have_count(5)
    tab.get_by_role("link", name="Versions").click()
    tab.get_by_role("button", name="Undo: back to this").click()
    expect(tab.get_by_role("row")).to_have_count(4)  # with the head
    assert (site.config.parent / "rules.toml").read_text() == RULES
    small = stack(slices=3)[0].parent
    storescu(small, port=site.port, called="SAFELIGHT")
    assert site.wait_for_ended(4)[small.name].state == "done"
    deeds = [json.loads(line) for line in (site.data / "audit.log").read_text().splitlines()]
    put = [deed["target"] for deed in deeds if deed["action"] == "rules put in force"]
    assert put == ["version 2", "version 3"]


def test_the_keyboard_is_enough(site, stack, storescu, tab):
    storescu(stack(slices=2)[0].parent, port=site.port, called="SAFELIGHT")
    site.wait_for_ended(1)
    tab.goto(f"http://{site.web}/rules/draft")

    def go_to(name):
        """Press Tab until what has this name has the focus, and see that it shows."""
        for _ in range(40):
            tab.keyboard.press("Tab")
            found = tab.evaluate(
                "() => { const it = document.activeElement;"
                " return (it.labels?.[0] ?? it).textContent.trim() }"
            )
            if found == name:
                break
        assert found == name
        shows = "getComputedStyle(document.activeElement.closest('.paper') ??"
        tab.wait_for_function(f"{shows} document.activeElement).outlineWidth === '3px'")

    go_to("The rules, as TOML")
    tab.keyboard.press("Control+Home")
    tab.keyboard.type('[[rule]]\nname = "None"\nthen = { drop = "all" }\n')
    expect(tab.locator(".diff .added").first).to_be_visible()
    expect(tab.get_by_text("no errors")).to_be_visible()
    go_to("Put into force")
    go_to("Number of the series")
    tab.keyboard.type("1")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("region", name="By the draft")).to_contain_text("None: all")
    go_to("Replay")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="1 series would have been left out")).to_be_visible()
    for _ in range(40):
        tab.keyboard.press("Shift+Tab")
        if tab.evaluate("document.activeElement.textContent") == "Put into force":
            break
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Versions of the rules")).to_be_visible()
    go_to("Undo: back to this")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("row")).to_have_count(4)
    assert (site.config.parent / "rules.toml").read_text() == RULES


def test_without_javascript_the_buttons_do_the_same(site, stack, storescu, chromium):
    storescu(stack(slices=2)[0].parent, port=site.port, called="SAFELIGHT")
    site.wait_for_ended(1)
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"http://{site.web}/rules/draft")
    text = tab.get_by_label("The rules, as TOML")
    text.fill(f"{RULES}[[rule")
    tab.get_by_role("button", name="Check and keep").click()
    expect(tab.locator("#flaw")).to_contain_text("TOML")
    text.fill(RULES + DROP_SMALL)
    tab.get_by_label("Number of the series").fill("1")
    tab.get_by_role("button", name="Try it").click()
    expect(tab.get_by_role("region", name="By the draft")).to_contain_text("Too few")
    tab.get_by_role("button", name="Replay").click()
    expect(tab.get_by_text("1 series would have been left out")).to_be_visible()
    tab.get_by_role("button", name="Put into force").click()
    expect(tab.get_by_role("heading", name="Versions of the rules")).to_be_visible()
    assert (site.config.parent / "rules.toml").read_text() == RULES + DROP_SMALL
    context.close()


def test_a_draft_survives_a_restart_and_the_second_of_two_administrators_is_told(
    site, daemon, chromium
):
    for name in ("ada", "bert"):
        added = site.run("user", "add", name, "--role", "admin", input=f"{WORDS}\n")
        assert added.returncode == 0, added.stderr

    def log_in(web, name):
        tab = chromium.new_context().new_page()
        tab.goto(f"http://{web}/rules/draft")
        tab.get_by_label("Name").fill(name)
        tab.get_by_label("Password").fill(WORDS)
        tab.get_by_role("button", name="Log in").click()
        return tab

    ada = log_in(site.web, "ada")
    ada.get_by_label("The rules, as TOML").fill(f"{RULES}# by Ada\n")
    expect(ada.locator(".diff .added")).to_have_text("+# by Ada\n")
    assert site.stop() == 0
    ada.context.close()
    node = daemon('[rules]\nfile = "rules.toml"')

    bert = log_in(node.web, "bert")
    expect(bert.get_by_label("The rules, as TOML")).to_have_value(RULES)
    bert.get_by_label("The rules, as TOML").fill(f"{RULES}# by Bert\n")
    expect(bert.locator(".diff .added")).to_have_count(1)
    bert.get_by_role("button", name="Put into force").click()
    expect(bert.locator("tbody tr").first).to_contain_text("bert")

    ada = log_in(node.web, "ada")
    expect(ada.get_by_label("The rules, as TOML")).to_have_value(re.compile("# by Ada\n$"))
    expect(ada.get_by_text("Other rules have come into force")).to_be_visible()
    expect(ada.locator(".diff .removed")).to_have_text("-# by Bert\n")
    expect(ada.get_by_role("button", name="Put into force")).to_be_disabled()
    ada.get_by_role("button", name="Go on with this draft").click()
    ada.get_by_role("button", name="Put into force").click()
    expect(ada.locator("tbody tr").first).to_contain_text("ada")
    assert (node.config.parent / "rules.toml").read_text() == f"{RULES}# by Ada\n"
    for tab in (ada, bert):
        tab.context.close()
