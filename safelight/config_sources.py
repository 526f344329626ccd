"""Where the configuration comes from: TOML, then ``.env``, then the environment, as one table."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dotenv import dotenv_values

from safelight.errors import ConfigError

Table = dict[str, Any]

# The names the environment and .env may use, from the client that Safelight replaces.
SEED_NAMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "PACS_IP": ("pacs", "host"),
        "PACS_PORT": ("pacs", "port"),
        "CALLED_AET": ("pacs", "ae_title"),
        "CALLING_AET": ("dicom", "ae_title"),
        "CALLING_PORT": ("dicom", "port"),
    }
)
_QC_NAME = re.compile(r"QC_([A-Z]+)_([A-Z_]+)")


def read_sources(file: Path | None, dotenv: Path, environ: Mapping[str, str]) -> Table:
    """What `file` has, where `dotenv` does not outrank it, nor `environ` both.

    Raises
    ------
    ConfigError
        `file` cannot be read, or is not TOML.
    """
    table = _read(file) if file else {}
    _overlay_environment(table, {**_dotenv(dotenv), **environ})
    return table


def _read(file: Path) -> Table:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration: {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration: {file} is not TOML: {error}") from error


def _dotenv(path: Path) -> dict[str, str]:
    values = dotenv_values(path) if path.is_file() else {}
    return {name: value for name, value in values.items() if value is not None}


def _overlay_environment(table: Table, environ: Mapping[str, str]) -> None:
    for name, value in environ.items():
        if name in SEED_NAMES:
            section, key = SEED_NAMES[name]
            target = _first_pacs(table) if section == "pacs" else _table_in(table, section)
            target[key] = value
        elif (match := _QC_NAME.fullmatch(name)) is not None:
            modality, key = match.groups()
            _table_in(_table_in(table, "qc"), modality)[key.lower()] = value


def _first_pacs(table: Table) -> Table:
    """The first PACS, called "main" where it has no name; what is no table is left to be told."""
    known = table.setdefault("pacs", [])
    if known == []:
        known.append({})
    first = known[0] if isinstance(known, list) else None
    if not isinstance(first, dict):
        return {}
    first.setdefault("name", "main")
    return first


def _table_in(table: Table, key: str) -> Table:
    """A table within another, made where there is none; what is no table is left to be told."""
    found = table.setdefault(key, {})
    return found if isinstance(found, dict) else {}
