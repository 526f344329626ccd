"""What most commands begin with: the option --config, and the configuration it leads to."""

import os
from pathlib import Path

import click

from safelight.config import Config, find_file, load_config

config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file (TOML).",
)


def configuration(file: Path | None, **options: object) -> Config:
    """The configuration in force.

    `options` are named ``table_key``; those that are None were not given.
    """
    overrides = {
        (name.partition("_")[0], name.partition("_")[2]): value
        for name, value in options.items()
        if value is not None
    }
    return load_config(find_file(file), os.environ, overrides)
