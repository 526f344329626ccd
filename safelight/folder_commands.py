"""The commands on folders and files, which need no daemon and no ledger."""

import sys
from pathlib import Path
from typing import Any

import click

from safelight.options import config_option, configuration


class MetadataGroup(click.Group):
    """``metadata FOLDER`` is short for ``metadata folder FOLDER``."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take what is no command as the argument of `folder`."""
        known = args[0] in self.commands
        return super().resolve_command(context, args if known else ["folder", *args])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where files go.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["nifti", "npz"]),
    default="nifti",
    show_default=True,
    help="What to write.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "native", "dcm2niix"]),
    default="auto",
    show_default=True,
    help="What converts.",
)
@click.option(
    "--compression",
    type=click.IntRange(0, 9),
    help="Of .nii.gz (default 3) or .npz (default 1); 0 writes .nii.",
)
@click.option("--name", help="What files are called: {SeriesNumber:03d}_{SeriesDescription}.")
def convert(folder: Path, out: Path, name: str | None, **settings: Any) -> None:
    """Convert every series of DICOM below FOLDER, and verify every frame.

    Exit code 0 where every image of every series is in a verified file, else 1. Files that did not
    match their source are in OUT/unverified, with the report.
    """
    from safelight.convert_commands import convert as run

    settings["format"] = settings.pop("format_")
    sys.exit(run(folder, out, name, settings))


def _of_excel(_context: click.Context, _parameter: click.Parameter, out: Path) -> Path:
    """Refuse a name under which Excel would not open the workbook."""
    if out.suffix.lower() != ".xlsx":
        raise click.BadParameter(
            "expected a name that ends in .xlsx (--format writes others beside)"
        )
    return out


_formats_option = click.option(
    "--format",
    "formats",
    type=click.Choice(["csv", "parquet"]),
    multiple=True,
    help="Write the tables like this too, beside the workbook; may be given twice.",
)


@click.group(cls=MetadataGroup)
def metadata() -> None:
    """Write the workbook of a FOLDER of DICOM, or merge those of many results."""


@metadata.command("folder")
@config_option
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="metadata.xlsx",
    show_default=True,
    callback=_of_excel,
    help="The workbook.",
)
@_formats_option
def metadata_folder(file: Path | None, folder: Path, out: Path, formats: tuple[str, ...]) -> None:
    """Write the workbook of every series of DICOM below FOLDER."""
    from safelight.metadata_commands import metadata as run

    sys.exit(run(folder, out, configuration(file).processor, formats))


@metadata.command("merge")
@config_option
@click.argument(
    "paths",
    metavar="RESULTS...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    callback=_of_excel,
    help="The workbook.",
)
@_formats_option
def metadata_merge(
    file: Path | None, paths: tuple[Path, ...], out: Path, formats: tuple[str, ...]
) -> None:
    """Write one workbook from the tables of every job below folders of RESULTS."""
    from safelight.metadata_commands import merge as run

    sys.exit(run(paths, out, configuration(file).output.mr_clean, formats))


@click.command("mr-clean")
@config_option
@click.argument("table", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The .xlsx or .csv file to write; else beside the table, with _cleaned in its name.",
)
@click.option("--sheet", help="Which sheet of a workbook; else DICOM_Metadata, else the first.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Rules in place of those of the site, as mr_clean_config.json.",
)
@click.option(
    "--encoding", default="utf-8-sig", show_default=True, help="Of a .csv file, such as gb18030."
)
def mr_clean(
    *,
    file: Path | None,
    table: Path,
    out: Path | None,
    sheet: str | None,
    rules: Path | None,
    encoding: str,
) -> None:
    """Say what each MR series of a TABLE is (.xlsx or .csv, one row a series), with the evidence.

    Columns are named by DICOM keywords; those that are missing are done without.
    """
    from safelight.mr_commands import mr_clean as run

    run(table, out, sheet, rules or configuration(file).output.mr_clean, encoding)


@click.command()
@click.argument(
    "studies",
    metavar="STUDY...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The ZIP.",
)
@click.option(
    "--largest-mb",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    help="Refuse to pack more than this.",
)
def package(studies: tuple[Path, ...], out: Path, largest_mb: int) -> None:
    """Write a ZIP of everything published of each STUDY, a folder below results."""
    from processor.package import package_studies

    count = package_studies([study.resolve() for study in studies], out, largest_mb * 1_000_000)
    click.echo(f"{count} files in {out}")


@click.command()
@click.argument(
    "results",
    metavar="RESULTS...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The page.",
)
def report(results: tuple[Path, ...], out: Path) -> None:
    """Write a web page about what is published below folders of RESULTS.

    Of one study: its series with previews, quality and verification. Of several: a list of the
    studies, with what is to be looked at, and links to the report of each.
    """
    from safelight.report_commands import report as run

    sys.exit(run(results, out))


@click.command("verify-nifti")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
def verify_nifti(folder: Path, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Compare NIfTI or NPZ FILES, all that were made of one series, with the DICOM in FOLDER.

    Every frame must lie in one plane of one file, with equal values, and every plane must hold a
    frame. Exit code 1 where they do not match, 2 where that cannot be judged.
    """
    from safelight.verify_commands import verify_nifti as run

    sys.exit(run(folder, files, as_json=as_json))
