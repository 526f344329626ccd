"""``python -m benchmarks.receive``: how fast Safelight receives, beside other receivers."""

import fcntl
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.programs import PeerFailed
from benchmarks.receive import cases, memory, report
from benchmarks.receive.peers import missing_programs
from benchmarks.receive.rounds import Case, run
from benchmarks.receive.sender import SendFailed

ROUNDS, QUICK_ROUNDS = 10, 3
_CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class _Options:
    rounds: int
    folder: Path
    json: Path | None
    only: str


@click.group(invoke_without_command=True)
@click.option("--rounds", default=ROUNDS, show_default=True, help="That count, for each case.")
@click.option("--quick", is_flag=True, help=f"{QUICK_ROUNDS} rounds only.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=_CHECKOUT,
    help="Where all receivers store; default: the checkout.",
)
@click.option("--json", type=click.Path(path_type=Path), help="Write the results here, too.")
@click.option("--only", default="", help="Cases whose name matches this regular expression.")
@click.pass_context
def main(
    context: click.Context, *, rounds: int, quick: bool, folder: Path, json: Path | None, only: str
) -> None:
    """Compare receivers in turns: the ratio of the medians is what counts."""
    context.with_resource(_alone())
    context.obj = _Options(QUICK_ROUNDS if quick else rounds, folder, json, only)
    if context.invoked_subcommand is None:
        if missing := missing_programs():
            raise click.ClickException(f"not installed: {', '.join(missing)}")
        _compare(cases.comparisons(), context.obj)


@main.command()
@click.pass_obj
def processes(options: _Options) -> None:
    """Compare one to four receiver processes."""
    _compare(cases.by_processes(), options)


@main.command(name="memory")
@click.option("--associations", default=2000, show_default=True, help="After warming up.")
@click.option("--processes", "receivers", default=2, show_default=True)
@click.pass_obj
def memory_of(options: _Options, associations: int, receivers: int) -> None:
    """Measure a huge instance, and many associations."""
    memory.measure(options.folder, associations, receivers)


@contextmanager
def _alone() -> Iterator[None]:
    """Refuse to run beside another one: they would measure each other."""
    with (Path(tempfile.gettempdir()) / "safelight-benchmark.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise click.ClickException("another receive benchmark is running") from error
        yield


def _compare(wanted: Iterable[Case], options: _Options) -> None:
    click.echo(report.HEADINGS)
    machine, comparisons = report.machine(), []
    for case in wanted:
        if re.search(options.only, case.name):
            for comparison in report.compare(case, run(case, options.rounds, options.folder)):
                click.echo(comparison.line())
                sys.stdout.flush()
                comparisons.append(comparison)
            if options.json is not None:  # after each case: what was measured is never lost
                report.write_json(options.json, comparisons, machine)
    before, after = machine["load"], os.getloadavg()[0]
    click.echo(f"load average: {before:.1f} before, {after:.1f} after, its own included")


if __name__ == "__main__":
    # Ended from outside, it still ends the receivers and removes what they stored.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except (PeerFailed, SendFailed) as error:
        sys.exit(f"benchmark failed: {error}")
