"""Reads what was changed in the configuration, and when."""

import json
import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True)
class ConfigurationRow:
    """A configuration that came into force: when, and what it changed, a line for each key."""

    at: str
    changes: tuple[str, ...]


class ConfigurationReader:
    """What the ledger knows of configurations."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def latest(self, *, limit: int = 10) -> tuple[ConfigurationRow, ...]:
        """Those that changed something, the latest first."""
        rows = self._connection.execute(
            "SELECT at, changes FROM configurations WHERE changes != '[]' ORDER BY id DESC LIMIT ?",
            [limit],
        )
        return tuple(ConfigurationRow(at, tuple(json.loads(changes))) for at, changes in rows)
