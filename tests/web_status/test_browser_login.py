"""Logging in and out in headless Chromium, as a person does it, with the keyboard.

Screenshots are kept in tests/artifacts. Not covered: other browsers, password managers.
"""

import pytest
from playwright.sync_api import expect

from web_status.access import DOOR

REFUSED = "the server responded with a status of 401"  # what one test is about
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.fixture
def open_tab(chromium):
    """Function that opens a tab with settings of its own; what it complains about is a failure."""
    complaints, contexts = [], []

    def open_it(**settings):
        contexts.append(chromium.new_context(**settings))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        return tab

    yield open_it
    for context in contexts:
        context.close()
    assert [text for text in complaints if REFUSED not in text] == []


def log_in(tab, name, password):
    """Fill in the form with the keyboard; its first field has the focus."""
    expect(tab.get_by_label("Name")).to_be_focused()
    tab.keyboard.type(name)
    tab.keyboard.press("Tab")
    expect(tab.get_by_label("Password")).to_be_focused()
    tab.keyboard.type(password)
    tab.keyboard.press("Enter")


def test_a_viewer_logs_in_sees_updates_without_names_and_logs_out(
    page, chronicle, users, open_tab, password, keep_picture
):
    chronicle.whole_series(2)
    tab = open_tab(viewport={"width": 1280, "height": 800})
    tab.goto(f"{page.url}/studies/1")
    keep_picture(tab, "login")
    log_in(tab, "victor", "not the password")
    expect(tab.get_by_role("alert")).to_contain_text("do not belong together")
    keep_picture(tab, "login-failed")
    log_in(tab, "victor", password)
    expect(tab).to_have_url(f"{page.url}/studies/1")
    expect(tab.get_by_text("victor, viewer")).to_be_visible()
    expect(tab.locator(".study dd").first).to_have_text("(hidden)")
    chronicle.arrive(series="1.2.4", count=5)
    expect(tab.locator("#series-2")).to_contain_text("5 instances so far")  # no reload
    assert "DOE" not in tab.content()
    keep_picture(tab, "viewer")
    tab.set_viewport_size({"width": 400, "height": 800})
    assert tab.evaluate(FITS)
    keep_picture(tab, "viewer-phone")
    tab.get_by_role("button", name="Log out").click()
    expect(tab.get_by_role("heading", name="Log in")).to_be_visible()
    tab.go_back()  # what was seen is not in the browser's cache
    expect(tab.get_by_role("heading", name="Log in")).to_be_visible()


def test_an_open_page_asks_to_log_in_again_by_itself_and_leads_back(
    page, chronicle, users, open_tab, password, monkeypatch, keep_picture
):
    monkeypatch.setattr("web_status.live.KEEP_ALIVE_SECONDS", 0.2)
    chronicle.arrive()
    tab = open_tab(color_scheme="dark", viewport={"width": 400, "height": 800})
    tab.goto(f"{page.url}/series/1")
    log_in(tab, "ada", password)
    expect(tab.get_by_text("DOE, JANE")).to_be_visible()
    users.set_password("ada", "another password")
    expect(tab.get_by_role("heading", name="Log in")).to_be_visible(timeout=60_000)
    assert tab.evaluate(FITS)
    keep_picture(tab, "login-phone")
    log_in(tab, "ada", "another password")
    expect(tab).to_have_url(f"{page.url}/series/1")
    expect(tab.get_by_text("DOE, JANE")).to_be_visible()
    # The same after a restart, which ends all sessions and cuts the connection.
    tab.wait_for_load_state()
    tab.evaluate("disconnect()")
    page.runner.app[DOOR].sessions._open.clear()
    tab.evaluate("connectOrLogIn()")
    expect(tab.get_by_role("heading", name="Log in")).to_be_visible()
