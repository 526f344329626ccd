"""Opens and scrolls a CT of 400 slices in alternating rounds, and compares the medians."""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.convert.series import CT, write_series
from benchmarks.programs import CHECKOUT, free_port, running, wait_for_port
from benchmarks.receive.report import machine
from ledger.reader import LedgerReader
from ledger.rows import OutputRow

SLICES = 400
SCROLLED = 200
FIRST_MILLISECONDS, SLICES_A_SECOND = 300, 20
_AT_ONCE = 4  # as many requests as the page has under way
_WINDOW = "centre=40&width=400"
_SECONDS = 600

Times = Callable[[], tuple[float, float]]
"""Opens and scrolls; returns the seconds to the first slice, and slices a second."""


def main() -> None:
    """Parse the command line, run the rounds, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewer", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=CHECKOUT, prefix=".bench-") as name, ExitStack() as stack:
        folder = Path(name)
        files = write_series(CT, folder / "series", SLICES)
        ours = stack.enter_context(_ours(folder / "ours", files))
        peer = stack.enter_context(_orthanc(folder / "orthanc", files))
        taken: dict[str, list[tuple[float, float]]] = {"ours": [], "Orthanc": []}
        for number in range(arguments.rounds + 1):
            for who, times in _in_turn(number, {"ours": ours, "Orthanc": peer}):
                measured = times()
                if number:
                    taken[who].append(measured)
    _report(taken)


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _in_turn(number: int, contestants: dict[str, Times]) -> Sequence[tuple[str, Times]]:
    """Who goes first changes; the first round warms up."""
    pairs = list(contestants.items())
    return pairs if number % 2 else pairs[::-1]


def _report(taken: dict[str, list[tuple[float, float]]]) -> None:
    say(str(machine()))
    say("| who | first slice ms | slowest ms | slices a second | slowest |")
    say("|---|---|---|---|---|")
    for who, times in taken.items():
        first, rates = zip(*times, strict=True)
        say(
            f"| {who} | {statistics.median(first) * 1000:.0f} | {max(first) * 1000:.0f}"
            f" | {statistics.median(rates):.0f} | {min(rates):.0f} |"
        )
    first, rates = zip(*taken["ours"], strict=True)
    is_reached = statistics.median(first) * 1000 <= FIRST_MILLISECONDS
    say(f"first slice within {FIRST_MILLISECONDS} ms: {_told(is_reached)}")
    is_reached = statistics.median(rates) >= SLICES_A_SECOND
    say(f"{SLICES_A_SECOND} slices a second: {_told(is_reached)}")
    say(f"load average: {os.getloadavg()[0]:.1f}")


def _told(is_reached: bool) -> str:  # noqa: FBT001 - one argument
    return "reached" if is_reached else "NOT reached"


@contextmanager
def _ours(folder: Path, files: Path) -> Iterator[Times]:
    """A daemon that has converted the series; each round opens the volume anew."""
    folder.mkdir()
    port, web = free_port(), free_port()
    config = folder / "safelight.toml"
    config.write_text(
        f'[dicom]\nhost = "127.0.0.1"\nport = {port}\n[storage]\ndata = "data"\n'
        f'[series]\nquiet_seconds = 1\n[web]\nlisten = "127.0.0.1:{web}"\n'
        '[[dicom.accept]]\ncalling_ae = "*"\naddresses = ["127.0.0.1/32"]\n'
    )
    command = [sys.executable, "-m", "safelight", "serve", "--config", str(config)]
    with running(command, folder, port):
        _send(files, port, "SAFELIGHT")
        output = _converted(folder / "data" / "ledger.sqlite")
        volume = folder / "data" / "results" / output.path

        def times() -> tuple[float, float]:
            os.utime(volume)  # a file that has changed is opened again
            began = time.perf_counter()
            _get(web, f"/outputs/{output.id}/viewer")
            _get(web, _slice(output, 0))
            first = time.perf_counter() - began
            return first, _rate(web, [_slice(output, 1 + n) for n in range(SCROLLED)])

        yield times


def _slice(output: OutputRow, index: int) -> str:
    return f"/outputs/{output.id}/slices/axial/{index}?{_WINDOW}"


def _converted(ledger: Path) -> OutputRow:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        time.sleep(1)
        if not ledger.exists():
            continue
        reader = LedgerReader(ledger)
        try:
            found = [one for job in reader.jobs(["done"]) for one in job.outputs]
        finally:
            reader.close()
        if found:
            return next(one for one in found if one.kind == "nifti")
    raise SystemExit("the series was not converted")


@contextmanager
def _orthanc(folder: Path, files: Path) -> Iterator[Times]:
    """Orthanc with the same series; it draws an image each time it is asked for."""
    folder.mkdir()
    port, web = free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomPort": port,
        "HttpPort": web,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "SyncStorageArea": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with running(["Orthanc", str(folder / "orthanc.json")], folder, port) as process:
        wait_for_port(web, process, folder.with_suffix(".log"))
        _send(files, port, "ORTHANC")
        (series,) = json.loads(_get(web, "/series"))
        slices = json.loads(_get(web, f"/series/{series}/ordered-slices"))["SlicesShort"]
        paths = [f"/instances/{one[0]}/frames/0/rendered" for one in slices]

        def times() -> tuple[float, float]:
            began = time.perf_counter()
            _get(web, f"/series/{series}/ordered-slices")
            _get(web, paths[0])
            first = time.perf_counter() - began
            return first, _rate(web, paths[1 : 1 + SCROLLED])

        yield times


def _rate(port: int, paths: Sequence[str]) -> float:
    """Slices a second, some requests at a time on connections that stay."""
    began = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(
            pool.map(
                lambda part: _get_all(port, part), [paths[n::_AT_ONCE] for n in range(_AT_ONCE)]
            )
        )
    return len(paths) / (time.perf_counter() - began)


def _get_all(port: int, paths: Sequence[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for path in paths:
        _answer(connection, path)
    connection.close()


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        return _answer(connection, path)
    finally:
        connection.close()


def _answer(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    if response.status != http.client.OK:
        raise SystemExit(f"{path}: {response.status}")
    return body


def _send(files: Path, port: int, called: str) -> None:
    command = ["/usr/bin/storescu", "+sd", "-aec", called, "127.0.0.1", str(port), str(files)]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
