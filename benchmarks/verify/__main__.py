"""Converts the fault set and real scans with each program, and writes what the verifier finds."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.verify.cases import Case, of_faults, of_scans
from benchmarks.verify.report import write
from benchmarks.verify.rounds import Result, results, without_images
from processor.headers import quiet_reading

_DOCUMENT = Path(__file__).parents[2] / "docs" / "conversion.md"


def main() -> None:
    """Convert, judge, and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify", description=__doc__)
    parser.add_argument("--document", type=Path, default=_DOCUMENT, help="where the tables go")
    parser.add_argument(
        "--scans",
        type=Path,
        default=os.environ.get("SAFELIGHT_TEST_DATA"),
        help="folder of real scans; default: SAFELIGHT_TEST_DATA, else none",
    )
    arguments = parser.parse_args()
    unjudged: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name, quiet_reading():
        folder = Path(name)
        faults = _run(of_faults(folder), folder / "work", {})
        cases = of_scans(arguments.scans) if arguments.scans else ()
        scans = _run(cases, folder / "work", unjudged)
    write(arguments.document, faults, scans, unjudged)


def _run(cases: Iterable[Case], folder: Path, unjudged: dict[str, str]) -> list[Result]:
    found = []
    for case in cases:
        reason = without_images(case)
        if reason:
            unjudged[case.name] = reason
            continue
        for result in results(case, folder):
            sys.stdout.write(f"{case.name}: {result.contestant}: {result.outcome}\n")
            found.append(result)
    return found


if __name__ == "__main__":
    main()
