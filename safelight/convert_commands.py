"""The command ``convert``: any folder of DICOM to verified NIfTI or NPZ, without a daemon."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from listener.identity import PARSE_ERRORS
from processor.conversion import Conversion, ConvertedFile
from processor.convert import Settings, convert_series
from processor.headers import quiet_reading, text
from processor.names import named_by, series_stem
from processor.source import SeriesSource
from processor.words import NO_VOLUME
from rules.destination import parse_name
from rules.errors import RuleError

_Kind = Literal["whole", "part", "none", "refused", "unverified"]
_KINDS: Mapping[_Kind, str] = {
    "whole": "[green]verified[/]",
    "part": "[yellow]in part[/]",
    "none": "no images",
    "refused": "[red]not converted[/]",
    "unverified": "[red]does not match[/]",
}
_SUMMARY: Mapping[_Kind, str] = {
    "whole": "converted and verified",
    "part": "converted in part",
    "none": "without images",
    "refused": "not converted",
    "unverified": "made but not equal to the source, kept in unverified",
}


@dataclass(frozen=True)
class _Series:
    uid: str
    files: Sequence[Path]
    stem: str


def convert(folder: Path, out: Path, name: str | None, settings: Mapping[str, Any]) -> int:
    """Convert every series below a folder and print what became of each.

    Parameters
    ----------
    name : str or None
        A template of file names; series that get the same name are told apart by a mark.

    Returns
    -------
    int
        0 when every image of every series is in a file that equals it; 1 when one is not, or
        there is no DICOM.
    """
    with quiet_reading():
        series = _named(series_in(folder), name)
        if not series:
            click.echo(f"no DICOM files in {folder}", err=True)
            return 1
        out.mkdir(parents=True, exist_ok=True)
        results: list[tuple[_Series, Conversion]] = []
        try:
            results.extend(_converted(series, out, Settings(**settings)))
        finally:
            _print(results)
    return int(any(_kind(result) not in ("whole", "none") for _, result in results))


def series_in(folder: Path) -> Mapping[str, Sequence[Path]]:
    """The DICOM files below a folder, or one file, by SeriesInstanceUID; a DICOMDIR is none.

    Files that begin as DICOM and cannot be read stand under no UID: they are not passed over.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        if path.is_file():
            uid = _series_uid(path)
            if uid is not None:
                found[uid].append(path)
    return found


def _series_uid(path: Path) -> str | None:
    try:
        header = dcmread(path, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True)
    except InvalidDicomError:
        return None
    except PARSE_ERRORS:
        return ""
    is_index = header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
    return None if is_index else text(header, "SeriesInstanceUID")


def _named(found: Mapping[str, Sequence[Path]], name: str | None) -> list[_Series]:
    """Each series with a name of its own."""
    try:
        template = None if name is None else parse_name(name)
    except (ValueError, RuleError) as error:
        raise click.BadParameter(str(error), param_hint="--name") from None
    stems = {}
    for uid, files in found.items():
        header = SeriesSource(files[:1]).first_header()
        stems[uid] = series_stem(header) if template is None else named_by(template, header)
    counts = Counter(stems.values())
    return [
        _Series(uid, files, stems[uid] if counts[stems[uid]] == 1 else _marked(stems[uid], uid))
        for uid, files in found.items()
    ]


def _marked(stem: str, uid: str) -> str:
    """A name that no other series has: with the start of a digest of its UID."""
    return f"{stem}-{hashlib.sha256(uid.encode()).hexdigest()[:8]}"


def _converted(
    series: Sequence[_Series], out: Path, settings: Settings
) -> Iterator[tuple[_Series, Conversion]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        files = progress.add_task("converting", total=sum(len(one.files) for one in series))
        done = 0
        for one in series:

            def report(part: float, before: int = done, count: int = len(one.files)) -> None:
                progress.update(files, completed=before + int(part * count))

            yield one, _convert(one, out, settings, report)
            done += len(one.files)
            progress.update(files, completed=done)


def _convert(one: _Series, out: Path, settings: Settings, report: Any) -> Conversion:
    unverified = out / "unverified" / one.stem
    try:
        return convert_series(
            one.files, out, one.stem, settings=settings, unverified=unverified, progress=report
        )
    except FileExistsError as error:
        name = Path(error.filename).name
        return Conversion("refused", f"{name} exists already: choose another --out")


def _kind(result: Conversion) -> _Kind:
    """What became of a series: whether all that it has of images is in verified files."""
    if result.state == "done":
        return "part" if result.refused else "whole"
    return "none" if result.reason.startswith(NO_VOLUME) else result.state


def _print(results: Sequence[tuple[_Series, Conversion]]) -> None:
    if not results:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("series", overflow="fold")
    table.add_column("files", justify="right")
    table.add_column("result")
    table.add_column("frames", justify="right")
    table.add_column("shape, findings", overflow="fold")
    for one, result in results:
        verification = result.verification
        frames = (
            f"{verification.matched}/{verification.frames + len(result.refused)}"
            if verification
            else ""
        )
        table.add_row(
            one.stem, str(len(one.files)), _KINDS[_kind(result)], frames, _told(one, result)
        )
    Console().print(table)
    counts = Counter(_kind(result) for _, result in results)
    said = [f"{counts[kind]} series {words}" for kind, words in _SUMMARY.items() if counts[kind]]
    click.echo("; ".join(said))


def _told(one: _Series, result: Conversion) -> str:
    """The files with their shapes and what is to be known of them, or the reason for none."""
    if result.state != "done":
        return result.reason
    lines = [f"{_label(one, file)}{' x '.join(map(str, file.shape))}" for file in result.files]
    lines += result.findings
    if result.attempts:
        lines.append(f"by {result.engine}, since {result.attempts[0].reason}")
    lines += [f"left out: {reason}" for reason in dict.fromkeys(result.refused.values())]
    return "\n".join(lines)


def _label(one: _Series, file: ConvertedFile) -> str:
    """What tells a file from the series' others."""
    label = file.path.name.partition(".")[0].removeprefix(one.stem).strip("_")
    return f"{label}: " if label else ""
