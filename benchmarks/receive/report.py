"""Ratios of medians, as a table and as JSON."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.receive.cases import goal
from benchmarks.receive.rounds import Case, Measurement, Measurements

HEADINGS = (
    f"{'case':<20} {'against':<17} {'ours/s':>8} {'theirs/s':>8} {'ratio':>6}"
    f" {'quartiles':>12} {'CPU ms: ours':>12} {'theirs':>7}  goal"
)


@dataclass(frozen=True)
class Comparison:
    """One receiver beside ours.

    Attributes
    ----------
    ours_per_second, theirs_per_second
        Medians over the rounds.
    ratio
        Of these medians.
    lower_quartile, upper_quartile
        Of the ratios within each round.
    ours_cpu_ms, theirs_cpu_ms
        Processor time of the receiver for an instance, median.
    goal
        The ratio aimed at; None where none is claimed.
    """

    case: str
    against: str
    rounds: int
    ours_per_second: float
    theirs_per_second: float
    ratio: float
    lower_quartile: float
    upper_quartile: float
    ours_cpu_ms: float
    theirs_cpu_ms: float
    goal: float | None

    @property
    def verdict(self) -> str:
        """Whether the goal was reached, in words."""
        if self.goal is None:
            return "none"
        return f"{self.goal:g} {'reached' if self.ratio >= self.goal else 'NOT reached'}"

    def line(self) -> str:
        """A line of the table."""
        quartiles = f"{self.lower_quartile:.2f}..{self.upper_quartile:.2f}"
        return (
            f"{self.case:<20} {self.against:<17} {self.ours_per_second:>8.1f}"
            f" {self.theirs_per_second:>8.1f} {self.ratio:>6.2f} {quartiles:>12}"
            f" {self.ours_cpu_ms:>12.2f} {self.theirs_cpu_ms:>7.2f}  {self.verdict}"
        )


def compare(case: Case, measured: Measurements) -> Iterator[Comparison]:
    """The first receiver beside each of the others."""
    (_, ours), *others = measured.items()
    for name, theirs in others:
        ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
        lower, _, upper = statistics.quantiles(ratios, method="inclusive")
        yield Comparison(
            case.name,
            name,
            len(ours),
            _rate(ours),
            _rate(theirs),
            _rate(ours) / _rate(theirs),
            lower,
            upper,
            _cpu_ms(ours),
            _cpu_ms(theirs),
            goal(case, name),
        )


def _rate(rounds: list[Measurement]) -> float:
    return statistics.median(each.rate for each in rounds)


def _cpu_ms(rounds: list[Measurement]) -> float:
    return statistics.median(1000 * each.cpu_seconds / each.instances for each in rounds)


def machine() -> dict[str, object]:
    """What it ran on: ratios depend on it."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pynetdicom": version("pynetdicom"),
        "dcmtk": _first_line("storescp", "--version"),
        "orthanc": _first_line("Orthanc", "--version"),
        "load": os.getloadavg()[0],
    }


def write_json(
    path: Path, comparisons: Sequence[Comparison], machine: Mapping[str, object]
) -> None:
    """Write everything for a program to read; `machine` as it was at the start."""
    report = {
        "machine": {**machine, "load_after": os.getloadavg()[0]},
        "comparisons": [asdict(each) for each in comparisons],
    }
    path.write_text(json.dumps(report, indent=1) + "\n")


def _first_line(*command: str) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    return (done.stdout.splitlines() or [""])[0].strip("$ ")
