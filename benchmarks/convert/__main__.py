"""Converts three series in alternating rounds and compares the medians."""

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks.convert.contestants import Contestant, Turn, dcm2niix_with, dicom2nifti, ours
from benchmarks.convert.levels import compare_levels
from benchmarks.convert.memory import measure_memory
from benchmarks.convert.series import KINDS, Kind, write_series

_EVERYTHING = ("convert", "qc", "preview", "metadata")
_GOALS = {
    ("ours", "dcm2niix -z i"): {"CT": 3.0, "MR": 2.0},
    ("ours", "dicom2nifti"): {"CT": 5.0, "MR": 5.0, "CT JPEG 2000": 5.0},
    ("everything", "dcm2niix -z i"): {"CT": 1.5, "MR": 1.5, "CT JPEG 2000": 1.5},
}


def main() -> None:
    """Parse the command line, run the rounds, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convert", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("rounds", "levels", "memory"), default="rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=float, default=2.0, help="of the series for `memory`")
    parser.add_argument("--only", default="", help="series whose name is this")
    parser.add_argument("--without", action="append", default=[], help="leave a contestant out")
    parser.add_argument("--folder", type=Path, help="where the series are kept for another run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        chosen = [kind for kind in KINDS if arguments.only in ("", kind.name)]
        if arguments.what == "levels":
            compare_levels(chosen, folder, _say)
            return
        if arguments.what == "memory":
            measure_memory(arguments.gib, folder, _say)
            return
        _say(_machine())
        _say("| series | who | median s | quickest s | CPU s | .nii.gz MB | peak MB |")
        _say("|---|---|---|---|---|---|---|")
        compared = {}
        for kind in chosen:
            contestants = _contestants(arguments.without)
            compared[kind.name] = _rounds(kind, contestants, arguments.rounds, folder)
        _ratios(compared)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _contestants(without: list[str]) -> Mapping[str, Contestant]:
    found: dict[str, Contestant] = {
        "ours": ours("convert"),
        "everything": ours(*_EVERYTHING),
        "dcm2niix -z i": dcm2niix_with("i"),
        "dcm2niix -z y": dcm2niix_with("y"),
        "dicom2nifti": dicom2nifti,
    }
    return {name: contestant for name, contestant in found.items() if name not in without}


def _rounds(
    kind: Kind, contestants: Mapping[str, Contestant], rounds: int, folder: Path
) -> Mapping[str, list[Turn]]:
    """One round to warm up, then those that count; who goes first changes."""
    series = write_series(kind, folder)
    turns: dict[str, list[Turn]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                turn = contestants[name](series, Path(place))
            if number:
                turns[name].append(turn)
    for name, taken in turns.items():
        _say(_row(kind, name, taken))
    return turns


def _row(kind: Kind, name: str, taken: list[Turn]) -> str:
    seconds = [turn.seconds for turn in taken]
    output = statistics.median(turn.output_bytes for turn in taken) / 1e6
    peak = max(turn.peak_bytes for turn in taken) / 1e6
    median = statistics.median(seconds)
    cpu = statistics.median(turn.cpu_seconds for turn in taken)
    cells = (f"{median:.2f}", f"{min(seconds):.2f}", f"{cpu:.2f}", f"{output:.1f}", f"{peak:.0f}")
    return f"| {' | '.join((kind.name, name, *cells))} |"


def _ratios(compared: Mapping[str, Mapping[str, list[Turn]]]) -> None:
    _say("\n| series | who | against | ratio of medians | quartiles | ratio of CPU | goal |")
    _say("|---|---|---|---|---|---|---|")
    for series, turns in compared.items():
        for name in ("ours", "everything"):
            for other in turns:
                if name in turns and other not in ("ours", "everything"):
                    goal = _GOALS.get((name, other), {}).get(series)
                    _say(_comparison(series, name, other, turns, goal))


def _comparison(
    series: str, name: str, other: str, turns: Mapping[str, list[Turn]], goal: float | None
) -> str:
    mine, theirs = ([turn.seconds for turn in turns[each]] for each in (name, other))
    my_cpu, their_cpu = (
        statistics.median(turn.cpu_seconds for turn in turns[each]) for each in (name, other)
    )
    ratio = statistics.median(theirs) / statistics.median(mine)
    each = sorted(their / our for their, our in zip(theirs, mine, strict=True))
    low, _, high = statistics.quantiles(each, n=4) if len(each) > 1 else each * 3
    reached = "" if goal is None else f"{goal:g}, {'' if ratio >= goal else 'not '}reached"
    cells = (f"{ratio:.2f}", f"{low:.2f} to {high:.2f}", f"{their_cpu / my_cpu:.2f}", reached)
    return f"| {' | '.join((series, name, other, *cells))} |"


def _machine() -> str:
    packages = ("pydicom", "numpy", "isal", "dcm2niix", "dicom2nifti")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{len(os.sched_getaffinity(0))} cores, Linux {platform.release()}, Python "
        f"{platform.python_version()}, {versions}; load {os.getloadavg()[0]:.1f}\n"
    )


if __name__ == "__main__":
    main()
