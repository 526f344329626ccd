"""Conversion: a series becomes verified volumes, or the true reason why not.

Nothing is handed on that was not read back and compared with the source, frame by frame. Files that
did not match are kept apart with the report.
"""

import errno
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.misc import is_dicom

from processor.conversion import Attempt, Conversion, Engine, Format
from processor.engine import Made, Request
from processor.errors import NotConvertible, PixelDataError
from processor.foreign import by_dcm2niix
from processor.judging import missing_frames, needs_order, source_frame
from processor.native import natively
from processor.plan import Stack, plan
from processor.source import SeriesSource
from processor.verify import Verification, verify
from processor.written import NotReadable

COMPRESSION: Mapping[Format, int] = {"nifti": 3, "npz": 1}
"""The gzip or deflate level unless another is asked for: the best of those that are quick."""

_ENGINES: Mapping[str, tuple[str, ...]] = {
    "auto": ("native", "dcm2niix"),
    "dcm2niix": ("dcm2niix",),
    "native": ("native",),
}
_MAKERS: Mapping[str, Callable[[Request], Made]] = {"native": natively, "dcm2niix": by_dcm2niix}


@dataclass(frozen=True)
class Settings:
    """How a series is converted.

    Attributes
    ----------
    format : {"nifti", "npz"}
        NIfTI-1, or one `.npz` a volume (`processor.npz`).
    engine : {"auto", "native", "dcm2niix"}
        "auto" is the native one, and dcm2niix where what that wrote does not match the source.
    compression : int, optional
        0 to 9; 0 writes `.nii` and stored NPZ, else `processor.gzip_file` tells the levels, of
        which NPZ has those of zlib. Default: `COMPRESSION`.
    """

    format: Format = "nifti"
    engine: Engine = "auto"
    compression: int | None = None

    @property
    def level(self) -> int:
        """The level that counts."""
        return COMPRESSION[self.format] if self.compression is None else self.compression


def convert_series(
    source: SeriesSource | Path | Sequence[Path],
    folder: Path,
    stem: str = "",
    *,
    settings: Settings | None = None,
    unverified: Path | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Conversion:
    """Convert one series and verify every frame of what was written.

    Parameters
    ----------
    source : SeriesSource, Path or sequence of Path
        A series: already read, its files, or a folder with no other DICOM in it.
    folder : Path
        Where the files go; it must exist.
    stem : str
        What their names begin with; default: series number and description, as 007_T2_TSE_sag.
    unverified : Path
        Where files are kept that did not match the source; default: they are removed.
    progress : callable
        Told the fraction done, 0 to 1.

    Returns
    -------
    Conversion
        Its files with shape, affine, findings and the verification; or the reason for none.

    Raises
    ------
    FileExistsError
        There is a file of that name in `folder` already; nothing is written.
    OSError
        The files cannot be read or written.

    Examples
    --------
    >>> from processor.convert import convert_series
    >>> result = convert_series(Path("study/t1"), Path("out"))  # doctest: +SKIP
    >>> result.state, result.files[0].shape, result.verification.matched  # doctest: +SKIP
    ('done', (256, 256, 176), 176)
    """
    chosen = settings or Settings()
    series = source if isinstance(source, SeriesSource) else SeriesSource(_files(source))
    try:
        stacks = plan(series)
        asked = Request(stacks, series, folder, stem, chosen.format, chosen.level, progress)
        return _by_engines(asked, _ENGINES[chosen.engine], unverified)
    except (NotConvertible, PixelDataError) as reason:
        # What cannot be decoded cannot be compared either, whoever converts it.
        return Conversion("refused", str(reason))


def _by_engines(asked: Request, engines: Sequence[str], unverified: Path | None) -> Conversion:
    """What the first engine made whose files match."""
    attempts: list[Attempt] = []
    for engine in engines:
        with TemporaryDirectory(dir=asked.folder, prefix=".converting-") as place:
            result = _attempt(engine, replace(asked, folder=Path(place)), unverified)
            if isinstance(result, Conversion):
                return _handed_on(result, asked.folder, attempts)
            attempts.append(result)
    return _failed(attempts)


def _files(source: Path | Sequence[Path]) -> Sequence[Path]:
    if isinstance(source, Path):
        return [path for path in source.rglob("*") if path.is_file() and is_dicom(path)]
    return source


def _attempt(engine: str, request: Request, unverified: Path | None) -> Conversion | Attempt:
    """What an engine made, verified; or why it is not to be handed on."""
    try:
        made = _MAKERS[engine](request)
    except NotConvertible as error:
        return Attempt(engine, str(error))
    if not made.files:
        return Attempt(engine, next(iter(made.refused.values()), "nothing was written"))
    try:
        verification = _verified(made)
    except NotReadable as error:
        return Attempt(engine, str(error))
    request.progress(1.0)
    if verification.ok:
        return Conversion("done", "", engine, made.files, made.refused, verification)
    reason = f"of the written files {verification.words}"
    return Attempt(engine, reason, verification, _kept(made, verification, engine, unverified))


def _verified(made: Made) -> Verification:
    frames = [
        source_frame(frame, (stack.label, t), stack.label)
        for stack in made.stacks
        for t, frame in stack.present
    ]
    missing = [frame for stack in made.stacks for frame in missing_frames(stack)]
    rounding = max((_rounding_mm(stack) for stack in made.stacks), default=0.0)
    block_ends = {file.path: file.block_ends for file in made.files}
    paths = list(block_ends)
    return verify(
        paths,
        frames,
        rounding_mm=rounding,
        missing=missing,
        in_order=needs_order(made.stacks),
        block_ends=block_ends,
    )


def _rounding_mm(stack: Stack) -> float:
    return 0.0 if stack.plan is None else stack.plan.rounding_mm


def _kept(
    made: Made, verification: Verification, engine: str, unverified: Path | None
) -> Path | None:
    """Put aside what did not match, with the report."""
    if unverified is None:
        return None
    place = unverified / engine
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for file in made.files:
        for path in (file.path, *file.beside):
            shutil.move(path, place / path.name)
    report = json.dumps(verification.as_json(), indent=2)
    (place / "verification.json").write_text(report + "\n", encoding="utf-8")
    return place


def _handed_on(result: Conversion, folder: Path, attempts: Sequence[Attempt]) -> Conversion:
    """The verified files, moved to where they were asked for."""
    paths = [path for file in result.files for path in (file.path, *file.beside)]
    for path in paths:
        if (folder / path.name).exists():
            raise FileExistsError(errno.EEXIST, "exists already", str(folder / path.name))
    for path in paths:
        path.rename(folder / path.name)
    files = []
    for file in result.files:
        beside = tuple(folder / path.name for path in file.beside)
        files.append(replace(file, path=folder / file.path.name, beside=beside))
    return replace(result, files=tuple(files), attempts=tuple(attempts))


def _failed(attempts: Sequence[Attempt]) -> Conversion:
    """What to say when no engine's files are to be handed on: the first engine's reason."""
    mismatch = any(attempt.verification for attempt in attempts)
    return Conversion(
        "unverified" if mismatch else "refused", attempts[0].reason, attempts=tuple(attempts)
    )
