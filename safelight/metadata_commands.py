"""The command ``metadata``: workbooks of folders of DICOM, or of the results of many studies."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from processor.headers import quiet_reading
from processor.metadata import entries_for, tables_of
from processor.mr_clean.config import load_config
from processor.mr_sheet import with_cleaned
from processor.rows import SeriesRecord
from processor.settings import ProcessorSettings
from processor.source import HeaderSource
from processor.tables import (
    ROWS_FILE,
    Tables,
    recorded_tables,
    replacing,
    write_beside,
    write_rows,
)
from processor.workbook import write_workbook
from safelight.convert_commands import series_in


def metadata(folder: Path, out: Path, settings: ProcessorSettings, formats: Sequence[str]) -> int:
    """Write the tables of every series below a folder, one series in memory at a time.

    Returns
    -------
    int
        0, or 1 when there is no DICOM.
    """
    with quiet_reading(), tempfile.TemporaryDirectory() as scratch:
        rows = [
            _rows_of(folder, files, settings.templates, Path(scratch) / f"{number}.json")
            for number, files in enumerate(series_in(folder).values())
        ]
        if not rows:
            click.echo(f"no DICOM files in {folder}", err=True)
            return 1
        _write(out, recorded_tables(rows), settings.mr_clean, formats)
    click.echo(f"{len(rows)} series in {out}")
    return 0


def _rows_of(root: Path, files: Sequence[Path], templates: Path | None, path: Path) -> Path:
    """The tables of one series; its folder is where its first file is, below `root`."""
    place = files[0].parent.relative_to(root) if root.is_dir() else Path()
    series = SeriesRecord(HeaderSource(files), place.as_posix())
    write_rows(path, tables_of(series, entries_for(series, templates)))
    return path


def merge(paths: Sequence[Path], out: Path, mr_clean: Path | None, formats: Sequence[str]) -> int:
    """Write one workbook from every `metadata.json` below some folders of results.

    Returns
    -------
    int
        0, or 1 when there is none.

    Raises
    ------
    RowsError
        One cannot be read; nothing is written then.
    """
    rows = sorted({found for path in paths for found in path.rglob(ROWS_FILE)})
    if not rows:
        click.echo(f"no {ROWS_FILE} in {', '.join(map(str, paths))}", err=True)
        return 1
    _write(out, recorded_tables(rows), mr_clean, formats)
    click.echo(f"the tables of {len(rows)} series in {out}")
    return 0


def _write(out: Path, recorded: Tables, mr_clean: Path | None, formats: Sequence[str]) -> None:
    tables = with_cleaned(recorded, load_config(mr_clean))
    with replacing(out) as temporary:
        write_workbook(temporary, tables)
    write_beside(out, tables, formats)
