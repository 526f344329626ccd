"""The association journal: what the receivers did, appended to one file a day in the spool.

The receiver appends one short line an event and waits for nothing; the watcher reads on
from where it stopped. A line is not fsynced: it is evidence about a delivery, never the
delivery itself.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

logger = logging.getLogger(__name__)

EventName = Literal["started", "accepted", "rejected", "refused", "released", "aborted", "lost"]
"""
started     a receiver process began: whatever one of its name had open before is lost
accepted    an association was accepted
rejected    an association was rejected (PS3.8 9.3.4), with the reason
refused     an instance or a presentation context was refused, with the reason
released    the peer released the association
aborted     either side aborted it
lost        the connection or the receiver went away without either
"""


@dataclass(frozen=True)
class AssociationEvent:
    """One line of the journal.

    Attributes
    ----------
    event
        What happened.
    at
        When, ISO 8601 in UTC.
    association_id
        The association it is about; of ``started``, of nothing else.
    receiver
        The name of the receiver process.
    calling_ae, called_ae, address
        Who; empty where not known.
    stored, duplicates, quarantined, refused
        Instances so far, at the end of an association.
    bytes
        Dataset bytes so far, at the end of an association.
    reason
        Why it was rejected, refused or aborted, in plain words without patient data.
    cause
        Of a rejection, the one word for it that `listener.statuses` has.
    """

    event: EventName
    at: str
    association_id: str
    receiver: str = ""
    calling_ae: str = ""
    called_ae: str = ""
    address: str = ""
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    refused: int = 0
    bytes: int = 0
    reason: str = ""
    cause: str = ""


ENDINGS = frozenset({"released", "aborted", "lost"})
_FIELDS = frozenset(field.name for field in fields(AssociationEvent))


def now() -> str:
    """The time of an event, ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class JournalWriter:
    """Appends events. Several threads and processes may append to the same file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, event: AssociationEvent) -> None:
        """Append one event; a disk that refuses it costs the line, not the reception."""
        known = {name: value for name, value in asdict(event).items() if value not in ("", 0)}
        # It begins on a line of its own, also behind one that a full disk has cut short.
        line = b"\n" + json.dumps(known, ensure_ascii=True).encode() + b"\n"
        path = self._folder / f"{event.at[:10]}.jsonl"
        try:
            # O_APPEND makes one write of one short line atomic among writers.
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            logger.warning("journal: event %s not written: %s", event.event, error.strerror)


class JournalReader:
    """Reads events in order, each once.

    Parameters
    ----------
    folder
        The journal's folder.
    offsets
        File name to the number of bytes read before, from an earlier run.
    """

    def __init__(self, folder: Path, offsets: Mapping[str, int]) -> None:
        self._folder = folder
        self._offsets = dict(offsets)

    @property
    def offsets(self) -> Mapping[str, int]:
        """How far each file was read."""
        return dict(self._offsets)

    def read(self) -> Iterator[AssociationEvent]:
        """The events appended since the last call; a line still being written waits."""
        for path in sorted(self._folder.glob("*.jsonl")):
            offset = self._offsets.get(path.name, 0)
            if path.stat().st_size <= offset:
                continue
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offsets[path.name] = offset + len(whole)
            for line in filter(None, whole.splitlines()):
                if (event := _parse(line)) is not None:
                    yield event


def _parse(line: bytes) -> AssociationEvent | None:
    try:
        record = json.loads(line)
        known = {name: value for name, value in record.items() if name in _FIELDS}
        event = AssociationEvent(**{"association_id": "", **known})  # empty values are not written
    except (ValueError, TypeError, AttributeError):
        logger.warning("journal: a damaged line was left out")
        return None
    return event if event.event in get_args(EventName) else None
