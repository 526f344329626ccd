"""Restores a backup: its ledger, and what the site has no longer. No daemon may run meanwhile.

What is there already, other than the ledger, stays as it is: an older list of users would let in
who was removed since. What came since the backup is found by the daemon in the spool.
"""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import TypeAdapter, ValidationError

from ledger.connection import open_for_reading
from ledger.copying import require_sound
from ledger.deleted import FILE, take_over
from ledger.errors import CopyFailed, NewerSchema, UnreadableLedger
from ledger.published import published_jobs
from ledger.rebuild import set_aside
from ledger.session import Session
from listener.durable import give_to_owner_of_folder, sync_folder
from safelight.backup import CONFIGURATION, FORMAT, KEY, LEDGER, MANIFEST, RULES, Manifest, Member
from safelight.config import Config
from safelight.errors import BadBackup
from safelight.settings import StorageSettings
from web_status.audit_file import is_audit_name
from web_status.users import USERS_NAME

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Restored:
    """What was restored.

    Attributes
    ----------
    manifest
        What the backup says of itself.
    set_aside
        Where the ledger is that was there before; None where there was none.
    put_back
        What the site had no longer, besides the ledger.
    left
        What is there already and is not what the backup has; it stays.
    """

    manifest: Manifest
    set_aside: Path | None
    put_back: tuple[str, ...]
    left: tuple[str, ...]


def restore(config: Config, backup: Path) -> Restored:
    """Restore a backup; whoever calls has the data folder locked.

    Raises
    ------
    BadBackup
        It is damaged, is none, or is of a newer version; nothing was changed.
    """
    ledger = config.storage.ledger
    with _opened(backup) as tar:
        manifest = _checked(tar, backup.name)
        places = {one: _place(one.name, config) for one in manifest.files}
        new = ledger.with_name(f".{ledger.name}.restored")
        try:
            _extract(tar, LEDGER, new)
            _require_usable(new, backup.name)
            aside = set_aside(ledger) if ledger.exists() else None
            new.replace(ledger)
        finally:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{new}{suffix}").unlink(missing_ok=True)
        sync_folder(ledger.parent)
        _follow_deletions(config.storage)
        put_back, left = _put_back(tar, places)
    return Restored(manifest, aside, tuple(put_back), tuple(left))


@contextmanager
def _opened(backup: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(backup, "r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise BadBackup(
            f"{backup.name} is no backup, or was cut off: take an earlier one"
        ) from error


def _checked(tar: tarfile.TarFile, name: str) -> Manifest:
    """The manifest, once every file is here and is what was put in."""
    files = {member.name: member for member in tar if member.isfile()}
    manifest = _manifest(tar, name, is_there=MANIFEST in files)
    wanted = {member.name: member.sha256 for member in manifest.files}
    for one, sha256 in wanted.items():
        if one not in files or _digest(_file(tar, one)) != sha256:
            raise BadBackup(f"{name} is damaged: {one} is not what was put in; take an earlier one")
    if LEDGER not in wanted:
        raise BadBackup(f"{name} has no ledger")
    return manifest


def _manifest(tar: tarfile.TarFile, name: str, *, is_there: bool) -> Manifest:
    if not is_there:
        raise BadBackup(f"{name} is no backup, or was cut off: it has no {MANIFEST}")
    try:
        manifest = TypeAdapter(Manifest).validate_json(_file(tar, MANIFEST).read())
    except ValidationError as error:
        raise BadBackup(f"{name} is damaged: its {MANIFEST} cannot be read") from error
    if manifest.format != FORMAT:
        raise BadBackup(
            f"{name} was made by Safelight {manifest.safelight}, newer than this one: restore it"
            " with that version"
        )
    return manifest


def _file(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    if file is None:
        raise BadBackup(f"{name} of the backup is no file")
    return file


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _require_usable(ledger: Path, name: str) -> None:
    """Raise where a ledger cannot be taken: it is newer than this version, or damaged."""
    try:
        require_sound(ledger)
        with closing(open_for_reading(ledger, any_schema=True)):
            pass
    except NewerSchema as error:
        raise BadBackup(
            f"{name} is of a newer Safelight: install that version, then restore it; nothing was"
            " changed"
        ) from error
    except (UnreadableLedger, CopyFailed) as error:
        raise BadBackup(f"{name} is damaged: {error}; take an earlier one") from error


def _extract(tar: tarfile.TarFile, name: str, target: Path) -> None:
    """Write a file of the backup durably, for its owner alone."""
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(_file(tar, name), file, _BLOCK)
        file.flush()
        os.fsync(file.fileno())
    give_to_owner_of_folder(target)


def _follow_deletions(storage: StorageSettings) -> None:
    """Record what rules have deleted since; the ledger of a backup may be upgraded for that."""
    if (storage.spool / FILE).exists():
        session = Session(storage.ledger)
        try:
            take_over(session, storage.spool, lambda: published_jobs(storage.results))
        finally:
            session.close()


def _put_back(
    tar: tarfile.TarFile, places: Mapping[Member, Path | None]
) -> tuple[list[str], list[str]]:
    """Put back what the site has no longer; return its names, and of what is other and stays."""
    put_back, left = [], []
    for member, target in places.items():
        if target is None:
            continue
        if not target.exists():
            _make_folder(target.parent)
            new = target.with_name(f".{target.name}.restored")
            _extract(tar, member.name, new)
            new.replace(target)
            sync_folder(target.parent)
            put_back.append(member.name)
        elif _digest_of(target) != member.sha256:
            left.append(member.name)
    return put_back, left


def _place(name: str, config: Config) -> Path | None:
    """Where a file of a backup belongs; None for the ledger and what a person puts back."""
    if name == LEDGER or name.startswith(f"{CONFIGURATION}/"):
        return None
    if name == KEY:
        return config.deidentify.key_file
    parts = PurePosixPath(name).parts
    is_single = name == USERS_NAME or is_audit_name(name)
    if not is_single and (parts[0] != RULES or ".." in parts):
        raise BadBackup(f"the backup has a file that does not belong there: {name}")
    return config.storage.data / name


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir()
        give_to_owner_of_folder(folder)


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)
