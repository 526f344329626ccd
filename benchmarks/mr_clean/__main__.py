"""Compares MR normalisation with labels, and says how long 100,000 series take.

labels.csv     the MR series of the test data, labelled from their own headers; a series without a
               label cannot be decided by these, and UNKNOWN is right for it
names.csv      names and parameters as vendors and hospitals write them, labelled by hand before
               they were first tried
dynamics.csv   studies with contrast agent, made up; the label is the phase

A label may allow several classes, where headers do not tell them apart.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd

from processor.mr_clean import process_mri_dataframe
from processor.settings import ProcessorSettings
from safelight.metadata_commands import metadata

_HERE = Path(__file__).parent
_SCANS = Path(os.environ.get("SAFELIGHT_TEST_DATA", "../shared/dicom"))


def main() -> None:
    """Print confusion matrices and times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mr_clean", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    arguments = parser.parse_args()
    if _SCANS.is_dir():
        judge("real scans", real_scans())
    else:
        _say(f"real scans: skipped, there is no {_SCANS}")
    judge("names", names())
    judge("dynamics", dynamics(), "dynamicPhase")
    _time(arguments.rows)


def real_scans() -> pd.DataFrame:
    """The rows of the labelled series, read from the scans, with their labels."""
    labels = pd.read_csv(_HERE / "labels.csv", dtype=str, keep_default_na=False)
    with tempfile.TemporaryDirectory() as folder:
        metadata(_SCANS, Path(folder, "all.xlsx"), ProcessorSettings(), ["csv"])
        rows = pd.read_csv(Path(folder, "all.DICOM_Metadata.csv"), low_memory=False)
    rows = rows.drop_duplicates(["SeriesFolder", "SeriesInstanceUID"])
    return rows.merge(labels, on=["SeriesFolder", "SeriesInstanceUID"], validate="one_to_one")


def names() -> pd.DataFrame:
    """The rows of names.csv."""
    read = pd.read_csv(_HERE / "names.csv")
    columns = {
        "name": "SeriesDescription",
        "TR": "RepetitionTime",
        "TE": "EchoTime",
        "TI": "InversionTime",
        "scanning": "ScanningSequence",
    }
    return read.rename(columns=columns)


def dynamics() -> pd.DataFrame:
    """The rows of dynamics.csv, all spoiled gradient echoes."""
    read = pd.read_csv(_HERE / "dynamics.csv", dtype=str, keep_default_na=False)
    return read.assign(ScanningSequence="GR", SequenceVariant="SP", EchoTime=1.4, FlipAngle=10)


def judge(title: str, rows: pd.DataFrame, column: str = "sequenceClass") -> None:
    """Print what is right, what is UNKNOWN, what is wrong, and which is taken for which."""
    found = process_mri_dataframe(rows)
    counts: Counter[str] = Counter()
    confused: Counter[tuple[str, str]] = Counter()
    for label, said in zip(found["label"], found[column], strict=True):
        verdict = _verdict(label.split("|") if label else [], said, column)
        counts[verdict] += 1
        confused[label or "(undecidable)", said] += 1
    decidable = counts["right"] + counts["wrong"] + counts["unknown"]
    share = counts["right"] / decidable
    _say(
        f"\n{title}: {counts['right']} of {decidable} decidable are right ({share:.1%}),"
        f" {counts['unknown']} UNKNOWN, {counts['wrong']} wrong; of {counts['left open']}"
        f" + {counts['guessed']} undecidable, {counts['left open']} are left open"
    )
    _say(f"\n| label | {column} | series |\n|---|---|---|")
    for (label, said), count in sorted(confused.items()):
        _say(f"| {label.replace('|', ' or ')} | {said or '(none)'} | {count} |")


def _verdict(labels: list[str], said: str, column: str) -> str:
    if not labels and column == "sequenceClass":
        return "left open" if said == "UNKNOWN" else "guessed"
    if said in (labels or [""]):
        return "right"
    return "unknown" if said in ("UNKNOWN", "") else "wrong"


def _time(count: int) -> None:
    """Time distinct rows: no name, TR or TE comes twice."""
    read = names()
    rows = pd.concat([read] * (count // len(read) + 1), ignore_index=True).head(count)
    number = pd.Series(range(count))
    rows["SeriesDescription"] = rows["SeriesDescription"] + " s" + number.astype(str)
    for column in ("RepetitionTime", "EchoTime"):
        rows[column] = rows[column] * (1 + number % 997 / 1e5)
    rows["StudyInstanceUID"] = "1.2." + (number // 12).astype(str)
    started = time.process_time()
    process_mri_dataframe(rows)
    _say(f"\n{count} distinct rows: {time.process_time() - started:.1f} s of one core")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
