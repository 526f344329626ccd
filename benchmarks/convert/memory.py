"""What converting and verifying a large series needs in memory beyond its voxels."""

import resource
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.convert.series import CT, write_slice
from processor.convert import convert_series
from processor.headers import quiet_reading

_SLICE_BYTES = CT.side**2 * 2


def measure_memory(gibibytes: float, folder: Path, say: Callable[[str], None]) -> None:
    """Print the peak of a process of its own that converts a CT of so many GiB."""
    slices = int(gibibytes * 2**30 / _SLICE_BYTES)
    with TemporaryDirectory(dir=folder) as place:
        series = Path(place) / "series"
        series.mkdir()
        images = [CT.image(number, CT) for number in range(8)]
        for number in range(slices):
            write_slice(CT, number, series, np.roll(images[number % 8], number, axis=1))
        with get_context("spawn").Pool(1) as pool:
            before, peak = pool.apply(_convert, (series, Path(place)))
    volume = slices * _SLICE_BYTES
    say(f"{slices} slices, {volume / 2**20:.0f} MiB of voxels: before {before / 2**20:.0f} MiB,")
    say(f"peak {peak / 2**20:.0f} MiB, {(peak - volume) / 2**20:.0f} MiB more than the voxels")


def _convert(series: Path, folder: Path) -> tuple[int, int]:
    before = _peak_bytes()
    with quiet_reading():
        result = convert_series(series, folder)
        if result.state != "done":
            raise RuntimeError(result.reason)
    return before, _peak_bytes()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
