"""The commands ``jobs``, ``pause`` and ``resume``: what waits, and what a person asks for.

They read the ledger and leave a request for the daemon, which alone writes.
"""

import dataclasses
import json
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ledger.reader import LedgerReader
from ledger.rows import JobRow, PauseRow
from safelight.config import Config
from safelight.data_lock import is_running
from safelight.errors import NotAnswered
from safelight.requests import Request, Requests
from safelight.status import pause_lines

OPEN = ("queued", "running", "dead")
_ANSWER_SECONDS = 60.0
_NOBODY_SECONDS = 3.0  # for a daemon that starts at this moment
_POLL_SECONDS = 0.1


def list_jobs(config: Config, *, dead: bool, limit: int, as_json: bool) -> None:
    """Print the jobs that have not ended well yet, or only the dead letters."""
    reader = LedgerReader(config.storage.ledger)
    try:
        jobs = reader.jobs(("dead",) if dead else OPEN, limit=limit)
        series = {job.series_id: reader.one_series(job.series_id) for job in jobs}
    finally:
        reader.close()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(job) for job in jobs], indent=2))
        return
    names = {number: row.SeriesInstanceUID for number, row in series.items()}
    Console().print(_table(jobs, names) if jobs else "no jobs", highlight=False)


def _table(jobs: tuple[JobRow, ...], names: dict[int, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("job", "state", "rule", "series", "priority", "tries", "because"):
        numeric = heading in ("job", "priority", "tries")
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for job in jobs:
        numbers = (str(job.priority), str(job.tries))
        table.add_row(
            str(job.id), job.state, job.rule, names[job.series_id], *numbers, job.error or ""
        )
    return table


def resend(config: Config, job_id: int) -> None:
    """Queue a dead or cancelled job again.

    Raises
    ------
    NotInLedger
        There is no such job.
    click.UsageError
        It is neither dead nor cancelled.
    """
    require_state(config, job_id, ("dead", "cancelled"), "sent again")
    ask(config, Request("resend", job=job_id))
    click.echo(f"job {job_id} is queued again")


def cancel(config: Config, job_id: int) -> None:
    """Take a job out of the queue; one that runs is stopped. Raises as `resend`."""
    require_state(config, job_id, OPEN, "cancelled")
    ask(config, Request("cancel", job=job_id))
    click.echo(f"job {job_id} is cancelled")


def pause(config: Config, processor: str | None) -> None:
    """Let no further job begin, or none that runs `processor`; what runs is finished."""
    ask(config, Request("pause", processor=_known(processor)))
    _print_pauses(config)


def resume(config: Config, processor: str | None) -> None:
    """End the pause of `processor`, or every pause."""
    ask(config, Request("resume", processor=_known(processor)))
    _print_pauses(config)


def _known(processor: str | None) -> str:
    if processor is None:
        return ""
    from processor.registry import PROCESSORS  # noqa: PLC0415 - takes long, and others use `ask`

    if processor not in PROCESSORS:
        known = ", ".join(PROCESSORS)
        raise click.UsageError(f"no processor is called {processor!r}; there are {known}")
    return processor


def require_state(
    config: Config, job_id: int, states: tuple[str, ...], done: str = "changed"
) -> None:
    """Check that a job is in one of these states.

    Raises
    ------
    NotInLedger
        There is no such job.
    click.UsageError
        It is in another.
    """
    reader = LedgerReader(config.storage.ledger)
    try:
        state = reader.job(job_id).state
    finally:
        reader.close()
    if state not in states:
        raise click.UsageError(f"job {job_id} is {state}; it cannot be {done}")


def ask(config: Config, request: Request) -> None:
    """Leave a request and wait until the daemon has done it.

    Raises
    ------
    NotAnswered
        No daemon runs here, or it has not done it yet: it will.
    """
    folder = config.storage.requests
    try:
        path = Requests(folder).leave(request)
    except FileNotFoundError:
        raise NotAnswered(
            f"there is no {folder}: has the daemon run with this data folder?"
        ) from None
    _wait_for_answer(config.storage.data, path)


def _wait_for_answer(data: Path, request: Path) -> None:
    began = time.monotonic()
    while request.exists():
        waited = time.monotonic() - began
        if waited > _ANSWER_SECONDS:
            raise NotAnswered("asked, and not done yet: the daemon is busy, and will do it")
        if waited > _NOBODY_SECONDS and not _may_run(data):
            raise NotAnswered(
                "asked, and not done yet: it will be once `safelight serve` runs with this folder"
            )
        time.sleep(_POLL_SECONDS)


def _may_run(data: Path) -> bool:
    """Whether a daemon runs, or we may not look whether one does."""
    try:
        return is_running(data)
    except PermissionError:
        return True


def _print_pauses(config: Config) -> None:
    reader = LedgerReader(config.storage.ledger)
    try:
        pauses: tuple[PauseRow, ...] = reader.pauses()
    finally:
        reader.close()
    click.echo("\n".join(pause_lines(pauses)) or "nothing is paused")
