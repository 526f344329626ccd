"""Running dcm2niix on one series. Its exit code is not believed: what counts is what is there."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dcm2niix

from processor.errors import NotConvertible

# One series, no patient data in the sidecar, RescaleSlope's values (not Philips' own), no settings
# of the user's; of images with one name none replaces another.
_OPTIONS = ("-g", "i", "-b", "y", "-ba", "y", "-c", "", "-p", "n", "-w", "2", "-f", "x")


@dataclass(frozen=True)
class Converted:
    """One file that dcm2niix wrote.

    Attributes
    ----------
    suffix : str
        What it calls the file beside the others: "", "_e2", "_ph", "a".
    bval, bvec : Path or None
        FSL's gradient table, where it wrote one.
    """

    image: Path
    suffix: str
    sidecar: Mapping[str, Any]
    bval: Path | None
    bvec: Path | None


def run_dcm2niix(files: Sequence[Path], folder: Path, compression: int) -> tuple[Converted, ...]:
    """Convert the files of one series.

    Parameters
    ----------
    files : sequence of Path
        Part 10 files; they are linked, not copied.
    folder : Path
        An empty folder for its work.
    compression : int
        The gzip level, 0 to 9; 0 writes `.nii`.

    Raises
    ------
    NotConvertible
        It wrote nothing, or was ended by a signal.
    """
    source, target = folder / "source", folder / "target"
    for place in (source, target):
        place.mkdir()
    for number, path in enumerate(files):
        (source / f"{number:06d}.dcm").symlink_to(path.resolve())
    packing = ("-z", "i", f"-{compression}") if compression else ("-z", "n")
    command = [dcm2niix.bin, *_OPTIONS, *packing, "-o", str(target), str(source)]
    # What it prints may hold patient data.
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    images = sorted((*target.glob("x*.nii"), *target.glob("x*.nii.gz")))
    if ended.returncode < 0:
        raise NotConvertible(f"dcm2niix was ended by signal {-ended.returncode}")
    if not images:
        raise NotConvertible("dcm2niix wrote nothing")
    return tuple(_converted(image) for image in images)


def _converted(image: Path) -> Converted:
    stem = image.name.removesuffix(".gz").removesuffix(".nii")
    try:
        sidecar = json.loads(image.with_name(f"{stem}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        sidecar = {}
    bval, bvec = (image.with_name(f"{stem}.{ending}") for ending in ("bval", "bvec"))
    return Converted(
        image,
        stem.removeprefix("x"),
        sidecar,
        bval if bval.exists() else None,
        bvec if bvec.exists() else None,
    )
