"""A running page over a real ledger, and a small hand for writing what happens into it.

The server runs in a thread with an event loop of its own, on a port from the operating system.
"""

import asyncio
import dataclasses
import gzip
import hashlib
import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlencode

import nibabel as nib
import numpy as np
import pytest
from aiohttp import web
from argon2 import PasswordHasher
from PIL import Image

from ledger.records import ClaimedJob, ClosedSeries, NewJob
from ledger.retrieve_records import RetrieveOrder
from ledger.writer import LedgerWriter
from listener.header import Header
from listener.identity import Identity
from listener.journal import AssociationEvent, now
from listener.part10 import Origin
from listener.series import Arrival, Closure, StudyClosure
from listener.spool import SeriesKey
from listener.watcher import Findings
from processor.model import JobResult, Output, StepResult
from processor.report import ReportedStudy, write_report
from rules.model import Decision, Reason, Rule, RuleReason, Step
from rules.texts import RuleText
from safelight.config import load_config
from safelight.page_rules import PageRules
from web_status import passwords
from web_status.api.operation import PREFIX
from web_status.app import WebContext, make_app, serve
from web_status.archive import FoundStudies, FoundStudy, PlannedSeries, Sought, Wanted
from web_status.errors import ActionRefused
from web_status.network import Allowed, Echo, Network, Pacs
from web_status.node import About, Check
from web_status.roles import Role
from web_status.settings import WebSettings
from web_status.taken import Given, TakenIn
from web_status.users import UsersFile

MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_OFFLINE = "net::ERR_INTERNET_DISCONNECTED"  # what some tests do on purpose

STEPS = tuple(Step(name, {}) for name in ("convert", "qc", "preview", "metadata"))
QC_DETAILS = {
    "low_quality": 0,
    "low_quality_ratio": 0.0417,
    "qc_mode": "full",
    "images": [
        {"uid": f"1.2.9.{n}", "low": 0, "reason": "Normal", "measured": {"std": 120.5 + n}}
        for n in range(8)
    ],
    "header": {"spacing_range_mm": [3.0, 3.0], "missing_positions": 0},
}


@dataclass(frozen=True)
class Answer:
    """What the server sent."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asked:
    """Notes what the page asks of the daemon; refuses it where `problem` says why."""

    pacs = ("main", "research")

    def __init__(self) -> None:
        self.deeds: list[tuple[object, ...]] = []
        self.problem = ""
        self.room = 1 << 40
        self.may_check = threading.Event()
        self.may_check.set()

    def _note(self, *deed: object) -> None:
        if self.problem:
            raise ActionRefused(self.problem)
        self.deeds.append(deed)

    def resend(self, job: int) -> None:
        self._note("resend", job)

    def cancel(self, job: int) -> None:
        self._note("cancel", job)

    def decide_again(self, series: Sequence[int]) -> None:
        self._note("decide again", tuple(series))

    def retrieve(self, wanted: Wanted) -> int:
        self._note("retrieve", wanted)
        return 1

    def plan(self, wanted: Wanted) -> tuple[PlannedSeries, ...]:
        self._note("plan", wanted)
        return (
            PlannedSeries("A1", "1", "MR", "T2 sag", "24", "0", "fetched"),
            PlannedSeries("A1", "2", "MR", "scout", "3", "0", "left out: Scouts: a scout"),
            PlannedSeries("A2", "", "", "", "", "", "the PACS has no study of it"),
        )

    def read_list(self, name: str, content: bytes) -> tuple[str, ...]:
        self._note("read list", name)
        return tuple(content.decode().split())

    def search(self, sought: Sought) -> FoundStudies:
        self._note("search", sought)
        known = ("A7", "P0042", "DOE^JANE", "20261103", "MR", "Knee", 3, 72)
        return FoundStudies((FoundStudy(*known), FoundStudy("", *known[1:])), more=True)

    def retrieve_again(self, number: int) -> None:
        self._note("again", number)

    def retrieve_cancel(self, number: int) -> None:
        self._note("cancel list", number)

    def pause(self, processor: str) -> None:
        self._note("pause", processor)

    def resume(self, processor: str) -> None:
        self._note("resume", processor)

    def echo(self, pacs: str) -> Echo:
        self._note("echo", pacs)
        return Echo(now(), has_answered=pacs == "main", words="7 ms")

    def check(self) -> Check:
        assert self.may_check.wait(60)
        self._note("check")
        return Check(now(), is_well=True, lines=("it balances: nothing is lost",))

    def upload_room(self) -> int:
        return self.room

    def take_in(self, given: Sequence[Given], report: Callable[[int], None]) -> TakenIn:
        """Store every file that holds something."""
        self._note("take in", [(one.name, one.path.read_bytes()) for one in given])
        empty = tuple((one.name, "empty") for one in given if not one.path.stat().st_size)
        report(len(given))
        return TakenIn(len(given) - len(empty), 0, 0, len(empty), empty)


class Chronicle:
    """Writes what happens to series into the ledger, as the daemon would."""

    def __init__(self, ledger: LedgerWriter, results: Path) -> None:
        self._ledger = ledger
        self._results = results
        self._instances = 0

    def configure(self, *changes: str) -> None:
        self._ledger.configurations.record({}, changes)

    def event(self, event: str, association: str = "a1", **values: object) -> None:
        given = {"calling_ae": "PACS1", "called_ae": "SAFELIGHT", "address": "10.1.2.3"}
        given |= {"at": now()} | values
        self._record(events=(AssociationEvent(event=event, association_id=association, **given),))

    def arrive(self, series: str = "1.2.3", count: int = 1, study: str = "1.2", **elements) -> None:
        """`count` more instances of a series; `elements` are keywords with their values."""
        values = {
            "PatientID": "P0042",
            "PatientName": "DOE^JANE",
            "AccessionNumber": "00012345",
            "StudyDate": "20261103",
            "StudyDescription": "Spine",
            "Modality": "MR",
            "SeriesNumber": 7.0,
            "SeriesDescription": "T2 TSE sagittal",
        } | elements
        self._record(arrivals=tuple(self._one(series, study, values) for _ in range(count)))

    def _one(self, series: str, study: str, values: dict[str, object]) -> Arrival:
        self._instances += 1
        uid = f"{series}.{self._instances}"
        header = Header(
            Identity(study, series, uid, MR_STORAGE),
            EXPLICIT_LITTLE,
            Origin("PACS1", "SAFELIGHT", "a1"),
            {keyword: (value,) for keyword, value in values.items()},
        )
        sha256 = hashlib.sha256(uid.encode()).hexdigest()
        return Arrival(SeriesKey(study, series), header, Path(f"{uid}.dcm"), 526_336, sha256)

    def _record(self, events=(), arrivals=()) -> None:
        self._ledger.intake.record(Findings(events, arrivals, (), 0, {}))

    def close(
        self,
        series: str = "1.2.3",
        study: str = "1.2",
        grade: str = "released",
        evidence: str = "association released, then quiet for 10 s",
    ) -> ClosedSeries:
        return self._ledger.work.close_series(Closure(SeriesKey(study, series), grade, evidence))

    def close_study(self, study: str = "1.2") -> None:
        self._ledger.work.close_study(StudyClosure(study, "released", "all series are closed"))

    def decide(self, series: ClosedSeries, outcome: str = "process", **changes) -> None:
        """A decision after a rule that missed and a rule that matched."""
        reasons = (
            RuleReason(
                "Leave out", "no", (Reason("ImageType = ORIGINAL: contains DERIVED", "no"),)
            ),
            RuleReason("Everything", "yes", (Reason("instances = 24: at least 20", "yes"),)),
        )
        summary = "Everything -> convert, qc, preview, metadata"
        values = {"summary": summary, "reasons": reasons} | changes
        rules = (Rule("Everything", None, STEPS),) if outcome == "process" else ()
        job = NewJob(f"key-{series.id}-{series.revision}", "Everything", STEPS)
        self._ledger.work.record_decision(
            series,
            Decision(outcome, values["summary"], rules, values["reasons"]),
            [job] if outcome == "process" else [],
        )

    def claim(self) -> ClaimedJob:
        (job,) = self._ledger.jobs.claim(1)
        return job

    def finish(self, job: ClaimedJob, *, qc: str = "Normal", picture: bytes = b"") -> Path:
        """Publish a NIfTI and a picture, and record them; return the job's folder."""
        folder = Path(f"study/{job.id:03d}_T2-{job.key}")
        (self._results / folder).mkdir(parents=True)
        count = len(job.series.sop_instance_uids)
        nifti = self._publish(folder, "007_T2.nii.gz", "nifti", nifti_file(count))
        drawn = self._publish(folder, "preview.png", "preview", picture or png())
        steps = (
            StepResult(
                "convert",
                "done",
                f"nifti ok ({count}/{count} frames verified)",
                {"shape": [320, 320, count], "spacing_mm": [0.75, 0.75, 4.0]},
                (nifti,),
            ),
            StepResult("qc", "done", qc, QC_DETAILS),
            StepResult("preview", "done", "896 x 896 pixels", {}, (drawn,)),
            StepResult("metadata", "done", f"{count} rows, 96 columns", {"rows": count}),
        )
        self.record(job, folder, steps)
        return self._results / folder

    def record(self, job: ClaimedJob, folder: Path, steps: tuple[StepResult, ...]) -> None:
        self._ledger.jobs.finish(job, JobResult(job.key, folder, steps, 3.21))

    def _publish(self, folder: Path, name: str, kind: str, content: bytes) -> Output:
        (self._results / folder / name).write_bytes(content)
        return Output(name, kind, len(content), hashlib.sha256(content).hexdigest())

    def bury(self, job: ClaimedJob, error: str) -> None:
        self._ledger.jobs.bury(job, error)

    def retry(self, job: ClaimedJob, error: str) -> None:
        self._ledger.jobs.retry(job, error, 60)

    def workbook(self, series: ClosedSeries, content: bytes) -> None:
        (self._results / "study").mkdir(exist_ok=True)
        (self._results / "study" / "metadata.xlsx").write_bytes(content)
        write_report(self._results / "study" / "report.html", ReportedStudy((), {}))
        self._ledger.studies.record_workbook(series.id, PurePosixPath("study/metadata.xlsx"))

    def whole_series(self, count: int = 2, *, qc: str = "Normal", **arriving) -> ClosedSeries:
        """A series from its first instance to its results."""
        self.arrive(count=count, **arriving)
        where = {name: arriving[name] for name in ("series", "study") if name in arriving}
        closed = self.close(**where)
        self.decide(closed)
        self.finish(self.claim(), qc=qc)
        return closed


def nifti_file(slices: int) -> bytes:
    """A small volume, axial, whose value is i + 10 j + 100 k."""
    i, j, k = np.indices((8, 6, slices))
    image = nib.Nifti1Image((i + 10 * j + 100 * k).astype(np.int16), np.diag([2.0, 2.0, 3.0, 1.0]))
    return gzip.compress(image.to_bytes(), mtime=0)


def png() -> bytes:
    """A picture of a gradient."""
    ramp = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(ramp).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Page:
    """A running page."""

    port: int
    context: WebContext
    progress: dict[str, tuple[str, float]]
    runner: web.AppRunner
    call: Callable[..., object]
    open_streams: list[http.client.HTTPConnection] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers) -> Answer:
        """Ask for `path` exactly as it is written."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def section(self, name: str, path: str, **headers) -> str:
        """The text of one section of a page, on one line."""
        (found,) = re.findall(
            rf'<section id="{name}".*?</section>', self.get(path, **headers).text, re.DOTALL
        )
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found))

    def stream(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """Open a stream that is closed when the test ends."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.open_streams.append(connection)
        connection.request("GET", path, headers=headers)
        return connection.getresponse()


@pytest.fixture
def context(tmp_path: Path) -> WebContext:
    """A node whose ledger does not exist yet."""
    (tmp_path / "results").mkdir()
    progress: dict[str, tuple[str, float]] = {}
    (tmp_path / "safelight.toml").write_text(f'[storage]\ndata = "{tmp_path}"\n')
    return WebContext(
        ledger=tmp_path / "ledger.sqlite",
        results=tmp_path / "results",
        data=tmp_path,
        progress=lambda: progress,
        identity="SAFELIGHT @ 0.0.0.0:11112",
        version="0.1.0",
        actions=Asked(),
        rules=PageRules(load_config(tmp_path / "safelight.toml", {})),
        network=Network(
            (
                Pacs("main", "PACS1", "10.1.2.3:104", "C-MOVE from it"),
                Pacs("research", "RES", "10.1.2.4:104", "C-GET from it"),
            ),
            (Allowed("CT1", "10.1.2.0/24", "echo, store", silent_hours=12.0),),
        ),
        about=About((("Safelight", "0.1.0"),), '[dicom]\nae_title = "SAFELIGHT"\n', workers=2),
        log=lambda: ("2026-11-23 10:00:00.000 INFO safelight.daemon: ready",),
    )


@pytest.fixture
def page(context: WebContext) -> Iterator[Page]:
    """The page, served."""
    with serving(context) as running:
        yield running


@pytest.fixture
def quick_hashes(monkeypatch) -> None:
    """Argon2id with the least memory and time, for tests of anything else."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", quick)
    passwords._decoy.cache_clear()


@pytest.fixture
def password() -> str:
    """The password of every user."""
    return "correct horse battery"


@pytest.fixture
def users(context: WebContext, quick_hashes, password) -> UsersFile:
    """The users victor, olga and ada, one of each role."""
    file = UsersFile(context.data)
    for name, role in (("victor", Role.VIEWER), ("olga", Role.OPERATOR), ("ada", Role.ADMIN)):
        file.add(name, role, password)
    return file


@pytest.fixture
def log_in(password) -> Callable[..., dict[str, str]]:
    """Function that logs in to a page and returns the headers of further requests."""

    def log_in(page: Page, name: str) -> dict[str, str]:
        form = page.get("/login")
        token = re.search(r'name="csrf" value="(\w+)"', form.text)[1]
        answer = page.get(
            "/login",
            "POST",
            urlencode({"csrf": token, "name": name, "password": password}).encode(),
            Cookie=form.headers["Set-Cookie"].partition(";")[0],
            Content_Type="application/x-www-form-urlencoded",
        )
        assert answer.status == 303, answer.text
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        front = page.get("/", Cookie=cookie).text
        (token,) = re.findall(r'name="csrf-token" content="(\w+)"', front)
        return {"Cookie": cookie, "X-CSRF-Token": token}

    return log_in


@pytest.fixture
def serve_page(context: WebContext) -> Iterator[Callable[..., Page]]:
    """Function that serves a page with settings, and with a change to its application."""
    with ExitStack() as running:

        def start(change: Callable[[web.Application], object] = lambda app: None, **given) -> Page:
            changed = dataclasses.replace(context, settings=WebSettings(**given))
            return running.enter_context(serving(changed, change))

        yield start


@pytest.fixture
def serve_node() -> Iterator[Callable[[WebContext], Page]]:
    """Function that serves the page of another node."""
    with ExitStack() as running:
        yield lambda context: running.enter_context(serving(context))


@contextmanager
def serving(
    context: WebContext, change: Callable[[web.Application], object] = lambda app: None
) -> Iterator[Page]:
    """Serve in a thread until the context ends; `change` may add to the application."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(coroutine: object) -> object:
        future: Future[object] = asyncio.run_coroutine_threadsafe(coroutine, loop)
        return future.result(timeout=60)

    app = make_app(context)
    change(app)
    runner = call(serve(app, dataclasses.replace(context.settings, listen="127.0.0.1:0")))
    running = Page(runner.addresses[0][1], context, context.progress(), runner, call)
    try:
        yield running
    finally:
        for connection in running.open_streams:
            connection.close()
        call(runner.cleanup())
        call(_settle())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _settle() -> None:
    """Let connections end that came or closed while the server ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # a closed transport lets its socket go in the next round


@pytest.fixture
def chronicle(context: WebContext) -> Iterator[Chronicle]:
    """The hand that writes the ledger, which exists from now on."""
    with LedgerWriter(context.ledger) as ledger:
        yield Chronicle(ledger, context.results)


@pytest.fixture
def tell_everything(chronicle):
    """Function that writes a bit of everything into the ledger."""

    def tell() -> None:
        chronicle.event("accepted")
        chronicle.whole_series(4)  # series 1, job 1, outputs 1 and 2
        closed = chronicle.whole_series(1, series="1.2.4", SeriesDescription="JANE sagittal")
        chronicle.workbook(closed, b"x")
        chronicle.arrive(series="1.2.5")
        chronicle.decide(chronicle.close(series="1.2.5"))
        chronicle.bury(chronicle.claim(), "no converter takes DOE")
        chronicle.arrive(series="1.2.6")
        chronicle.decide(chronicle.close(series="1.2.6"), outcome="hold")
        chronicle.arrive(series="1.2.7")
        chronicle._ledger.retrieves.add(RetrieveOrder("key", "main", ("A1", "A2"), name="knees"))
        chronicle._ledger.rule_loads.record(0, (RuleText("rules.toml", ""),))

    return tell


@pytest.fixture
def api(page, users):
    """Function that asks as a program with a token of a user; without one, as nobody."""
    secrets: dict[str, str] = {}

    def ask(user: str | None, method: str, path: str, body: object = None, **headers) -> Answer:
        if user is not None:
            if user not in secrets:
                secrets[user] = users.add_token(user, "test")
            headers.setdefault("Authorization", f"Bearer {secrets[user]}")
        raw = body
        if body is not None and not isinstance(body, bytes):
            raw = json.dumps(body).encode()
            headers.setdefault("Content_Type", "application/json")
        return page.get(PREFIX + path, method, raw, **headers)

    return ask


@pytest.fixture
def open_tab(chromium, page):
    """Function that opens a path of the page in a tab of its own settings.

    Whatever the browser complains about fails the test, but for what is put into its `forgiven`.
    """
    complaints, contexts = [], []

    def open_path(path="/", **settings):
        context = chromium.new_context(**settings)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.url + path)
        return tab

    open_path.forgiven = [_OFFLINE]
    yield open_path
    for context in contexts:
        context.close()
    assert [text for text in complaints if not any(map(text.count, open_path.forgiven))] == []
