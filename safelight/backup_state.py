"""How the backups stand that the daemon makes, for those who only look."""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from listener.durable import write_durably
from safelight.config import Config

SUFFIX = ".tar"
_OURS = f"safelight-*T*Z{SUFFIX}"


@dataclass(frozen=True)
class BackupState:
    """How the last backup went.

    Attributes
    ----------
    at
        When it ended, ISO 8601 in UTC.
    name
        Of the file; empty where it failed.
    problem
        Why it failed; empty where it did not.
    """

    at: str
    name: str = ""
    problem: str = ""


def backup_state(config: Config) -> BackupState | None:
    """How the last backup went that the daemon made; None where it made none yet."""
    try:
        return TypeAdapter(BackupState).validate_json(config.storage.backup_state.read_bytes())
    except (OSError, ValidationError):
        return None


def backup_problem(config: Config) -> str:
    """Why the last backup that was due was not made; empty where it was, or none is asked for."""
    state = backup_state(config)
    return "" if state is None or config.ledger.backup_folder is None else state.problem


def note_backup(config: Config, state: BackupState) -> None:
    """Note how a backup went; where the disk is full, only the log tells it."""
    with suppress(OSError):
        write_durably(config.storage.backup_state, json.dumps(asdict(state)).encode())


def backups_in(folder: Path) -> list[Path]:
    """The backups in a folder that are named by their time, the earliest first."""
    return sorted(folder.glob(_OURS))


def leavings_in(folder: Path) -> list[Path]:
    """What backups left that were killed while they were made, a day ago or more."""
    return [path for path in folder.glob(f".{_OURS}.*") if _age_hours(path) > 24]


def ages_of(folder: Path) -> list[float]:
    """How many hours ago each of them was made."""
    return [_age_hours(path) for path in backups_in(folder)]


def _age_hours(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / 3600
