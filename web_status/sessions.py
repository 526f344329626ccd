"""Sessions on the server's side: who is behind a cookie, and until when."""

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from web_status.users import User

SESSIONS_MAX = 1000
SESSIONS_OF_ONE_MAX = 10
_ID_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes in base64 for URLs, without padding


def new_id() -> str:
    """A random id of 256 bits, as a cookie can carry it."""
    return secrets.token_urlsafe(_ID_BYTES)


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id."""
    return _ID.fullmatch(text) is not None


@dataclass
class Session:
    """A login: `user` as of then; `began` and `used` are on the clock of the sessions."""

    user: User
    began: float
    used: float


class Sessions:
    """The sessions that are open. They are kept in memory only: a restart ends them all.

    Parameters
    ----------
    idle_seconds
        A session that nobody used for this long has ended.
    total_seconds
        So has one that began this long ago.
    clock
        Monotonic, in seconds.
    """

    def __init__(
        self,
        idle_seconds: float,
        total_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._total_seconds = total_seconds
        self._clock = clock
        self._open: dict[bytes, Session] = {}

    def begin(self, user: User) -> str:
        """Open a session and return its id; of too many, those that were used least end."""
        self._drop_ended()
        own = [key for key, session in self._open.items() if session.user.name == user.name]
        self._make_room(own, SESSIONS_OF_ONE_MAX)
        self._make_room(list(self._open), SESSIONS_MAX)
        session_id, now = new_id(), self._clock()
        self._open[_key(session_id)] = Session(user, now, now)
        return session_id

    def find(self, session_id: str, *, is_use: bool) -> User | None:
        """Who is logged in under an id; `is_use` tells that somebody did something just now."""
        session = self._open.get(_key(session_id))
        if session is None:
            return None
        if self._has_ended(session):
            self.end(session_id)
            return None
        if is_use:
            session.used = self._clock()
        return session.user

    def end(self, session_id: str) -> None:
        """Close a session; one that is closed already stays so."""
        self._open.pop(_key(session_id), None)

    def __len__(self) -> int:
        return len(self._open)

    def _has_ended(self, session: Session) -> bool:
        now = self._clock()
        is_idle = now - session.used >= self._idle_seconds
        return is_idle or now - session.began >= self._total_seconds

    def _drop_ended(self) -> None:
        for key in [key for key, session in self._open.items() if self._has_ended(session)]:
            del self._open[key]

    def _make_room(self, keys: list[bytes], limit: int) -> None:
        """Close what was used least of `keys`, until one more is within the limit."""
        keys.sort(key=lambda key: self._open[key].used)
        for key in keys[: max(0, len(keys) - limit + 1)]:
            del self._open[key]


def _key(session_id: str) -> bytes:
    """What an id is kept under; comparing digests tells nothing of the ids by its time."""
    return hashlib.sha256(session_id.encode()).digest()
