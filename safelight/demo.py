"""``make demo``: starts a daemon, sends real DICOM to it, and says what came of each series."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import tomlkit
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ledger.errors import NoLedger
from ledger.reader import LedgerReader
from ledger.rows import Overview, SeriesRow
from processor.report import REPORT_FILE, studies_below, write_batch_report
from processor.workbook import WORKBOOK_FILE, merge_workbooks
from query.files import DicomFile, dicom_files
from query.send import send_files
from query.sent import SendOutcome, Sent
from query.settings import PacsSettings
from safelight.config import Config, load_config
from safelight.embedded import START_SECONDS, start_daemon, stop_daemon
from safelight.errors import SafelightError
from safelight.ports import free_port
from safelight.samples import sample_files
from safelight.status import series_name
from safelight.version import __version__

_MARK = ".safelight-demo"
_QUIET_SECONDS = 2.0
_POLL_SECONDS = 0.2
_IDLE_SECONDS = 120.0
_ENDED = frozenset({"done", "kept", "dropped", "attention"})


class DemoFailed(SafelightError):
    """The demo could not be shown; the message says why."""


@dataclass
class _Shown:
    """What the terminal was told so far."""

    progress: Progress
    console: Console
    lines: set[tuple[int, int]] = field(default_factory=set)


def run_demo(dicom: Path | None, data: Path, *, stay: bool) -> int:
    """Run the demo; return the exit code.

    Parameters
    ----------
    dicom
        The folder to send; None for the scans that pydicom and pydicom-data ship.
    data
        The data folder; one that an earlier demo made is begun anew.
    stay
        Keep the daemon up until Ctrl-C, so that the page can be looked at.
    """
    console = Console(highlight=False)
    files, skipped = _files(dicom)
    data = data.absolute()
    _begin_anew(data)
    file = _write_configuration(data)
    config = load_config(file, os.environ)
    daemon = start_daemon(data, ["--config", str(file)])
    try:
        console.print(f"Safelight {__version__}")
        _announce(console, config)
        _say_what_is_sent(console, files, skipped, dicom)
        outcome = _send_and_follow(console, config, files)
        _summarize(console, config, outcome)
        if stay:
            console.print("Open the page, or press Ctrl-C to stop.")
            daemon.wait()
    except KeyboardInterrupt:
        console.print("Stopping ...")
    finally:
        _stop(daemon)
    console.print("Stopped." if daemon.returncode == 0 else "The daemon did not end cleanly.")
    return 0 if daemon.returncode == 0 else 1


def _files(dicom: Path | None) -> tuple[tuple[DicomFile, ...], int]:
    if dicom is None:
        return sample_files(), 0
    if not dicom.exists():
        raise DemoFailed(f"demo: DICOM={dicom}: there is no such folder")
    files, skipped = dicom_files(dicom)
    if not files:
        raise DemoFailed(f"demo: DICOM={dicom}: no DICOM Part 10 file in it")
    return files, skipped


def _begin_anew(data: Path) -> None:
    """Make the data folder; only one that a demo made itself is emptied."""
    if data.exists() and any(data.iterdir()):
        if not (data / _MARK).exists():
            raise DemoFailed(f"demo: {data} is not empty; choose another folder with DATA=folder")
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / _MARK).touch()


def _write_configuration(data: Path) -> Path:
    """Write the demo's configuration, where it can be read and used again."""
    document = tomlkit.document()
    document.add(tomlkit.comment("The configuration of the demo. It opens the DICOM port to"))
    document.add(tomlkit.comment("programs of this machine only, with any AE title."))
    dicom = tomlkit.table()
    dicom["ae_title"] = "SAFELIGHT"
    dicom["port"] = free_port("0.0.0.0", 11112)  # noqa: S104 - where the daemon will listen
    accept = tomlkit.aot()
    anyone = tomlkit.table()
    anyone["calling_ae"] = "*"
    anyone["addresses"] = ["127.0.0.0/8", "::1/128"]
    accept.append(anyone)
    dicom["accept"] = accept
    document["dicom"] = dicom
    document["series"] = {"quiet_seconds": _QUIET_SECONDS}
    document["storage"] = {"data": "."}
    document["web"] = {"listen": f"127.0.0.1:{free_port('127.0.0.1', 8080)}"}
    path = data / "safelight.toml"
    path.write_text(tomlkit.dumps(document), encoding="utf-8")
    return path


def _announce(console: Console, config: Config) -> None:
    dicom = config.dicom
    console.print(
        f"DICOM   {dicom.ae_title} @ {dicom.host}:{dicom.port}     "
        f"page {config.web.url}     data {_short(config.storage.data)}"
    )


def _say_what_is_sent(
    console: Console, files: tuple[DicomFile, ...], skipped: int, dicom: Path | None
) -> None:
    origin = f"from {dicom}" if dicom else "from the sample files of pydicom and pydicom-data"
    left_out = f" ({skipped} files are not DICOM)" if skipped else ""
    console.print(f"Sending {len(files)} instances {origin}{left_out} ...")


def _send_and_follow(console: Console, config: Config, files: tuple[DicomFile, ...]) -> SendOutcome:
    """Send on a thread of its own, and show each series as it moves, until all is done."""
    outcome: list[SendOutcome] = []
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        sending = progress.add_task("instances", total=len(files), note="sent")
        processed = progress.add_task("series", total=None, note="")

        def send() -> None:
            dicom = config.dicom
            us = PacsSettings(
                name="demo",
                ae_title=dicom.ae_title,
                host="127.0.0.1",
                port=dicom.port,
                response_seconds=START_SECONDS,
            )
            outcome.append(send_files(files, us, calling_ae="DEMO", on_sent=advance))

        def advance(sent: Sent) -> None:
            del sent
            progress.advance(sending)

        thread = threading.Thread(target=send, name="demo-sender", daemon=True)
        thread.start()
        shown = _Shown(progress, console)
        _follow(config, shown, processed, lambda: not thread.is_alive())
    (sent,) = outcome
    if not sent.accepted:
        raise DemoFailed(f"demo: {next(iter(sent.refusals()), 'there was nothing to send')}")
    return sent


def _follow(config: Config, shown: _Shown, task: TaskID, all_sent: Callable[[], bool]) -> None:
    """Show series until every one has ended and nothing is being sent."""
    reader = _open_ledger(config)
    try:
        version, moved = -1, time.monotonic()
        while True:
            sent = all_sent()
            if (now := reader.version()) != version:
                version, moved = now, time.monotonic()
            series = reader.series(limit=100_000)
            _show(series, shown, task)
            if sent and _all_ended(series, reader.overview()):
                return
            if time.monotonic() - moved > _IDLE_SECONDS:
                raise DemoFailed("demo: nothing happened any more; see safelight.log")
            time.sleep(_POLL_SECONDS)
    finally:
        reader.close()


def _all_ended(series: tuple[SeriesRow, ...], overview: Overview) -> bool:
    ended = all(row.state in _ENDED for row in series)
    return bool(series) and ended and not overview.open_associations


def _open_ledger(config: Config) -> LedgerReader:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return LedgerReader(config.storage.ledger)
        except NoLedger:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)


def _show(series: tuple[SeriesRow, ...], shown: _Shown, task: TaskID) -> None:
    ended = [row for row in series if row.state in _ENDED]
    states = Counter(row.state for row in series if row.state not in _ENDED)
    moving = ", ".join(f"{count} {state}" for state, count in states.items())
    shown.progress.update(task, completed=len(ended), total=len(series), note=f"ended; {moving}")
    for row in sorted(ended, key=lambda row: row.closed_at or ""):
        if (row.id, row.revision) not in shown.lines:
            shown.lines.add((row.id, row.revision))
            shown.console.print(_line(row), soft_wrap=True)


def _line(row: SeriesRow) -> str:
    """One series on one line: what it is, why it was closed, what was made of it."""
    again = f" (revision {row.revision})" if row.revision > 1 else ""
    converted, quality = row.results.get("convert", row.state), row.results.get("qc", "")
    return (
        f"  {row.Modality or '?':<6} {series_name(row):<30.30} {row.instances:>4}"
        f"  closed{again}: {row.evidence}   {converted}   qc {quality}"
    )


def _summarize(console: Console, config: Config, outcome: SendOutcome) -> None:
    for reason, count in outcome.refusals().items():
        console.print(f"{count} not accepted: {reason}")
    results = config.storage.results
    folders = sorted({path.parent for path in results.glob("*/*/manifest.json")})
    if folders:
        merge_workbooks(folders, results / WORKBOOK_FILE)
        write_batch_report(results / REPORT_FILE, studies_below([results]))
    reader = LedgerReader(config.storage.ledger)
    overview = reader.overview()
    reader.close()
    console.print(_totals(overview))
    made = f"   workbook: {WORKBOOK_FILE}   report: {REPORT_FILE}" if folders else ""
    console.print(f"Results: {_short(results)}/{made}", soft_wrap=True)
    console.print(f"Page:    {config.web.url}")


def _totals(overview: Overview) -> str:
    text = (
        f"{overview.instances} instances in {overview.series} series of {overview.studies} studies"
    )
    if overview.quarantined:
        text += f"; {overview.quarantined} in quarantine (a second version of an instance)"
    if overview.attention:
        text += f"; {overview.attention} need a person"
    return text


def _short(path: Path) -> str:
    """A path below this folder as a person would type it."""
    return f"./{path.relative_to(Path.cwd())}" if path.is_relative_to(Path.cwd()) else str(path)


def _stop(daemon: subprocess.Popen[str]) -> None:
    """End the daemon in order, and wait for it even if Ctrl-C is pressed again."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop_daemon(daemon)
    signal.signal(signal.SIGINT, previous)
