"""Slows down the guessing of passwords: so many failed logins for an address and a name."""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from web_status.errors import TooManyTries

WINDOW_SECONDS = 900.0
TRIES_OF_ADDRESS = 20
TRIES_OF_NAME = 10
REMEMBERED_MAX = 10_000
_NAME_LENGTH = 65  # longer than a name can be; what is longer counts by its beginning

Key = tuple[str, str]


@dataclass
class _Tries:
    """When the latest tries were; `refused` says that one more was refused since."""

    at: deque[float]
    refused: bool = False


class Throttle:
    """Counts logins that failed, in memory; what was tried least lately is forgotten first.

    Parameters
    ----------
    clock
        Monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries: OrderedDict[Key, _Tries] = OrderedDict()

    def begin(self, address: str, name: str) -> None:
        """Note a try before it is judged, so that many at once are counted too.

        Raises
        ------
        TooManyTries
            As many as are allowed failed within the last minutes, from there or for that name.
        """
        keys = _keys(address, name)
        wait = max(self._wait(key, limit) for key, limit in keys.items())
        if wait > 0:
            raise TooManyTries(wait, is_first=self._is_first_refusal(keys))
        for key, limit in keys.items():
            self._note(key, limit)

    def succeeded(self, address: str, name: str) -> None:
        """Take back the latest try: it was no guess. Those that failed before still count."""
        for key in _keys(address, name):
            tries = self._tries.get(key)
            if tries is not None and tries.at:
                tries.at.pop()
            if tries is None or not tries.at:
                self._tries.pop(key, None)

    def __len__(self) -> int:
        return len(self._tries)

    def _wait(self, key: Key, limit: int) -> float:
        """Seconds until one more may be tried; 0 for at once."""
        tries = self._tries.get(key)
        if tries is None or len(tries.at) < limit:
            return 0.0
        return max(0.0, tries.at[0] + WINDOW_SECONDS - self._clock())

    def _is_first_refusal(self, keys: Iterable[Key]) -> bool:
        """Whether this is worth writing down: the first of a row, which may go on for ever."""
        known = [self._tries[key] for key in keys if key in self._tries]
        is_first = not any(tries.refused for tries in known)
        for tries in known:
            tries.refused = True
        return is_first

    def _note(self, key: Key, limit: int) -> None:
        tries = self._tries.setdefault(key, _Tries(deque(maxlen=limit)))
        tries.at.append(self._clock())
        tries.refused = False
        self._tries.move_to_end(key)
        if len(self._tries) > REMEMBERED_MAX:
            self._tries.popitem(last=False)


def _keys(address: str, name: str) -> dict[Key, int]:
    return {
        ("address", network_of(address)): TRIES_OF_ADDRESS,
        ("name", name[:_NAME_LENGTH]): TRIES_OF_NAME,
    }


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the /64, which one machine may have to itself.

    >>> network_of("10.1.2.3"), network_of("fd00::1:2:3:4"), network_of("?")
    ('10.1.2.3', 'fd00::/64', '?')
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    mapped = found.ipv4_mapped
    return str(mapped or ipaddress.ip_network((found, 64), strict=False))
