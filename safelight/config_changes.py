"""Says what differs between the configuration and the one that was in force before, key by key.

What a secret is stays unknown: the ledger has a salted hash of it, which tells whether it has
changed. It is slow to make, so that it cannot be guessed from the ledger.
"""

import dataclasses
import hashlib
import hmac
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ledger.configurations import Configurations
from safelight.config import Config

logger = logging.getLogger(__name__)

_HASHED = "scrypt"
_HIDDEN = "(hidden)"
_UNSET = "not set"
_SALT_BYTES = 16

Settings = Mapping[str, str]


def note_configuration(config: Config, configurations: Configurations) -> tuple[str, ...]:
    """Log and record what differs from the configuration last in force; return it in words.

    The first one is recorded and differs from nothing.
    """
    before = configurations.latest()
    settings = settings_of(config, before or {})
    changes = () if before is None else tuple(changes_between(before, settings))
    for change in changes:
        logger.info("configuration: %s", change)
    if settings != before:
        configurations.record(settings, changes)
    return changes


def settings_of(config: Config, before: Settings) -> Settings:
    """Every key with its value as words, secrets as hashes.

    Parameters
    ----------
    before
        The settings before; a secret that is the same has the same hash as there.
    """
    return {
        place: _hashed(value, before.get(place, "")) if is_secret and value else str(value)
        for place, value, is_secret in _leaves(config, "")
    }


def changes_between(before: Settings, after: Settings) -> Iterator[str]:
    """What was changed, a line for each key, or for a table that is new or gone.

    Examples
    --------
    >>> list(changes_between({"[dicom] port": "104"}, {"[dicom] port": "11112"}))
    ['[dicom] port: 104 -> 11112']
    >>> list(changes_between({}, {"[pacs.main] port": "104", "[pacs.main] host": "a"}))
    ['[pacs.main]: new']
    """
    old_tables, new_tables = set(map(_table_of, before)), set(map(_table_of, after))
    yield from (f"{table}: gone" for table in sorted(old_tables - new_tables))
    yield from (f"{table}: new" for table in sorted(new_tables - old_tables))
    for place in sorted({*before, *after}):
        if _table_of(place) in old_tables & new_tables:
            old, new = before.get(place, _UNSET), after.get(place, _UNSET)
            if old != new:
                yield f"{place}: {_told(old, new)}"


def _table_of(place: str) -> str:
    return place.partition(" ")[0]


def _told(old: str, new: str) -> str:
    hidden = [value.startswith(f"{_HASHED}:") for value in (old, new)]
    if all(hidden):
        return f"{_HIDDEN}, changed"
    words = zip((old, new), hidden, strict=True)
    return " -> ".join(_HIDDEN if is_hidden else value or "empty" for value, is_hidden in words)


def _leaves(record: Any, table: str) -> Iterator[tuple[str, Any, bool]]:
    """Each value of a record of settings: its table and key, itself, whether it is a secret."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        inner = _tables(value)
        if inner is not None:
            for name, one in inner.items():
                yield from _leaves(one, ".".join(filter(None, (table, field.name, name))))
        elif value != ():  # which may be no values or no tables: it is as good as not set
            yield f"[{table}] {field.name}", _plain(value), not field.repr


def _tables(value: Any) -> Mapping[str, Any] | None:
    """The tables that a value is or has, by what tells them apart; None where it is none."""
    if dataclasses.is_dataclass(value):
        return {"": value}
    if isinstance(value, Mapping) and all(map(dataclasses.is_dataclass, value.values())):
        return {str(key): one for key, one in value.items()}
    if isinstance(value, tuple) and value and all(map(dataclasses.is_dataclass, value)):
        return dict(zip(_names(value), value, strict=True))
    return None


def _names(tables: Sequence[Any]) -> Iterator[str]:
    """What tables of a list are called: what the site calls them, else by their place."""
    seen: Counter[str] = Counter()
    for place, table in enumerate(tables, start=1):
        name = str(getattr(table, "name", getattr(table, "calling_ae", place))).replace(" ", "-")
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}#{seen[name]}"


def _plain(value: Any) -> Any:
    """A value in the words of the configuration."""
    if value is None:
        return _UNSET
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return list(map(str, value)) if isinstance(value, tuple) else value


def _hashed(secret: Any, before: str) -> str:
    kind, _, rest = before.partition(":")
    salt = rest.partition(":")[0] if kind == _HASHED else os.urandom(_SALT_BYTES).hex()
    found = f"{_HASHED}:{salt}:{_hash(str(secret), salt)}"
    if kind == _HASHED and not hmac.compare_digest(found, before):
        return _hashed(secret, "")  # another secret gets another salt
    return found


def _hash(secret: str, salt: str) -> str:
    return hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), n=1 << 14, r=8, p=1).hex()
