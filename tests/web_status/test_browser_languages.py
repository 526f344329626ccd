"""The page in Chinese, in headless Chromium: switched, updated, and as wide as its window.

Screenshots are kept in tests/artifacts. Not covered: other browsers, whether a translation is good.
"""

import shutil
import subprocess

import pytest
from playwright.sync_api import expect

from rules.texts import RuleText

FITS = "document.documentElement.scrollWidth <= window.innerWidth"
NAME = "t2_tse_dark-fluid_tra_p2_without_any_place_to_break_the_line_xxx"
PAGES = {
    "login": "/login",
    "now": "/",
    "studies": "/studies",
    "study": "/studies/1",
    "series": "/series/1",
    "given-up": "/series/2",
    "viewer": "/outputs/1/viewer",
    "rules": "/rules",
    "draft": "/rules/draft",
    "versions": "/rules/versions",
    "alarms": "/alarms",
    "network": "/network",
    "retrieves": "/retrieves",
    "search": "/search",
    "system": "/system",
    "uploads": "/uploads",
}


RULES = """\
[[rule]]
name = "Everything"
window = "20:00-06:00"
[rule.match]
Modality = { in = ["MR", "CT"], if_absent = false }
not = { grade = { at_least = "quiet" } }
[rule.run]
convert = { format = "nifti" }
[rule.keep]
results_days = 90
"""


@pytest.fixture
def chinese_font():
    """Skips a test that is about how wide Chinese is where no font has it."""
    fonts = shutil.which("fc-list")
    if fonts is None or not subprocess.check_output([fonts, ":lang=zh"]):
        pytest.skip("no font has Chinese (Debian: fonts-wqy-microhei)")


@pytest.fixture
def open_tab(chromium, page):
    """Function that opens a path of the page in Chinese; a complaint of it is a failure."""
    complaints, contexts = [], []

    def open_path(path, **settings):
        contexts.append(chromium.new_context(**{"locale": "zh-CN", **settings}))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.url + path)
        return tab

    yield open_path
    for context in contexts:
        context.close()
    assert complaints == []


def test_a_person_switches_to_chinese_and_back_and_updates_follow(page, chronicle, open_tab):
    tab = open_tab("/uploads", locale="en-GB")
    expect(tab.get_by_text("Nothing was uploaded since Safelight started.")).to_be_visible()
    tab.get_by_role("button", name="简体中文").click()
    expect(tab).to_have_url(f"{page.url}/uploads")
    expect(tab.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(tab.get_by_role("heading", name="上传", exact=True)).to_be_visible()
    expect(tab.locator("#zone")).to_contain_text("时间为")
    tab.evaluate("window.sameDocument = true")
    file = {"name": "a.dcm", "mimeType": "application/dicom", "buffer": b"x"}
    tab.get_by_label("DICOM 文件").set_input_files(file)
    tab.get_by_role("main").get_by_role("button", name="上传").click()
    expect(tab.locator(".sending")).to_contain_text("全部已发送。")
    expect(tab.locator("#uploads")).to_contain_text("1 个新实例")  # a live update
    assert tab.evaluate("window.sameDocument === true")
    tab.goto(page.url + "/network")
    expect(tab.get_by_role("heading", name="PACS 与发送方")).to_be_visible()
    tab.get_by_role("button", name="English").click()
    expect(tab.get_by_role("heading", name="PACS and senders")).to_be_visible()


def test_the_language_is_switched_without_javascript(open_tab):
    tab = open_tab("/retrieves", java_script_enabled=False)
    tab.get_by_role("button", name="English").click()
    expect(tab.get_by_role("heading", name="Retrieves")).to_be_visible()


@pytest.mark.parametrize("width", [400, 1280])
def test_no_chinese_page_is_wider_than_its_window(
    page, chronicle, users, open_tab, password, chinese_font, width, keep_picture
):
    chronicle.event("rejected", calling_ae="STRANGER", reason="calling AE title not accepted here")
    about = {"SeriesDescription": NAME, "PatientName": "王^小明=", "PatientID": "9" * 64}
    chronicle.whole_series(24, qc="Low contrast", Modality="CT", **about)
    chronicle._ledger.rule_loads.record(1, (RuleText("rules.toml", RULES),))
    chronicle.arrive(series="1.2.4", count=3)
    chronicle.decide(chronicle.close(series="1.2.4"))
    chronicle.bury(chronicle.claim(), "WorkerDied: signal 11")
    tab = open_tab("/login", viewport={"width": width, "height": 800})
    for name, path in PAGES.items():
        tab.goto(page.url + path)
        expect(tab.locator("html")).to_have_attribute("lang", "zh-Hans")
        assert tab.evaluate(FITS), path
        if name == "viewer":
            expect(tab.locator(".where")).to_have_text("1 / 24")
            expect(tab.locator(".window")).to_have_text("窗位 40，窗宽 400。")

        keep_picture(tab, f"chinese-{name}-{width}")
        if name == "login":
            tab.get_by_label("用户名").fill("ada")
            tab.get_by_label("密码").fill(password)
            tab.get_by_role("main").get_by_role("button", name="登录").click()
            expect(tab.get_by_text("ada，管理员")).to_be_visible()
