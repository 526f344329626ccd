"""The command ``deidentify``: a folder of DICOM without the patients' identity."""

import sys
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from processor.errors import IdentityRemains, NotDeidentified, SiteKeyError
from processor.settings import DeidentifySettings
from safelight.options import config_option, configuration

if TYPE_CHECKING:
    from safelight.gathering import GatheredSeries


class _WithOptions(click.Command):
    """A command with the options of the processor; they take long to import, so not before."""

    @cached_property
    def _processor_options(self) -> list[click.Parameter]:
        from processor.deidentify import OPTIONS

        return [
            click.Option(
                [f"--{option.name}"],
                type=click.Choice(option.expected.replace('"', "").split(" or ")),
                default=str(option.default),
                show_default=True,
                help="See docs/deidentification.md.",
            )
            for option in OPTIONS
        ]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The arguments and all options."""
        return [*super().get_params(ctx), *self._processor_options]


@click.command(cls=_WithOptions)
@config_option
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where instances go: STUDY/SERIES/INSTANCE.dcm, by their new UIDs.",
)
def deidentify(file: Path | None, folder: Path, out: Path, **given: str) -> None:
    """Write every series of DICOM below FOLDER without identity (PS3.15 Annex E).

    A series of which one instance cannot be de-identified is left out whole, with the reason.
    Exit code 1 where one was.
    """
    from processor.headers import quiet_reading
    from safelight.gathering import gather

    settings = configuration(file).deidentify
    gathered = gather(folder)
    if not gathered.series:
        click.echo("no DICOM files there", err=True)
        sys.exit(1)
    out.mkdir(parents=True, exist_ok=True)
    with quiet_reading():
        done = [_series(one, out, given, settings) for one in gathered.series]
    click.echo(f"{sum(done)} of {len(done)} series without identity; site key {settings.key_file}")
    sys.exit(0 if all(done) else 1)


def _series(
    one: "GatheredSeries", out: Path, given: Mapping[str, str], settings: DeidentifySettings
) -> bool:
    """Write one series, whole or not at all; whether it is there."""
    from processor.deidentify import deidentify_files

    with tempfile.TemporaryDirectory(dir=out, prefix=".deidentifying-") as place:
        try:
            done = deidentify_files(one.files, Path(place), given, settings)
        except SiteKeyError as error:
            raise click.ClickException(str(error)) from None
        except (NotDeidentified, IdentityRemains) as reason:
            click.echo(f"series {one.series_uid}: left out: {reason}", err=True)
            return False
        target = out / done.study_uid / done.series_uid
        target.mkdir(parents=True, exist_ok=True)
        for path in done.files:
            path.replace(target / path.name)
    return True
