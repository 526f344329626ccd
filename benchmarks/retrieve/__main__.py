"""Retrieves studies from Orthanc in alternating rounds, and compares the medians."""

import argparse
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.programs import CHECKOUT, PeerFailed
from benchmarks.receive.instances import KINDS
from benchmarks.receive.report import machine
from benchmarks.retrieve.contestants import Site, Study, Turn, site

GOAL = 1.1
_PEER = "movescu"


def main() -> None:
    """Parse the command line, run the rounds, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieve", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--instances", type=int, default=1000, help="of a study")
    parser.add_argument("--only", default="", choices=("", "CT", "MR"), help="this kind only")
    arguments = parser.parse_args()
    say(str(machine()))
    say("| study | who | s | quickest s | all here s | order s | ratio | quartiles | durably |")
    say("|---|---|---|---|---|---|---|---|---|")
    for kind in ("CT", "MR"):
        if arguments.only in ("", kind):
            compare(kind, arguments.rounds, arguments.instances)
    say(f"load average: {os.getloadavg()[0]:.1f}")


def compare(kind: str, rounds: int, instances: int) -> Mapping[str, list[Turn]]:
    """One round to warm up, then those that count, each of a new study; print a row for each."""
    with (
        tempfile.TemporaryDirectory(dir=CHECKOUT, prefix=".bench-") as folder,
        site(Path(folder)) as place,
    ):
        numbers = range(rounds + 1)
        studies = [place.load(KINDS[kind], f"{kind}{n:04}", instances) for n in numbers]
        turns: dict[str, list[Turn]] = {name: [] for name in place.contestants}
        for number, study in enumerate(studies):
            _round(place, number, study, turns)
    for name, taken in turns.items():
        say(_row(f"{kind}, {instances}", name, taken, turns[_PEER]))
    return turns


def _round(place: Site, number: int, study: Study, turns: Mapping[str, list[Turn]]) -> None:
    """One turn of each; who goes first changes; the first round warms up."""
    names = list(place.contestants)
    first = number % len(names)
    for name in names[first:] + names[:first]:
        os.sync()  # what others left to be written is not on the clock
        turn = place.contestants[name](study)
        if number:
            turns[name].append(turn)


def _row(study: str, name: str, taken: list[Turn], peer: list[Turn]) -> str:
    walls = [turn.wall for turn in taken]
    orders = [turn.order for turn in taken if turn.order is not None]
    ratios = [one.wall / other.wall for one, other in zip(taken, peer, strict=True)]
    ratio = statistics.median(walls) / statistics.median(turn.wall for turn in peer)
    durable = statistics.median(turn.durable for turn in taken)
    synced = statistics.median(turn.durable for turn in peer)
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratio] * 3
    cells = (
        *(study, name, f"{statistics.median(walls):.2f}", f"{min(walls):.2f}"),
        f"{statistics.median(turn.arrived for turn in taken):.2f}",
        f"{statistics.median(orders):.2f}" if orders else "",
        f"{ratio:.2f}{'' if name == _PEER or ratio <= GOAL else ', NOT reached'}",
        f"{quartiles[0]:.2f}-{quartiles[2]:.2f}",
        f"{durable / synced:.2f} of {synced:.2f} s",
    )
    return f"| {' | '.join(cells)} |"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except PeerFailed as error:
        sys.exit(f"benchmark failed: {error}")
