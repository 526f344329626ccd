"""The users of the page: a small file of its own in the data folder, read anew when it changes."""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from web_status.errors import (
    BadUserName,
    RoleTooHigh,
    UnknownToken,
    UnknownUser,
    UserExists,
    UsersUnreadable,
)
from web_status.passwords import hash_of
from web_status.private_files import write_private
from web_status.roles import Role
from web_status.tokens import Token, digest_of, new_secret

USERS_NAME = "users.json"
_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_NOBODY: Mapping[str, "User"] = MappingProxyType({})


@dataclass(frozen=True)
class User:
    """One who may log in.

    Attributes
    ----------
    name
        1 to 64 ASCII letters, digits and ``. _ @ -``; upper and lower case differ.
    password_hash
        Argon2id, as ``argon2`` encodes it.
    since
        When the user was added, ISO 8601 in UTC.
    tokens
        With which programs act for the user.
    """

    name: str
    role: Role
    password_hash: str = field(repr=False)
    since: str
    tokens: tuple[Token, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)


class UsersFile:
    """The users in ``<data>/users.json``; no such file is the same as no users.

    What the methods change is on disk, whole, when they return. A running page takes it up at
    its next request.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / USERS_NAME
        self._seen: tuple[int, ...] | None = None
        self._users = _NOBODY

    def all(self) -> Mapping[str, User]:
        """The users by name.

        Raises
        ------
        UsersUnreadable
            The file is there but not ours to read, or damaged.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._users = None, _NOBODY
            return self._users
        except OSError as error:
            raise self._unreadable(error) from error
        version = (found.st_mtime_ns, found.st_ino, found.st_size)
        if version != self._seen:
            self._users = self._read()
            self._seen = version
        return self._users

    def known(self, name: str) -> User:
        """The user of that name.

        Raises
        ------
        UnknownUser
            There is none.
        """
        return _known(self.all(), name)

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user.

        Raises
        ------
        UserExists, BadUserName, BadPassword
            As `check_free` says, or the password is too short.
        """
        self.check_free(name)
        user = User(name, role, hash_of(password), _now())
        with self._changing() as users:
            _check_free(users, name)
            users[name] = user

    def check_free(self, name: str) -> None:
        """Raise where `name` cannot be that of a new user.

        Raises
        ------
        UserExists, BadUserName
            The name is taken, or is none.
        """
        _check_free(self.all(), name)

    def remove(self, name: str) -> None:
        """Remove a user; the sessions end.

        Raises
        ------
        UnknownUser
            There is none of that name.
        """
        with self._changing() as users:
            del users[_known(users, name).name]

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password; the sessions end.

        Raises
        ------
        UnknownUser, BadPassword
            There is none of that name, or the password is too short.
        """
        with self._changing() as users:
            users[name] = replace(_known(users, name), password_hash=hash_of(password))

    def set_role(self, name: str, role: Role) -> None:
        """Give a user another role, from the next request on.

        Raises
        ------
        UnknownUser
            There is none of that name.
        """
        with self._changing() as users:
            users[name] = replace(_known(users, name), role=role)

    def by_secret(self, secret: str) -> tuple[User, Token] | None:
        """Whose token has this secret; None for nobody's."""
        digest = digest_of(secret)
        for user in self.all().values():
            for token in user.tokens:
                if token.digest == digest:
                    return user, token
        return None

    def add_token(self, name: str, called: str, role: Role | None = None) -> str:
        """Make a token for a user and return its secret, which nobody can tell again.

        Parameters
        ----------
        name, called
            The user, and what the token is called.
        role
            What it may do at most; the role of the user where it is not given.

        Raises
        ------
        UnknownUser, RoleTooHigh, BadUserName, UserExists
            There is none of that name, the user may do less, `called` is no name, or is taken.
        """
        _check_name(called)
        secret = new_secret()
        with self._changing() as users:
            user = _known(users, name)
            if role is not None and role > user.role:
                raise RoleTooHigh(f"{name} is {user.role}: a token cannot be {role}")
            if any(token.name == called for token in user.tokens):
                raise UserExists(f"{name} has a token {called} already")
            token = Token(called, role or user.role, digest_of(secret), _now())
            users[name] = replace(user, tokens=(*user.tokens, token))
        return secret

    def revoke_token(self, name: str, called: str) -> None:
        """Take a token away; it is worth nothing from the next request on.

        Raises
        ------
        UnknownUser, UnknownToken
            There is none of that name.
        """
        with self._changing() as users:
            user = _known(users, name)
            kept = tuple(token for token in user.tokens if token.name != called)
            if kept == user.tokens:
                raise UnknownToken(
                    f"{name} has no token {called}; safelight user tokens {name} shows them"
                )
            users[name] = replace(user, tokens=kept)

    def note_use(self, digest: str, day: str) -> None:
        """Note the day on which a token was used."""
        with self._changing() as users:
            for user in list(users.values()):
                tokens = tuple(
                    replace(token, used=day) if token.digest == digest else token
                    for token in user.tokens
                )
                users[user.name] = replace(user, tokens=tokens)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, User]]:
        """The users, to be changed; one process at a time."""
        try:
            with _locked(self._path.parent):
                users = dict(self.all())
                yield users
                write_private(self._path, _encode(users))
        except OSError as error:
            raise UsersUnreadable(
                f"users: {self._path} cannot be changed: {error.strerror}; be root, or the user"
                " that the service runs as"
            ) from error

    def _read(self) -> Mapping[str, User]:
        try:
            return MappingProxyType(_decode(json.loads(self._path.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> UsersUnreadable:
        why = error.strerror if isinstance(error, OSError) else "it is damaged"
        return UsersUnreadable(f"users: {self._path} cannot be used: {why}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder for this process alone; it is made where the daemon has never run."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadUserName("expected a name of 1 to 64 letters, digits, dots, dashes, _ or @")


def _check_free(users: Mapping[str, User], name: str) -> None:
    _check_name(name)
    if name in users:
        raise UserExists(f"there is a user {name} already")


def _known(users: Mapping[str, User], name: str) -> User:
    if name not in users:
        raise UnknownUser(f"there is no user {name}; safelight user list shows them")
    return users[name]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _encode(users: Mapping[str, User]) -> bytes:
    listed = [_item(user) | {"tokens": [*map(_item, user.tokens)]} for user in users.values()]
    return json.dumps({"version": _VERSION, "users": listed}, indent=2).encode() + b"\n"


def _item(record: User | Token) -> dict[str, Any]:
    return asdict(record) | {"role": str(record.role)}


def _decode(document: Any) -> dict[str, User]:
    if document["version"] != _VERSION:
        raise ValueError("another version")
    users = [_user(item) for item in document["users"]]
    return {user.name: user for user in users}


def _user(item: dict[str, Any]) -> User:
    """A user as the file has it; one that was written before there were tokens has none."""
    tokens = tuple(
        Token(**{**token, "role": Role.named(token["role"])}) for token in item.get("tokens", ())
    )
    return User(**{**item, "role": Role.named(item["role"]), "tokens": tokens})
