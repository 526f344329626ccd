"""The log of each process in a file of its own, so that the page can show the latest lines.

Standard error has the same, as ``[logging]`` says; systemd keeps that for longer.
"""

import heapq
import logging
import logging.handlers
from collections.abc import Iterator
from pathlib import Path

from safelight.log_lines import PlainLines

_BYTES_MAX = 1 << 20
_TAIL_BYTES = 1 << 16


class _File(logging.handlers.RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Lose the line: a full disk, say, is no reason to write a traceback for each."""


def keep_log(folder: Path, name: str) -> None:
    """Write what this process logs into ``NAME.log``, 2 MiB at most with the file before."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    handler = _File(
        folder / f"{name}.log", maxBytes=_BYTES_MAX, backupCount=1, encoding="utf-8", delay=True
    )
    handler.setFormatter(PlainLines(is_utc=True))
    logging.getLogger().addHandler(handler)


def latest_lines(folder: Path, number: int) -> tuple[str, ...]:
    """The last `number` lines of all processes, by their time in UTC, the newest last."""
    files = sorted(folder.glob("*.log")) if folder.is_dir() else []
    return tuple(heapq.merge(*map(_tail, files)))[-number:]


def _tail(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return iter(())
    return iter(lines if size <= _TAIL_BYTES else lines[1:])
