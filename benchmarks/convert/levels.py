"""Time and size of a series' voxels at each compression level, beside zlib in one thread."""

import gzip
import io
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from benchmarks.convert.series import Kind, write_series
from processor.gzip_file import GzipWriter

_SLICES = 100


def compare_levels(kinds: Sequence[Kind], folder: Path, say: Callable[[str], None]) -> None:
    """Print a table for each kind of series; sizes are relative to zlib's level 6."""
    say("| series | level | seconds for 100 MB | size of zlib's level 6 | back, seconds |")
    say("|---|---|---|---|---|")
    for kind in kinds:
        if "JPEG" in kind.name:
            continue
        voxels = _voxels(write_series(kind, folder))
        usual = len(zlib.compress(voxels.tobytes(), 6))
        for level in range(10):
            say(_row(kind, level, voxels, usual))


def _voxels(series: Path) -> NDArray[np.uint16]:
    files = sorted(series.glob("*.dcm"))
    middle = len(files) // 2
    chosen = files[max(0, middle - _SLICES // 2) : middle + _SLICES // 2]
    return np.stack([dcmread(path).pixel_array for path in chosen])


def _row(kind: Kind, level: int, voxels: NDArray[np.uint16], usual: int) -> str:
    file = io.BytesIO()
    started = time.monotonic()
    with GzipWriter(file, level) as packed:
        for plane in voxels:
            packed.write(plane.data.cast("B"))
    seconds = (time.monotonic() - started) * 100e6 / voxels.nbytes
    file.seek(0)
    started = time.monotonic()
    with gzip.open(file) as back:
        while back.read(1 << 20):
            pass
    again = (time.monotonic() - started) * 100e6 / voxels.nbytes
    size = file.getbuffer().nbytes / usual
    return f"| {kind.name} | {level} | {seconds:.2f} | {size:.3f} | {again:.2f} |"
