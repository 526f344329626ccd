"""The page in headless Chromium while the ledger changes under it.

Whatever the browser complains about fails a test; that includes whatever the
Content-Security-Policy stopped. Not covered: other browsers, screen readers. The page of a
running daemon: tests/acceptance/test_page.py.
"""

import re

import pytest
from playwright.sync_api import expect

FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def mark(tab):
    """Leave a mark that a reload would wipe."""
    tab.evaluate("window.sameDocument = true")


def assert_not_reloaded(tab):
    assert tab.evaluate("window.sameDocument === true")


def test_a_series_appears_and_is_followed_to_its_picture_without_a_reload(
    page, chronicle, open_tab
):
    tab = open_tab()
    mark(tab)
    expect(tab.get_by_text("Nothing has arrived yet")).to_be_visible()
    chronicle.arrive(count=3)
    row = tab.locator("#series-1")
    expect(row).to_contain_text("3 instances so far")
    expect(tab.get_by_text("Nothing has arrived yet")).to_be_hidden()
    chronicle.decide(chronicle.close())
    job = chronicle.claim()
    page.progress[job.key] = ("convert", 0.45)
    expect(row.locator("progress")).to_have_js_property("value", 0.45)
    page.progress.clear()
    chronicle.finish(job)
    expect(row).to_contain_text("nifti ok (3/3 frames verified)")
    picture = row.locator("img")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 96)
    assert_not_reloaded(tab)


def test_the_newest_series_comes_first_and_no_row_is_made_anew(chronicle, open_tab):
    chronicle.whole_series(2, series="1.2.3")
    tab = open_tab()
    old = tab.locator("#series-1")
    old.evaluate("row => { row.isTheSame = true }")
    chronicle.arrive(series="1.2.4")
    expect(tab.locator("tbody tr").first).to_have_id("series-2")
    assert old.evaluate("row => row.isTheSame")


def test_focus_and_opened_details_survive_an_update(chronicle, open_tab):
    chronicle.whole_series(2)
    tab = open_tab("/series/1")
    details = tab.locator("#details-1-qc")
    details.locator("summary").first.click()
    expect(details).to_have_attribute("open", "")
    tab.get_by_role("link", name="007_T2.nii.gz").focus()
    chronicle.whole_series(1)  # a new job comes in front of the one that is looked at
    expect(tab.locator("article")).to_have_count(2)
    expect(details).to_have_attribute("open", "")
    assert tab.evaluate("document.activeElement.getAttribute('href')") == "/outputs/1"


def test_lost_updates_are_said_and_caught_up_with(page, chronicle, open_tab):
    tab = open_tab()
    offline = tab.get_by_text("Live updates are interrupted")
    expect(offline).to_be_hidden()
    tab.context.set_offline(True)
    tab.evaluate("disconnect(); connect()")
    expect(offline).to_be_visible()
    chronicle.arrive(count=5)
    tab.context.set_offline(False)
    expect(tab.locator("#series-1")).to_contain_text("5 instances so far", timeout=60_000)
    expect(offline).to_be_hidden()


def test_a_draft_that_did_not_reach_the_node_is_said_in_the_language_of_the_page(
    chronicle, open_tab
):
    for locale, words in (("en-GB", "The draft could not be sent"), ("zh-CN", "草稿未能发送")):
        tab = open_tab("/rules/draft", locale=locale)
        tab.context.set_offline(True)
        tab.locator("#text").fill("# new")
        expect(tab.locator("#notices")).to_contain_text(words)


def test_a_slice_that_did_not_come_is_said_in_the_language_of_the_page(chronicle, open_tab):
    chronicle.whole_series(30)
    for locale, words in (("en-GB", "The connection broke."), ("zh-CN", "连接中断。")):
        tab = open_tab("/outputs/1/viewer", locale=locale)
        expect(tab.locator("canvas")).to_have_attribute("data-shown", "axial 0 0")
        tab.context.set_offline(True)
        tab.locator(".stage").press("End")
        expect(tab.locator(".problem")).to_have_text(words)


def test_times_are_those_of_the_reader(chronicle, open_tab):
    chronicle.arrive()
    for zone, hour in (("Asia/Tokyo", 9), ("UTC", 0)):
        tab = open_tab("/series/1", timezone_id=zone)
        expect(tab.locator("#zone")).to_contain_text(zone)
        time = tab.locator("time").first
        utc_hour = int(time.get_attribute("datetime")[11:13])
        shown = re.search(r" (\d\d):\d\d:\d\d$", time.inner_text())[1]
        assert int(shown) == (utc_hour + hour) % 24


def test_without_javascript_everything_is_there_in_utc(chronicle, open_tab):
    chronicle.whole_series(2)
    tab = open_tab("/series/1", java_script_enabled=False)
    expect(tab.get_by_role("link", name="007_T2.nii.gz")).to_be_visible()
    expect(tab.locator("time").first).to_contain_text("UTC")


def test_markup_in_names_runs_neither_at_once_nor_as_an_update(chronicle, open_tab):
    evil = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    chronicle.arrive(PatientName=evil)
    tab = open_tab()
    chronicle.arrive(series="1.2.4", count=2, SeriesDescription=evil)
    expect(tab.locator("#series-2 .title")).to_contain_text("<script>")
    assert tab.title() == "Now · Safelight"
    assert tab.locator("tbody script, tbody img[onerror]").count() == 0


@pytest.mark.parametrize("path", ["/", "/series/1", "/studies/1", "/alarms"])
@pytest.mark.parametrize("width", [400, 800, 1280])
def test_no_page_is_wider_than_its_window(chronicle, open_tab, path, width):
    name = "t2_tse_dark-fluid_tra_p2_without_any_place_to_break_the_line_xxx"
    chronicle.event("rejected", calling_ae="STRANGER", reason="calling AE title not accepted here")
    chronicle.event("refused", reason="StudyInstanceUID is missing")
    chronicle.whole_series(24, SeriesDescription=name, PatientName="A" * 64, PatientID="9" * 64)
    tab = open_tab(path, viewport={"width": width, "height": 800})
    if path == "/series/1":
        tab.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert tab.evaluate(FITS)


def test_every_link_can_be_reached_by_keyboard_and_shows_its_focus(chronicle, open_tab):
    chronicle.whole_series(2)
    tab = open_tab()
    tab.keyboard.press("Tab")
    expect(tab.get_by_role("link", name="Skip to content")).to_be_focused()
    reached = set()
    for _ in range(14):
        tab.keyboard.press("Tab")
        focused = "document.activeElement"
        reached.add(tab.evaluate(f"{focused}.getAttribute('href')"))
        if tab.evaluate(f"{focused} !== document.body"):
            outline = tab.evaluate(f"getComputedStyle({focused}).outlineWidth")
            assert outline == "3px"
    assert {"/", "/alarms", "/series/1", "/studies/1"} <= reached


CONTRASTS = """() => {
  const luminance = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const colour = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")].filter((element) =>
    element.getClientRects().length &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim()));
  return texts.map((element) => {
    const two = [luminance(colour(getComputedStyle(element).color)), luminance(ground(element))];
    return [(Math.max(...two) + 0.05) / (Math.min(...two) + 0.05), element.outerHTML.slice(0, 90)];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/series/1", "/series/2", "/studies/1"])
def test_text_has_a_contrast_of_at_least_4_5(chronicle, open_tab, scheme, path):
    chronicle.workbook(chronicle.whole_series(2, qc="Low contrast"), b"x")
    chronicle.arrive(series="1.2.4")
    chronicle.decide(chronicle.close(series="1.2.4"))
    chronicle.bury(chronicle.claim(), "WorkerDied: signal 11")
    chronicle.arrive(series="1.2.5")
    tab = open_tab(path, color_scheme=scheme)
    found = tab.evaluate(CONTRASTS)
    assert len(found) > 10
    assert [each for each in found if each[0] < 4.5] == []
