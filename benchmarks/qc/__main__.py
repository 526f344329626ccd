"""Runs quality control on every series below a folder and prints what it says.

A person reviews what is flagged: docs/qc.md has the explanation of each.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from processor.settings import PoolSettings
from safelight.gathering import gather
from safelight.processing import ProcessedSeries, Work, process_series, steps_of

_SCANS = Path(os.environ.get("SAFELIGHT_TEST_DATA", "../shared/dicom"))


def main() -> None:
    """Print a table of the series that are low or have a note, and counts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.qc", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=_SCANS)
    parser.add_argument("--all", action="store_true", help="Print healthy series too.")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        sys.exit(f"there is no {arguments.folder}")
    series = gather(arguments.folder).series
    with tempfile.TemporaryDirectory() as out:
        work = Work(Path(out), steps_of(["qc"], "nifti"), pool=PoolSettings(workers=2))
        processed = process_series(series, work, lambda _: None)
    counts: Counter[str] = Counter()
    for one, result in zip(series, processed, strict=True):
        name = one.files[0].parent.relative_to(arguments.folder)
        said = _said(result)
        counts["low" if said.startswith("LOW") else "noted" if said else "healthy"] += 1
        if said or arguments.all:
            measures = result.steps[0].details.get("measures") if result.steps else None
            sys.stdout.write(f"| {name} | {result.instances} | {said} | {measures} |\n")
    sys.stdout.write(f"{dict(counts)}\n")


def _said(result: ProcessedSeries) -> str:
    if not result.steps:
        return f"{result.state}: {result.reason}"
    step = result.steps[0]
    low = "LOW " if step.details.get("low_quality") else ""
    return "" if step.summary == "Normal" else low + step.summary


if __name__ == "__main__":
    main()
