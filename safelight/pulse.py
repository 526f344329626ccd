"""How the processes of the daemon are, in memory that they share: written by the supervisor alone.

The coordinator reads it for those who watch the node; nothing is decided by it.
"""

import ctypes
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass

from safelight.children import SILENCE_SECONDS, Child

_HEARD, _STARTS, _ROW = 0, 1, 2
_BEGAN, _ANNOUNCED, _FIRST_ROW = 0, 1, 2


@dataclass(frozen=True)
class Beat:
    """A process: its name, when it was last heard (monotonic; 0 for never), how often started."""

    name: str
    heard: float
    starts: int

    def age_seconds(self, now: float) -> float:
        """For how long it has not been heard."""
        return max(0.0, now - self.heard)

    def is_up(self, now: float) -> bool:
        """Whether it runs and answers."""
        return self.heard > 0 and self.age_seconds(now) < SILENCE_SECONDS


class Pulse:
    """The table; a process that is forked shares it.

    Parameters
    ----------
    names
        Of the processes, in the order of the supervisor's children.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        size = _FIRST_ROW + _ROW * len(self._names)
        self._table: ctypes.Array[ctypes.c_double] = multiprocessing.RawArray(ctypes.c_double, size)
        self._table[_BEGAN] = time.time()

    @property
    def began(self) -> float:
        """When the daemon started, in seconds since the epoch."""
        return float(self._table[_BEGAN])

    @property
    def announced(self) -> float:
        """When systemd was last told that all processes are alive (monotonic; 0 for never).

        Without systemd it is when that would have been.
        """
        return float(self._table[_ANNOUNCED])

    def note(self, children: Sequence[Child], announced: float) -> None:
        """Note how the children are, and when all of them were last said to be alive."""
        self._table[_ANNOUNCED] = announced
        for number, child in enumerate(children):
            row = _FIRST_ROW + _ROW * number
            runs = child.process is not None and child.ready
            self._table[row + _HEARD] = child.heard if runs else 0.0
            self._table[row + _STARTS] = child.starts

    def beats(self) -> tuple[Beat, ...]:
        """Each process."""
        rows = range(_FIRST_ROW, len(self._table), _ROW)
        return tuple(
            Beat(name, float(self._table[row + _HEARD]), int(self._table[row + _STARTS]))
            for name, row in zip(self._names, rows, strict=True)
        )
