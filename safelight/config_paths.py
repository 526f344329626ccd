"""Resolves what the configuration names by a relative path against the folder of its file."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from safelight.notify_settings import NotifySettings, SmtpSettings
from safelight.secret_values import anchored_secret
from web_status.node_settings import NodeSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Table = TypeVar("_Table", bound="DataclassInstance")

# The secrets that may say where they are, as ``file:PATH``.
_SECRETS: Mapping[type, tuple[str, ...]] = MappingProxyType(
    {NodeSettings: ("token",), NotifySettings: ("url", "secret"), SmtpSettings: ("password",)}
)


def anchored(table: _Table, folder: Path) -> _Table:
    """A record of settings whose relative paths, and those of the tables in it, are below `folder`.

    Examples
    --------
    >>> from processor.settings import ProcessorSettings
    >>> anchored(ProcessorSettings(templates=Path("tags")), Path("/etc/safelight")).templates
    PosixPath('/etc/safelight/tags')
    """
    changes = {}
    for field in dataclasses.fields(table):
        value = getattr(table, field.name)
        is_secret = field.name in _SECRETS.get(type(table), ())
        changes[field.name] = (anchored_secret if is_secret else _anchored)(value, folder)
    return dataclasses.replace(table, **changes)


def _anchored(value: Any, folder: Path) -> Any:
    match value:
        case Path():
            return folder / value
        case tuple():
            return tuple(_anchored(each, folder) for each in value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return anchored(value, folder)
    return value
