"""No patient data where it does not belong, whatever goes wrong.

Two hundred canaries go through the daemon, each path of an error that is cheap to reach with them;
then log, journal, metrics, audit trail, what is kept of errors, notifications, and the addresses on
pages are searched for them in every shape. What a command prints for the person who typed it is not
searched.

Not covered: workers that are killed by their limits, whose message has the limit and nothing else;
templates of a site's own, which are given the same words; the notification of a study that is done.
"""

import email
import email.policy
import io
import json
import re
import signal
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from aiosmtpd.controller import Controller
from canaries import STEM, base64_shapes, canaried, canaries, shapes, with_text_for
from canary import Instance
from click.testing import CliRunner
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from wronged_node import wait_until

from listener.part10 import Origin, encode_file_meta
from processor.registry import KINDS
from rules.errors import RuleError
from rules.parse import parse_rules
from rules.texts import RuleText
from safelight.cli import cli

PRIVATE = "Kanarivogel"
TABLES = """
[logging]
level = "debug"
format = "json"
[rules]
file = "rules.toml"
[forward]
tries = 1
[[pacs]]
name = "dead"
ae_title = "DEAD"
host = "127.0.0.1"
port = {tls_port}
[[dicom.accept]]
calling_ae = "*"
addresses = ["127.0.0.0/24"]
"""
NOTIFY = """
[[notify]]
name = "hook"
url = "http://127.0.0.1:{hook_port}/"
alarms = ["all"]
per_hour = 1000
[[notify]]
name = "mail"
email = ["oncall@hospital.example"]
alarms = ["all"]
per_hour = 1000
[smtp]
host = "127.0.0.1"
port = {mail_port}
security = "none"
sender = "safelight@hospital.example"
"""
RULES = """
[[rule]]
name = "Send on"
[rule.match]
Modality = "US"
[rule.run]
forward = { to = "dead" }
[rule.notify]
to = ["hook", "mail"]

[[rule]]
name = "Cannot be told"
[rule.match]
Modality = "MR"
SliceThickness = { min = 2 }
[rule.run]
qc = {}

[[rule]]
name = "Without names"
[rule.match]
Modality = "PT"
[rule.run]
deidentify = {}
convert = {}
metadata = {}
[rule.notify]
to = ["hook", "mail"]

[[rule]]
name = "All"
[rule.match]
Modality = "CT"
[rule.run]
convert = {}
qc = {}
preview = {}
metadata = {}
package = {}
[rule.deliver]
to = "{PatientID}/{StudyDate}/{SeriesDescription}"
[rule.notify]
to = ["hook", "mail"]
on = ["done", "failed", "low_quality"]
"""
BROKEN = (f'regex = "{STEM}("', f'min = "{STEM}"', f'in = "{STEM}"', f'present = "{STEM}"')
# Numbers that are text, each in an instance of its own.
NUMBERS = (
    *("InstanceNumber", "PixelSpacing", "ImagePositionPatient", "RescaleSlope", "WindowCenter"),
    "NumberOfFrames",
)
ERRORS = {
    "jobs": "error",
    "history": "what",
    "decisions": "summary",
    "steps": "summary",
    "associations": "reason",
    "refusals": "reason",
    "quarantine": "reason || name",
    "retrieve_items": "reason",
    "rule_loads": "problem",
    "pauses": "reason",
}


@contextmanager
def _webhook():
    """A webhook's port, and the JSON that it got."""
    got = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append(json.dumps(body, ensure_ascii=False))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, got
        finally:
            server.shutdown()
            thread.join()


class _Letters(list):
    """The letters that a mail server took, header and all, decoded."""

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.append("\n".join([*map(str, letter.values()), letter.get_content()]))
        return "250 taken"


@contextmanager
def _mail_server(port):
    """The letters that it took."""
    letters = _Letters()
    controller = Controller(letters, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield letters
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def told(free_port):
    """Where the daemon sends notifications, and those that a webhook and a mail server took."""
    port = free_port()
    with _webhook() as (hook_port, posted), _mail_server(port) as letters:
        yield NOTIFY.format(hook_port=hook_port, mail_port=port), {"hook": posted, "mail": letters}


@pytest.fixture(scope="module")
def site(serve, told, tmp_path_factory):
    """A daemon that logs all it can, to which all of it has happened."""
    folder = tmp_path_factory.mktemp("canaries")
    (folder / "rules.toml").write_text(RULES)
    node = serve(tables=TABLES + told[0], folder=folder)
    sent = _send_series(node)
    _send_what_is_refused(node)
    _ask_the_page(node)
    wait_until(lambda: '"retrieves from dead wait' in node.log(), "the retrieve to fail")
    for uid in sent:
        node.wait_for_ended(uid)
    (folder / "rules.toml").write_text(_rule(BROKEN[0]))
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the rules before stay in force" in node.log(), "the rules to be refused")
    return node


def _rule(condition):
    """A rule that names patients, as a site may have one, and cannot be read."""
    return (
        f'[[rule]]\nname = "Stop"\nthen = {{ drop = "x" }}\nmatch.PatientName = {{ {condition} }}\n'
    )


def _send_series(node):
    """Series that convert, that do not, that cannot be judged, forwarded, or disguised."""
    whole = canaried()
    sent = [
        whole,
        canaried(PixelData=b"\0" * 10),
        canaried(BitsAllocated=13, Rows=None),
        canaried(ImageOrientationPatient=None, PixelSpacing=None),
        canaried(Modality="MR", SliceThickness=None),
        canaried(Modality="US"),
        canaried(Modality="PT", BurnedInAnnotation="YES"),
        canaried(Modality="PT", PixelData=b"\0" * 10),
        *map(with_text_for, NUMBERS),
    ]
    same = {"SOPInstanceUID": whole.sop_instance_uid, "StudyID": "2"}
    second_version = canaried(**same, SeriesInstanceUID=_series_uid(whole))
    in_a_wrong_series = canaried(**same)
    peer = node.associated()
    for instance in sent:
        assert peer.store(instance).status == 0x0000
    wait_until(lambda: node.series_of(_series_uid(whole)), "the first version to be recorded")
    for instance in (second_version, in_a_wrong_series):
        assert peer.store(instance).status == 0x0000
    peer.release()
    return [_series_uid(instance) for instance in sent]


def _series_uid(instance):
    (uid,) = re.findall(rb"\x20\x00\x0e\x00UI..([0-9.]+)", instance.dataset, re.DOTALL)
    return uid.decode()


def _send_what_is_refused(node):
    """Datasets that are cut off, name something else, or have canaries for UIDs."""
    peer = node.associated()
    whole = canaried()
    wrong = Instance(whole.sop_class_uid, generate_uid(), whole.dataset)
    cut = Instance(whole.sop_class_uid, whole.sop_instance_uid, whole.dataset[:300])
    named = canaried(SeriesInstanceUID=f"1.2.{PRIVATE}")
    without = canaried(StudyInstanceUID=None)
    for instance in (wrong, cut, named, without):
        assert peer.store(instance).status != 0x0000
    peer.send(b"\x09\x00\x00\x00\x00\x40" + canaried().dataset)  # no PDU
    node.wait_for_event(peer, "aborted")
    lost = node.associated()
    lost.begin(canaried(), 4096)
    lost.reset()
    node.wait_for_event(lost, "lost")


def _ask_the_page(node):
    """Requests with canaries in every part that a browser or a program fills."""
    page = f"http://{node.web}"
    for path in (f"/{STEM}", f"/studies/{STEM}", f"/outputs/{STEM}"):
        assert requests.get(page + path, timeout=20).status_code == 404
    assert requests.get(f"{page}/studies?state={STEM}", timeout=20).status_code == 400
    forged = {"X-Request-ID": PRIVATE, "Host": PRIVATE}
    assert requests.get(page, headers=forged, timeout=20).status_code == 421
    with requests.Session() as person:
        front = person.get(page, timeout=20).text
        (token,) = re.findall(r'name="csrf-token" content="(\w+)"', front)
        person.headers["X-CSRF-Token"] = token
        tried = {"name": STEM, "password": STEM}
        assert person.post(f"{page}/login", data=tried, timeout=20).status_code == 401
        for path, body, status in _asked():
            answer = person.post(f"{page}/api/v1/{path}", json=body, timeout=60)
            assert answer.status_code == status, answer.text
        for name, content in _uploaded():
            given = {"files": (name, content)}
            answer = person.post(f"{page}/api/v1/uploads", files=given, timeout=60)
            assert answer.status_code == 202, answer.text


def _asked():
    yield "search", {"pacs": "dead", "accession": PRIVATE}, 409
    yield "search", {"pacs": STEM}, 409
    yield "search", {STEM: STEM}, 422
    yield "studies/search", {"patient": STEM, "accession": STEM}, 200
    yield "retrieves", {"pacs": "dead", "accessions": [PRIVATE], "name": STEM}, 201


def _uploaded():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{STEM}/{STEM}.dcm", STEM)
        archive.writestr(f"../{STEM}", canaried().dataset)
    yield f"{STEM}.zip", packed.getvalue()
    yield f"{STEM}.dcm", STEM.encode()


def require_none(text, where):
    """Raise where a canary is in a text, in whatever shape."""
    found = {shape for shape in shapes() if shape in text.lower()}
    found |= {shape for shape in base64_shapes() if shape in text}
    at = min((text.lower().find(shape.lower()) for shape in found), default=0)
    assert not found, f"{where}: {text[max(0, at - 300) : at + 100]}"


def test_there_are_two_hundred_canaries_and_each_would_be_found():
    values = canaries()
    assert len(values) >= 200
    for keyword, value in values.items():
        with pytest.raises(AssertionError):
            require_none(f"reading {keyword} {value!r} failed", keyword)


def test_the_log_has_none_and_every_line_of_it_is_an_object(site):
    log = site.log()
    require_none(log, "log")
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["process"].partition("-")[0] for line in lines} == {"coordinator", "receiver"}
    refused = [line for line in lines if "request refused" in line["message"]]
    assert refused
    assert all("association" in line for line in refused)
    assert any("job" in line and "series" in line for line in lines)
    for path in (site.folder / "data" / "log").glob("*.log"):
        require_none(path.read_text(), path.name)


def test_the_journal_has_none(site):
    for path in (site.spool / "journal").glob("*.jsonl"):
        require_none(path.read_text(), path.name)


def test_the_metrics_have_none(site):
    text = requests.get(f"http://{site.web}/metrics", timeout=20).text
    require_none(text, "metrics")
    assert 'safelight_job_runs_total{outcome="given_up"} 1.0' in text  # the forward


def test_the_audit_trail_has_none(site):
    path = site.folder / "data" / "audit.log"
    require_none(path.read_text() if path.exists() else "", "audit trail")


@pytest.mark.parametrize("target", ["hook", "mail"])
def test_notifications_have_none_but_the_accession_number(site, told, target):
    def events():
        rows = site.read_ledger(lambda reader: reader.notifications.latest(("sent",), limit=1000))
        return {row.event for row in rows if row.target == target}

    def nameless():
        return [text for text in told[1][target] if "Without names" in text]

    wait_until(lambda: {"failed", "done", "alarm_began"} <= events(), "notifications", 120)
    wait_until(nameless, "that of a rule that de-identifies")
    for text in tuple(told[1][target]):
        number = "" if text in nameless() else canaries()["AccessionNumber"]
        require_none(text.replace(number, ""), target)


@pytest.mark.parametrize("table", ERRORS)
def test_what_is_kept_of_errors_has_none(site, table):
    rows = site.read_ledger(
        lambda reader: reader._connection.execute(f"SELECT {ERRORS[table]} FROM {table}").fetchall()
    )
    for (text,) in rows:
        require_none(str(text), table)


@pytest.mark.parametrize("condition", BROKEN)
def test_what_is_wrong_with_a_rule_is_told_without_its_values(condition):
    with pytest.raises(RuleError) as raised:
        parse_rules([RuleText("rules.toml", _rule(condition))], KINDS)
    require_none(str(raised.value), condition)


@pytest.mark.parametrize("command", ["process", "deidentify"])
def test_a_command_says_nothing_of_a_patient_where_it_says_what_went_wrong(
    command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # where a site key is made, as there is no configuration
    folder = tmp_path / "in"
    folder.mkdir()
    for number, keyword in enumerate(NUMBERS):
        content = _as_file(with_text_for(keyword))
        (folder / f"{number}.dcm").write_bytes(content)
        (folder / f"{number}-cut.dcm").write_bytes(content[:900])
    told = CliRunner().invoke(cli, [command, str(folder), "--out", str(tmp_path / "out")])
    require_none(f"{told.stderr} {told.exception!r}", command)


def _as_file(instance):
    origin = Origin("PACS1", "SAFELIGHT", "a1")
    uids = instance.sop_class_uid, instance.sop_instance_uid
    return encode_file_meta(*uids, ExplicitVRLittleEndian, origin) + instance.dataset


def test_no_address_on_a_page_has_one(site):
    page, seen, waiting = f"http://{site.web}", set(), {"/", "/studies", "/retrieves", "/network"}
    waiting |= {"/alarms", "/system", "/uploads", "/rules"}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        answer = requests.get(page + path, timeout=20)
        require_none(answer.url, path)
        if "text/html" not in answer.headers.get("Content-Type", ""):
            continue
        links = re.findall(r'(?:href|src|action)="([^"]*)"', answer.text)
        require_none(" ".join(links), f"links of {path}")
        follow = {
            link.partition("#")[0] for link in links if re.match(r"/(studies|series|retr)", link)
        }
        waiting |= {link for link in follow if link.count("/") < 3} - seen
    assert len(seen) > 12
