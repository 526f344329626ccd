"""Progress of a job in a small file: a killed worker can hold no lock on it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

_AT_MOST_EVERY_SECONDS = 0.25


class Progress:
    """Writes {"step", "fraction"} by rename, at most four times a second within a step.

    Parameters
    ----------
    path : Path
        The file; it is removed by `close`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_suffix(".progress-new")
        self._written_at = float("-inf")

    def of_step(self, step: str) -> Callable[[float], None]:
        """The function that a step calls with its fraction done; 0 and 1 are always written."""

        def report(fraction: float) -> None:
            now = time.monotonic()
            if 0 < fraction < 1 and now - self._written_at < _AT_MOST_EVERY_SECONDS:
                return
            self._written_at = now
            content = {"step": step, "fraction": round(min(max(fraction, 0.0), 1.0), 3)}
            self._temporary.write_text(json.dumps(content), encoding="utf-8")
            self._temporary.replace(self._path)

        return report

    def close(self) -> None:
        """Remove the file: the job is over."""
        self._path.unlink(missing_ok=True)
        self._temporary.unlink(missing_ok=True)
