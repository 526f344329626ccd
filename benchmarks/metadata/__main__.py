"""Writes one table with each contestant in turn, and says what each took."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

from processor.cells import Row
from processor.tables import recorded_tables, write_rows
from processor.workbook import write_workbook

_JOB_ROWS = 20


def main() -> None:
    """Make the rows, let each contestant write them in processes of its own, print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metadata", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turn", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turn:
        _say(json.dumps(turn(arguments.turn, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_rows(Path(folder), arguments.rows, arguments.columns)
        _compare(Path(folder), arguments.rounds)


def make_rows(folder: Path, rows: int, columns: int) -> None:
    """Write the rows files of as many jobs: UIDs, numbers and words in equal parts."""
    for start in range(0, rows, _JOB_ROWS):
        job = folder / f"{start:08d}"
        job.mkdir(parents=True)
        table = [_row(at, columns) for at in range(start, min(start + _JOB_ROWS, rows))]
        write_rows(job / "metadata.json", {"DICOM_Metadata": table, "Series_Summary": []})


def _row(number: int, columns: int) -> Row:
    kinds = (f"1.2.840.113619.{number}", number / 7, f"Routine brain {number % 50}")
    return {f"column {at}": kinds[at % 3] for at in range(columns)}


def _compare(folder: Path, rounds: int) -> None:
    _say("| who | median s | CPU s | peak MB, of which its modules | file MB |")
    _say("|---|---|---|---|---|")
    turns: dict[str, list[Mapping[str, float]]] = {name: [] for name in CONTESTANTS}
    for number in range(rounds):
        names = list(CONTESTANTS)
        for name in names if number % 2 else reversed(names):
            turns[name].append(_in_process(name, folder))
    for name, taken in turns.items():
        found = {key: median(one[key] for one in taken) for key in taken[0]}
        _say(
            f"| {name} | {found['seconds']:.1f} | {found['cpu']:.1f} "
            f"| {found['peak']:.0f}, {found['modules']:.0f} | {found['file']:.1f} |"
        )


def _in_process(name: str, folder: Path) -> Mapping[str, float]:
    command = [sys.executable, "-m", "benchmarks.metadata", "--turn", name, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: Mapping[str, float] = json.loads(done.stdout)
    return found


def turn(name: str, folder: Path) -> dict[str, float]:
    """One contestant's turn: seconds, processor seconds, peak memory and size of the file."""
    run = CONTESTANTS[name]()
    paths = sorted(folder.glob("*/metadata.json"))
    modules, out = _peak(), folder / "out.xlsx"
    started, cpu = time.monotonic(), time.process_time()
    run(paths, out)
    seconds, used = time.monotonic() - started, time.process_time() - cpu
    found = {"seconds": seconds, "cpu": used, "peak": _peak(), "modules": modules}
    return found | {"file": out.stat().st_size / 1e6}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


_Run = Callable[[list[Path], Path], None]


def _ours() -> _Run:
    return lambda paths, out: write_workbook(out, recorded_tables(paths))


def _pandas() -> _Run:
    import openpyxl  # noqa: F401, PLC0415 - what it imports counts as its modules
    import pandas as pd  # noqa: PLC0415

    def run(paths: list[Path], out: Path) -> None:
        pd.DataFrame(list(_rows(paths))).to_excel(out, index=False, engine="openpyxl")

    return run


def _write_only() -> _Run:
    from openpyxl import Workbook  # noqa: PLC0415

    def run(paths: list[Path], out: Path) -> None:
        book = Workbook(write_only=True)
        sheet = book.create_sheet()
        for row in _rows(paths):
            sheet.append(list(row.values()))
        book.save(out)

    return run


def _rows(paths: list[Path]) -> Iterator[Row]:
    return iter(recorded_tables(paths)["DICOM_Metadata"])


CONTESTANTS: Mapping[str, Callable[[], _Run]] = {
    "ours": _ours,
    "pandas + openpyxl": _pandas,
    "openpyxl write-only": _write_only,
}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
