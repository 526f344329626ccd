"""What is wrong with a table of the configuration: unknown keys, and pydantic's errors in words."""

import dataclasses
import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_type_hints

from pydantic_core import ErrorDetails

from safelight.errors import ConfigError

_EXPECTED_LIST = "expected a list, in brackets"


def reject_unknown(kind: type, value: object, path: tuple[str, ...] = ()) -> None:
    """Let every key of a table be one of its settings class.

    Raises
    ------
    ConfigError
        One is not; the table is named, and the key that may have been meant.
    """
    if isinstance(value, list):
        for item in value:
            reject_unknown(kind, item, path)
        return
    if not isinstance(value, dict):
        return
    hints = get_type_hints(kind)
    for key, inner in value.items():
        if key not in hints:
            raise ConfigError(f"configuration: {_place(path, key)}: {_unknown(key, list(hints))}")
        for inner_kind, deeper in _tables_within(hints[key], inner):
            reject_unknown(inner_kind, deeper, (*path, key))


def _tables_within(hint: Any, value: object) -> list[tuple[type, object]]:
    """The settings classes inside a type such as tuple[PacsSettings, ...], with their values."""
    if dataclasses.is_dataclass(hint):
        return [(hint, value)]  # type: ignore[list-item]
    inner = [kind for kind in get_args(hint) if dataclasses.is_dataclass(kind)]
    if inner and isinstance(value, dict):
        return [(kind, item) for kind in inner for item in value.values()]  # type: ignore[misc]
    return [(kind, value) for kind in inner]  # type: ignore[misc]


def _unknown(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else f"; expected one of {', '.join(known)}"
    return f"unknown key{hint}"


def described(error: ErrorDetails, kind: type) -> str:
    """One of pydantic's errors about a `kind`, by table and key, without what may be a secret."""
    names = [str(part) for part in error["loc"] if not isinstance(part, int)]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":  # raised by the settings class; it begins with the key
        key, _, problem = message.partition(": ")
        return f"{_place(names, key)}: {problem}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{_place(names[:-1], names[-1])}: missing"
    value = error["input"]  # of a whole table it may hold secrets
    if error["type"] == "tuple_type":
        is_single = isinstance(value, dict)
        message = f"expected tables, each as [[{names[-1]}]]" if is_single else _EXPECTED_LIST
    elif error["type"] in ("dataclass_type", "dict_type"):
        message = "expected a table"
    is_told = names[-1] not in set(_secrets(kind)) and not isinstance(value, dict | list)
    got = f", got {value!r}" if is_told else ""
    return f"{_place(names[:-1], names[-1])}: {message[0].lower()}{message[1:]}{got}"


def _secrets(kind: type) -> Iterator[str]:
    """The keys of secrets, those of the tables within, too: they are left out of the ``repr``."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if not field.repr:
            yield field.name
        for inner, _ in _tables_within(hints[field.name], None):
            yield from _secrets(inner)


def _place(path: Sequence[str], key: str) -> str:
    return f"[{'.'.join(path)}] {key}" if path else f"[{key}]"
