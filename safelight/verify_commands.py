"""The command ``verify-nifti``: whether anyone's conversion holds what its series holds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from processor.errors import NotConvertible, PermanentError
from processor.headers import quiet_reading
from processor.judging import Judgement, judge
from processor.source import SeriesSource
from processor.verify import Verification
from safelight.convert_commands import series_in

_KINDS = {
    "value_different": "frames of the source with other values, or missing, in the files",
    "off_grid": "frames of the source that lie on no plane of the files",
    "repeated": "frames of the source that equal another one at their place",
    "unfilled": "planes of the files that hold no frame of the source",
    "mixed": "volumes of the files with frames of several volumes",
    "reordered": "files whose volumes stand in another order than in the series",
}


def verify_nifti(folder: Path, files: Sequence[Path], *, as_json: bool) -> int:
    """Print the verdict on the files of one series; return the exit code."""
    try:
        with quiet_reading():
            judgement = judge(_series(folder), files)
    except PermanentError as reason:
        click.echo(f"cannot judge: {reason}", err=True)
        return 2
    _print(judgement, as_json=as_json)
    return 0 if judgement.verification.ok else 1


def _series(folder: Path) -> SeriesSource:
    """The one series of a folder; what is not DICOM in it is left out."""
    found = series_in(folder)
    count = sum(1 for uid in found if uid)
    if count > 1:
        raise NotConvertible(f"{count} series in {folder.name}; one at a time can be compared")
    return SeriesSource([path for files in found.values() for path in files])


def _print(judgement: Judgement, *, as_json: bool) -> None:
    verification = judgement.verification
    if as_json:
        said = {"notes": judgement.notes, "announced": judgement.announced}
        document = {"ok": verification.ok, **verification.as_json(), **said}
        click.echo(json.dumps(document, indent=2))
        return
    verdict = "verified" if verification.ok else "MISMATCH"
    click.echo(
        f"{verdict}: {verification.matched} of {verification.frames} frames of the source match"
    )
    differences = [(count, kind) for kind in _KINDS if (count := getattr(verification, kind))]
    if differences:
        Console(soft_wrap=True).print(_table(verification, differences), highlight=False)
    for note in judgement.notes:
        click.echo(f"note: {note}")
    for finding in judgement.announced:
        click.echo(f"the sidecar says: {finding}")


def _table(verification: Verification, differences: list[tuple[int, str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("count", "what", "such as"):
        justify: Any = "right" if heading == "count" else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for count, kind in differences:
        named = verification.named.get(kind, ())
        table.add_row(str(count), _KINDS[kind], "\n".join(named))
    return table
