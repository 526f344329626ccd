"""What the daemon tells the page of itself: disk, pauses, configuration, versions, network."""

import dataclasses
import platform
import sqlite3
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomlkit

from ledger.reader import LedgerReader
from ledger.rows import Growth, PauseRow
from listener.settings import AcceptRule
from processor.remote import RemoteEngine
from query.settings import PacsSettings
from safelight.audit_delivery import is_audit_late
from safelight.backup_state import backup_problem
from safelight.config import Config
from safelight.disk import NO_GROWTH, STAGES, disk_state
from safelight.status import disk_held, disk_lasts
from safelight.version import __version__
from web_status.network import Allowed, Network, Pacs
from web_status.node import About, Condition, DiskFill

_GROWTH_SECONDS = 60.0
_SECRET = "(hidden)"  # noqa: S105 - what stands in the place of one
_LIBRARIES = ("pynetdicom", "pydicom", "aiohttp", "nibabel", "numpy", "pandas", "dcm2niix")
_METHODS: Mapping[str, str] = {
    "move": "C-MOVE",
    "get": "C-GET",
    "dicomweb": "DICOMweb",
    "store": "C-STORE",
}


class NodeCondition:
    """Says how long the disk lasts and what is held up.

    What came in the last 24 hours, and what is kept, is summed up once a minute: that is costly.
    So the page and whoever looks for alarms ask the same one, each in a thread of its own.
    """

    def __init__(self, config: Config, cluster: RemoteEngine | None = None) -> None:
        self._config = config
        self._cluster = cluster
        self._growth: Growth = NO_GROWTH
        self._spool_bytes = 0
        self._next_sum = 0.0

    def __call__(self, reader: LedgerReader) -> Condition:
        """How it is now."""
        if time.monotonic() >= self._next_sum:
            self._growth = reader.growth()
            self._spool_bytes = reader.kept_bytes()
            self._next_sum = time.monotonic() + _GROWTH_SECONDS
        held = [_paused(row) for row in reader.pauses()]
        if self._cluster is not None and self._cluster.trouble:
            held.append(self._cluster.trouble)
        condition = Condition(
            held=tuple(held),
            has_backup_failed=backup_problem(self._config) != "",
            is_audit_late=is_audit_late(self._config.storage.data, self._config.audit),
        )
        try:
            disk = disk_state(self._config.storage, reader.disk_stage(), self._growth)
        except OSError:
            return condition
        fill = DiskFill(disk.stage, STAGES, disk.hours_left, self._spool_bytes)
        held = [*disk_held(disk), *held]
        return dataclasses.replace(
            condition, forecast=disk_lasts(disk), held=tuple(held), disk=fill
        )


def config_of(config: Config, data: Path) -> Config:
    """What the configuration of another node on this machine would be, were it like ours."""
    storage = dataclasses.replace(config.storage, data=data)
    return dataclasses.replace(config, storage=storage)


def _paused(row: PauseRow) -> str:
    return f"{row.processor or 'processing'} is paused" if row.cause == "person" else row.reason


def network_of(config: Config) -> Network:
    """Who is asked, and who may send."""
    return Network(tuple(map(_pacs, config.pacs)), tuple(map(_allowed, config.dicom.accept)))


def _pacs(pacs: PacsSettings) -> Pacs:
    services = f"{_METHODS[pacs.retrieve]} from it, {_METHODS[pacs.send]} to it"
    return Pacs(pacs.name, pacs.ae_title, f"{pacs.host}:{pacs.port}", services)


def _allowed(rule: AcceptRule) -> Allowed:
    over = " over TLS" if rule.tls else ""
    return Allowed(
        rule.calling_ae,
        ", ".join(rule.addresses) + over,
        ", ".join(rule.may),
        rule.silent_hours,
    )


def about(config: Config) -> About:
    """Versions, workers, and the configuration without its secrets."""
    versions = (
        ("Safelight", __version__),
        ("Python", platform.python_version()),
        ("SQLite", sqlite3.sqlite_version),
        *((name, version(name)) for name in _LIBRARIES),
    )
    return About(versions, tomlkit.dumps(_shown(config)), config.processing.workers)


def _shown(record: Any) -> dict[str, Any]:
    """A record of settings as a TOML table; what has no value is left out.

    A field that is left out of its ``repr`` is a secret.
    """
    table: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if not field.repr:
            table[field.name] = _SECRET if value else ""
        elif value is not None:
            table[field.name] = _plain(value)
    return table


def _plain(value: Any) -> Any:
    match value:
        case Path():
            return str(value)
        case tuple():
            return [_plain(each) for each in value]
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items() if each is not None}
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return _shown(value)
    return value
