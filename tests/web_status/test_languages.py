"""The languages of the page: what is translated, and which language an answer is in.

Not covered: whether a translation is good; how it looks (see test_browser_languages.py).
"""

import re
from gettext import NullTranslations
from html.parser import HTMLParser
from http import HTTPStatus
from urllib.parse import urlencode

import pytest
from jinja2 import nodes

from rules.texts import RuleText
from web_status.languages import ENGLISH, LANGUAGES, catalogue
from web_status.phrases import PHRASES
from web_status.rendering import environment_of
from web_status.wording import Wording

from .catalogues import PACKAGE, TEMPLATES, of_language, said, template

OTHERS = [language for language in LANGUAGES if language != ENGLISH]
ENGLISH_BY_DECISION = {"api.html"}
"""The page for those who write programs: its words are those of the API's own description."""

RULES = """\
[[rule]]
name = "Everything"
match = { Modality = "CT" }
run = { qc = {} }
keep = { results_days = 90 }
"""

CHINESE = re.compile(r"[\u4e00-\u9fff]")
LETTERS = re.compile(r"[A-Za-z]{2}")
PLACE = re.compile(r"%\(\w+\)[sd]|\{\w+\}|%%|<[^>]+>")
DATA = {"data-words", "data-wait", "data-lost"}
SHOWN_ATTRIBUTES = {"aria-label", "alt", "title", "placeholder", "data-label", *DATA}
NAMES = {"Safelight", "PACS", "C-MOVE", "C-GET", "DICOMweb"}
NOT_SHOWN = {
    *("good", "bad", "warn", "calm", "busy", "old", "admins", "true", "false", "UPLOAD"),
    *("none", "one", "many", "all", "refused", "broken", "reading", "move", "get", "dicomweb"),
}
"""Tones, classes, and the names by which scripts know their words."""


def test_the_words_of_a_sentence_are_found_wherever_it_is_said():
    found = {sentence for sentence, _ in said()}
    assert {"Who may send", "Misdirected Request", "No file was chosen.", "NIfTI volume"} <= found
    assert ("%(num)s instance", "%(num)s instances") in found


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_has_a_translation_with_the_same_places(language):
    there = of_language(language)
    for message in template():
        if not message.id:
            continue
        found = there.get(message.id)
        assert found is not None, f"{message.id}: run python tests/web_status/catalogues.py"
        assert not found.fuzzy, message.id
        english = message.id if isinstance(message.id, str) else message.id[-1]
        translated = [found.string] if isinstance(found.string, str) else found.string
        for text in translated:
            assert text, f"{message.id} is not translated"
            assert sorted(PLACE.findall(text)) == sorted(PLACE.findall(english)), message.id


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_keeps_nothing_that_is_not_said_any_more(language):
    kept = of_language(language)
    assert {each.id for each in kept} == {each.id for each in template()}
    assert not kept.obsolete


class ShownText(HTMLParser):
    """Collects the texts that a reader sees or hears, but for code."""

    def __init__(self):
        super().__init__()
        self.found, self._code = [], 0

    def handle_starttag(self, tag, attrs):
        self._code += tag in ("code", "pre")
        self.found += [value or "" for name, value in attrs if name in SHOWN_ATTRIBUTES]

    def handle_endtag(self, tag):
        self._code -= tag in ("code", "pre")

    def handle_data(self, data):
        if not self._code:
            self.found.append(data)


def untranslated(source):
    """The English of a template that is not marked: in its HTML, or as a text in an expression."""
    tree = environment_of(ENGLISH).parse(source)
    html = ShownText()
    texts = []
    for output in tree.find_all(nodes.Output):
        for part in output.nodes:
            if isinstance(part, nodes.TemplateData):
                html.feed(part.data)
            else:
                texts += constants(part)
    texts = [word for text in texts for word in re.findall(r"[\w-]+", text)]
    words = [word for text in html.found for word in re.findall(r"[\w-]+", text)]
    return [word for word in words + texts if LETTERS.search(word) and word not in NAMES]


def constants(node):
    """Texts of an expression that come out of it."""
    match node:
        case nodes.Call(node=nodes.Name(name="_" | "gettext" | "ngettext")):
            return
        case nodes.Const(value=str() as text):
            yield from (word for word in text.split() if word not in NOT_SHOWN)
        case nodes.Filter(name="format"):
            yield from constants(node.node)
            for argument in node.args:
                yield from constants(argument)
        case nodes.Filter():
            yield from constants(node.node)
        case nodes.CondExpr():
            yield from constants(node.expr1)
            yield from constants(node.expr2) if node.expr2 is not None else ()
        case nodes.Compare() | nodes.Getattr() | nodes.Getitem() | nodes.Test():
            return
        case _:
            for child in node.iter_child_nodes():
                yield from constants(child)


@pytest.mark.parametrize(
    "source",
    [
        "<p>Nothing yet</p>",
        '<p aria-label="Nothing yet">',
        "{{ row.name or 'nothing yet' }}",
        "{{ badge('good', 'nothing yet') }}",
        "{{ '%d yet' | format(row.n) }}",
    ],
)
def test_english_that_is_not_marked_is_found(source):
    assert "yet" in untranslated(source)


def test_what_is_marked_is_not_found():
    marked = "{% trans n=1 %}{{ n }} <b>yet</b>{% endtrans %}{{ badge('good', _('yet')) }}"
    assert untranslated(marked + '<p aria-label="{{ _("Yet") }}"><code>yet</code></p>') == []


@pytest.mark.parametrize(
    "path", [each for each in TEMPLATES if each.name not in ENGLISH_BY_DECISION]
)
def test_no_template_says_anything_that_is_not_marked(path):
    assert untranslated(path.read_text()) == []


def test_no_script_has_words_of_its_own():
    for path in (PACKAGE / "static").glob("*.js"):
        code = re.sub(r"^\s*//.*$|\s// .*$", "", path.read_text(), flags=re.MULTILINE)
        texts = re.findall(r'"[^"\n]*"|`[^`\n]*`', code)
        assert [text for text in texts if re.search("[A-Z][a-z]+ ", text)] == []


@pytest.fixture(scope="module")
def sources():
    """The code of all stages: texts of several pieces in one, plurals in both forms."""
    folders = ("listener", "processor", "rules", "ledger", "safelight", "web_status")
    paths = [path for folder in folders for path in (PACKAGE.parent / folder).rglob("*.py")]
    code = "\n".join(path.read_text() for path in paths if path.name != "phrases.py")
    code = re.sub(r'"\s+f?"', "", code)
    plurals = (re.sub(r"\{'s' if [^}]*\}", ending, code) for ending in ("", "s"))
    return "\n".join((*plurals, *(status.phrase for status in HTTPStatus)))


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_sentences_of_other_stages_are_those_that_they_say(sources, phrase):
    for part in re.split(r"%\(\w+\)s|\d+D?|[,;:()]| ok| and |(?= is paused)", phrase):
        assert part.strip() in sources, f"nobody says {part!r}"


@pytest.fixture(scope="module")
def chinese():
    return Wording(catalogue("zh-Hans"))


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("Low contrast; 2 slice position(s) missing", "对比度低；缺 2 个层面位置"),
        ("24 of 24 listed by PACS1", "PACS1 所列 24 个实例已收到 24 个"),
        ("association aborted, then quiet for 60 s", "关联异常中止，此后 60 秒无新数据"),
        ("nifti ok (3/3 frames verified); 2 files", "NIfTI 正常（已核对 3/3 帧）；2 个文件"),
        (
            "closed as released: association released, then quiet for 10 s",
            "已结束接收（正常释放）：关联已正常释放，此后 10 秒无新数据",
        ),
        ("full in 4 days at today's rate", "按当前速度 4 天后写满"),
        ("three planes, 896 x 300 pixels", "三个断面，896 × 300 像素"),
        ("1,204 files in quarantine", "隔离区有 1,204 个文件"),
        ("CT1 has brought nothing for more than 1.5 h", "CT1 已超过 1.5 小时未送来实例"),
        ("more is arriving; it is decided when that has ended", "仍在接收；接收结束后再判定"),
        ("Modality = CT: is MR", "Modality = CT: is MR"),
        ("a message of a library of 5 words", "a message of a library of 5 words"),
        ("", ""),
    ],
)
def test_sentences_of_other_stages_are_told_in_chinese_and_others_are_left(
    chinese, english, expected
):
    assert chinese.told(english) == expected
    assert Wording(NullTranslations()).told(english) == english


def test_numbers_and_durations_are_put_in_chinese(chinese):
    assert chinese.count(1204, "instance") == "1,204 个实例"
    assert (chinese.size(999), chinese.size(1_540_000)) == ("999 字节", "1.54 MB")
    assert (chinese.seconds(0.25), chinese.seconds(7300)) == ("0.25 秒", "2 小时 1 分")
    assert chinese.advice("WorkerDied: signal 11").endswith("没有丢失任何实例：全部仍在接收区。")


@pytest.mark.parametrize(
    ("headers", "language"),
    [
        ({}, "en"),
        ({"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}, "zh-Hans"),
        ({"Accept-Language": "en-GB,en;q=0.9,zh-CN;q=0.8"}, "en"),
        ({"Accept-Language": "de, zh-Hans-CN;q=0.5"}, "zh-Hans"),
        ({"Accept-Language": "zh-TW"}, "en"),
        ({"Accept-Language": "zh;q=0"}, "en"),
        ({"Accept-Language": ";;q=,,\u00e4 zh"}, "en"),
        ({"Accept-Language": "en", "Cookie": "safelight-language=zh-Hans"}, "zh-Hans"),
        ({"Accept-Language": "zh", "Cookie": "safelight-language=../../x"}, "zh-Hans"),
    ],
)
def test_an_answer_is_in_the_chosen_language_else_in_that_of_the_browser(page, headers, language):
    text = page.get("/", **{name.replace("-", "_"): each for name, each in headers.items()}).text
    assert f'<html lang="{language}">' in text
    assert ("尚未收到任何影像" in text) == (language == "zh-Hans")


def choose(page, language, path="/"):
    form = page.get("/network")
    token = re.search(r'name="csrf" value="(\w+)"', form.text)[1]
    return page.get(
        "/language",
        "POST",
        urlencode({"csrf": token, "language": language, "next": path}).encode(),
        Cookie=form.headers["Set-Cookie"].partition(";")[0],
        Content_Type="application/x-www-form-urlencoded",
    )


def test_a_choice_is_kept_by_the_browser_and_leads_back_to_the_page(page):
    answer = choose(page, "zh-Hans", "/network")
    assert (answer.status, answer.headers["Location"]) == (303, "/network")
    cookie = answer.headers["Set-Cookie"]
    for part in ("safelight-language=zh-Hans", "SameSite=Lax", "HttpOnly", "Max-Age=31536000"):
        assert part in cookie
    kept = page.get("/network", Cookie=cookie.partition(";")[0])
    assert '<html lang="zh-Hans">' in kept.text
    assert '<button class="button quiet" name="language" value="en" lang="en">English' in kept.text


def test_no_other_language_and_no_other_site_is_led_to(page):
    assert choose(page, "tlh").status == 400
    assert choose(page, "zh-Hans", "//evil.example").headers["Location"] == "/"


def test_a_choice_needs_the_token_of_the_page(page):
    assert page.get("/language", "POST", b"language=zh-Hans").status == 403


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/studies", "/network", "/system", "/uploads", "/retrieves", "/search", "/alarms"),
        *("/rules", "/rules/draft", "/rules/versions"),
    ],
)
def test_every_page_has_its_title_in_chinese(page, chronicle, path):
    text = page.get(path, Accept_Language="zh-CN").text
    assert CHINESE.search(re.search("<title>(.*?)</title>", text)[1])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", ["1 项需人工处理", "查看原因", "检查号 00012345", "处理办法"]),
        ("/studies", ["患者姓名或 ID", '<option value="attention">需人工处理', "对比度低"]),
        ("/studies/1", ["2 个序列", "尚未向 PACS 询问该检查的内容", "打开报告"]),
        ("/series/1", ["对比度低", "<b>转换</b>", "结束于 ", ">否</span>"]),
        ("/series/2", ["工作进程崩溃", "重新提交", "已放弃"]),
        ("/outputs/1/viewer", ["窗宽/窗位", ">横断面</button>", "软组织"]),
        ("/alarms", ["已告知发送方", "实例超过大小上限", "隔离区没有文件"]),
        ("/rules", ["<b>Modality</b> 为 &#34;CT&#34;。", "结果在 90 天后删除"]),
        ("/rules/draft", ["没有错误", 'data-lost="草稿未能发送']),
    ],
)
def test_a_page_says_what_it_shows_in_chinese(page, chronicle, path, words):
    chronicle.workbook(chronicle.whole_series(2, qc="Low contrast", Modality="CT"), b"x")
    chronicle.arrive(series="1.2.4")
    chronicle.decide(chronicle.close(series="1.2.4"))
    chronicle.bury(chronicle.claim(), "WorkerDied: signal 11")
    chronicle.event("refused", reason="the instance is larger than we take")
    chronicle._ledger.rule_loads.record(1, (RuleText("rules.toml", RULES),))
    text = page.get(path, Accept_Language="zh").text
    assert [each for each in words if each not in text] == []


@pytest.mark.parametrize("path", ["/", "/studies", "/studies/1", "/series/1"])
def test_that_a_patient_is_hidden_is_said_in_chinese(page, chronicle, users, log_in, path):
    chronicle.arrive()
    headers = log_in(page, "victor")
    text = page.get(path, Cookie=headers["Cookie"], Accept_Language="zh").text
    assert text.count("（已隐藏）") >= 2  # name and ID
    assert "(hidden)" not in text


def test_who_is_not_logged_in_is_asked_to_in_their_language(page, users):
    answer = page.get("/series/1", Accept_Language="zh")
    assert answer.status == 401
    assert "用户名与密码" not in answer.text
    assert '<label for="password">密码</label>' in answer.text
    assert 'value="en"' in answer.text


def test_errors_are_told_in_chinese_with_their_reason(page, chronicle):
    missing = page.get("/series/77", Accept_Language="zh")
    assert (missing.status, "没有这项检查、序列或结果" in missing.text) == (404, True)
    front = page.get("/")
    headers = {
        "Cookie": front.headers["Set-Cookie"].partition(";")[0],
        "X_CSRF_Token": re.search(r'name="csrf-token" content="(\w+)"', front.text)[1],
        "Accept_Language": "zh",
    }
    page.context.actions.problem = "<b>no such job"
    refused = page.get("/jobs/7/resend", "POST", **headers)
    assert refused.status == 409
    assert "&lt;b&gt;no such job。未执行任何操作。" in refused.text


@pytest.mark.parametrize(("asked", "told"), [("&language=zh-Hans", "没有"), ("", "Nothing was")])
def test_live_updates_come_in_the_language_of_the_page(page, chronicle, asked, told):
    chronicle.arrive()
    stream = page.stream(f"/events?kind=network&number=1{asked}")
    stream.readline()
    stream.readline()
    update = stream.readline().decode("unicode-escape")
    assert told in update
