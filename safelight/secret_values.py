"""Secrets of the configuration that stand somewhere else: in the environment, or in a file.

They are read when they are used, by the process that uses them: commands that need no secret
need not be able to read it.
"""

import os
from pathlib import Path

from safelight.errors import ConfigError

_FILE, _ENVIRONMENT = "file:", "env:"


def anchored_secret(value: str, folder: Path) -> str:
    """A secret of a configuration file in `folder`, to which the path of a file is relative."""
    if value.startswith(_FILE):
        return f"{_FILE}{folder / value.removeprefix(_FILE)}"
    return value


def is_elsewhere(value: str) -> bool:
    """Whether it says where the secret is, and not what it is."""
    return value.startswith((_FILE, _ENVIRONMENT))


def secret_of(value: str) -> str:
    """What a secret is: the value itself, or what ``file:PATH`` or ``env:NAME`` has.

    Raises
    ------
    ConfigError
        There is no such file or name, or nothing in it.
    """
    if value.startswith(_FILE):
        found = _in_file(Path(value.removeprefix(_FILE)))
    elif value.startswith(_ENVIRONMENT):
        found = os.environ.get(value.removeprefix(_ENVIRONMENT), "")
    else:
        return value
    if not found:
        raise ConfigError(f"{value}: there is nothing in it")
    return found


def _in_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{_FILE}{path}: cannot be read ({type(error).__name__}); is it there, and may the"
            " service's user read it?"
        ) from error
