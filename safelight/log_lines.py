"""How log lines look: JSON for the journal, plain for people.

Of an error a line has the type and where it was raised, never the message: that may quote a value
of a dataset. Whatever is logged is one line.
"""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.process import current_process
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from listener.log_ids import log_ids

_PREFIX = "safelight-"
_SUPERVISOR = "safelight"
_FRAMES = 8
_OURS = ("listener", "rules", "processor", "ledger", "query", "web_status", "safelight")

# sd-daemon(3): systemd takes the number off again, and keeps it as the priority of the line.
_PRIORITIES = (
    (logging.CRITICAL, "<2>"),
    (logging.ERROR, "<3>"),
    (logging.WARNING, "<4>"),
    (logging.INFO, "<6>"),
    (logging.NOTSET, "<7>"),
)


@dataclass(frozen=True)
class LoggingSettings:
    """The ``[logging]`` table.

    Attributes
    ----------
    format
        ``json``, ``plain``, or ``auto``: JSON where the journal of systemd reads standard error.
    level
        The least that is logged; of libraries, ``info`` at least.
    """

    format: Literal["auto", "json", "plain"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class PlainLines(logging.Formatter):
    """Time, level, logger and message, and what the line belongs to at the end.

    Parameters
    ----------
    is_utc
        Whether the time is in UTC, with milliseconds, so that lines of several files can be merged.
    has_time
        Whether there is a time at all: the journal has its own.
    """

    def __init__(self, *, is_utc: bool = False, has_time: bool = True) -> None:
        form = "%(levelname)s %(name)s: %(message)s"
        if is_utc:
            super().__init__(f"%(asctime)s.%(msecs)03d {form}", "%Y-%m-%d %H:%M:%S")
            self.converter = time.gmtime
        else:
            super().__init__(f"%(asctime)s {form}" if has_time else form)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        ids = " ".join(f"{name}={value}" for name, value in log_ids().items())
        line = super().format(record)
        return " ".join(f"{line} [{ids}]".split("\n") if ids else line.split("\n"))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """Where an error was raised, as `place_of` says it."""
        return _told(ei)


class JsonLines(logging.Formatter):
    """A JSON object a line; ``docs/operations.md`` says what is in it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": process_name(),
            "message": record.getMessage(),
            **log_ids(),
        }
        if record.exc_info:
            fields["error"] = _told(record.exc_info)
        return json.dumps(fields, default=str)


class _WithPriority(logging.Formatter):
    """The lines of another formatter, each behind its priority."""

    def __init__(self, lines: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines

    def format(self, record: logging.LogRecord) -> str:
        number = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return number + self._lines.format(record)


def process_name() -> str:
    """The name of this process, as in ``ps``."""
    name = current_process().name
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else _SUPERVISOR


def lines_for(settings: LoggingSettings, *, in_journal: bool) -> logging.Formatter:
    """The formatter of standard error; in the journal each line has its priority."""
    is_json = settings.format == "json" or (settings.format == "auto" and in_journal)
    lines = JsonLines() if is_json else PlainLines(has_time=not in_journal)
    return _WithPriority(lines) if in_journal else lines


def goes_to_journal(stream: IO[str], environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the journal of systemd reads a stream (``$JOURNAL_STREAM`` in systemd.exec(5)).

    The variable alone does not say so: standard error may have been redirected since.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # such as a stream that is no file
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def configure_logging(settings: LoggingSettings) -> None:
    """Log to standard error, one line an event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines_for(settings, in_journal=goes_to_journal(sys.stderr)))
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    # Libraries would tell much at debug level, such as addresses with accession numbers in them.
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    for package in _OURS:
        logging.getLogger(package).setLevel(level)


def place_of(trace: TracebackType | None) -> str:
    """Where an error was raised, from there outwards: no line of code, and no value.

    >>> place_of(None)
    'unknown place'
    """
    frames = traceback.extract_tb(trace)[::-1][:_FRAMES]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return " < ".join(places) or "unknown place"


def _told(info: object) -> str:
    """The types of an error and of what led to it, each with its place."""
    error = info[1] if isinstance(info, tuple) and len(info) == 3 else None
    told: list[str] = []
    while isinstance(error, BaseException) and len(told) < _FRAMES:
        told.append(f"{type(error).__name__} at {place_of(error.__traceback__)}")
        error = error.__cause__ or error.__context__
    return "; after ".join(told)
