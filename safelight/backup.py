"""Makes a backup: one tar file with what cannot be made again from the spool and the results.

    ledger.sqlite      as it was at one moment
    deidentify.key     the site key of pseudonyms
    users.json, audit.log, audit-NUMBER.log
    rules/             rules and drafts that were made on the page
    configuration/     the settings in force without their secrets, and the files that they name
    manifest.json      versions, and size and SHA-256 of each of these

Some of these a site may not have.
"""

import hashlib
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from ledger.connection import applied_to, open_for_reading
from ledger.copying import copy_ledger, go_on
from ledger.errors import LedgerError
from listener.durable import give_to_owner_of_folder, sync_folder
from safelight.backup_state import SUFFIX
from safelight.config import Config
from safelight.errors import BackupFailed
from safelight.page_node import about
from safelight.version import __version__
from web_status.audit_file import AuditFiles
from web_status.users import USERS_NAME

FORMAT = 1
MANIFEST = "manifest.json"
LEDGER = "ledger.sqlite"
KEY = "deidentify.key"
RULES = "rules"
CONFIGURATION = "configuration"


@dataclass(frozen=True)
class Member:
    """One file of a backup."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself.

    Attributes
    ----------
    format
        Of the backup, 1.
    safelight
        The version that made it.
    made_at
        ISO 8601 in UTC.
    migrations
        Those that its ledger has.
    files
        What is in it.
    """

    format: int
    safelight: str
    made_at: str
    migrations: tuple[str, ...]
    files: tuple[Member, ...]


def make_backup(config: Config, target: Path, stopped: Callable[[], bool] = go_on) -> Path:
    """Make a backup, beside a running daemon or without one; return where it is.

    Parameters
    ----------
    config
        The configuration in force.
    target
        A file that does not exist yet; of a folder, a file in it that is named by the time.
    stopped
        Asked now and then; once it is true, the backup is given up.

    Raises
    ------
    BackupFailed
        It cannot be written, or is there already.
    LedgerError
        The ledger cannot be read or copied.
    """
    if target.is_dir():
        target = target / f"safelight-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{SUFFIX}"
    if target.exists():
        raise BackupFailed(f"{target} is there already; name another")
    hidden, copy = (target.with_name(f".{target.name}.{what}") for what in ("part", "sqlite"))
    try:
        hidden.unlink(missing_ok=True)
        migrations = _copied(config.storage.ledger, copy, stopped)
        _write(config, hidden, copy, migrations)
        give_to_owner_of_folder(hidden)
        hidden.rename(target)
        sync_folder(target.parent)
    except LedgerError:  # one of them is an OSError, and tells what it is itself
        raise
    except OSError as error:
        raise BackupFailed(f"{target} cannot be written: {error.strerror}") from error
    finally:
        hidden.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)
    return target


def _copied(ledger: Path, copy: Path, stopped: Callable[[], bool]) -> tuple[str, ...]:
    """Copy the ledger; return the migrations that it has."""
    with closing(open_for_reading(ledger, any_schema=True)) as connection:
        copy_ledger(connection, copy, stopped)
    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return tuple(sorted(applied_to(connection)))


def _write(config: Config, target: Path, copy: Path, migrations: tuple[str, ...]) -> None:
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            members = [_add(tar, LEDGER, copy)]
            members += [_add(tar, name, path) for name, path in _files(config)]
            shown = about(config).configuration.encode()
            members.append(_add_bytes(tar, f"{CONFIGURATION}/safelight.toml", shown))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            manifest = Manifest(FORMAT, __version__, now, migrations, tuple(members))
            _add_bytes(tar, MANIFEST, (json.dumps(asdict(manifest), indent=2) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def _files(config: Config) -> Iterator[tuple[str, Path]]:
    """What a site has, by the names it gets in the backup."""
    data = config.storage.data
    singles = {
        KEY: config.deidentify.key_file,
        USERS_NAME: data / USERS_NAME,
        **{path.name: path for path in AuditFiles(data).paths()},
    }
    yield from ((name, path) for name, path in singles.items() if path.is_file())
    named = {
        RULES: data / RULES,
        f"{CONFIGURATION}/rules": config.rules.file,
        f"{CONFIGURATION}/retrieve": config.retrieve.rules,
        f"{CONFIGURATION}/templates": config.output.templates,
        f"{CONFIGURATION}/mr_clean": config.output.mr_clean,
    }
    for name, path in named.items():
        if path is not None:
            yield from _within(name, path)


def _within(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """A file, or the files of a folder, below `name`."""
    if path.is_file():
        yield f"{name}/{path.name}", path
    for one in sorted(path.rglob("*")):
        if one.is_file():
            yield f"{name}/{one.relative_to(path).as_posix()}", one


class _Hashed:
    """A file of which the digest is taken as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        return content


def _add(tar: tarfile.TarFile, name: str, path: Path) -> Member:
    """Add a file as far as it is written now: the audit trail may grow meanwhile."""
    with path.open("rb") as file:
        return _add_file(tar, name, file, os.fstat(file.fileno()).st_size)


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> Member:
    return _add_file(tar, name, io.BytesIO(content), len(content))


def _add_file(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    info.mtime = int(datetime.now(UTC).timestamp())
    hashed = _Hashed(file)
    tar.addfile(info, hashed)
    return Member(name, size, hashed.digest.hexdigest())
