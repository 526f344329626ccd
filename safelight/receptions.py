"""Tells the audit trail what came: from the association journal, once the ledger has it.

Receivers write nothing for it. How far the journal was told is kept in the data folder; a crash may
have the latest told twice, and leaves nothing out.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from json import dumps
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ledger.audit_reader import AuditReader, ReceivedStudy
from ledger.errors import LedgerError
from ledger.reader import LedgerReader
from listener.journal import ENDINGS, AssociationEvent, JournalReader
from safelight.config import Config
from safelight.uploading import CALLING_AE as UPLOAD
from web_status.audit import AuditTrail
from web_status.audit_events import Deed
from web_status.private_files import write_private

logger = logging.getLogger(__name__)

_TOLD_NAME = "audit-told.json"
_PATIENCE_SECONDS = 60.0  # beside a rescan, for the ledger to have what an association kept


def begin_to_tell(config: Config) -> None:
    """Let the audit trail begin with what comes from now on, where it had not begun.

    To be called before anything is received.
    """
    path = config.storage.data / _TOLD_NAME
    if not path.exists():
        journal = config.storage.spool / "journal"
        _keep(path, {file.name: file.stat().st_size for file in journal.glob("*.jsonl")})


def _keep(path: Path, offsets: Mapping[str, int]) -> None:
    try:
        write_private(path, dumps(dict(offsets)).encode())
    except OSError as error:  # told again after a restart
        logger.warning("audit trail: how far it has the journal is not kept: %s", error.strerror)


def _kept(path: Path) -> Mapping[str, int]:
    try:
        return TypeAdapter(dict[str, int]).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}


class Receptions:
    """Tells what associations brought, and which were rejected; see `step`.

    Parameters
    ----------
    config
        The configuration in force.
    trail
        Who is told.
    is_caught_up
        Whether all that was seen in the spool is in the ledger.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        config: Config,
        trail: AuditTrail,
        is_caught_up: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = config.storage.ledger
        self._trail = trail
        self._is_caught_up = is_caught_up
        self._clock = clock
        self._path = config.storage.data / _TOLD_NAME
        self._told = _kept(self._path)
        self._journal = JournalReader(config.storage.spool / "journal", self._told)
        self._events: deque[AssociationEvent] = deque()
        self._patience_seconds = _PATIENCE_SECONDS + config.series.rescan_seconds
        self._patient_until = 0.0

    def step(self) -> None:
        """Tell what is new in the journal and in the ledger by now; the rest waits."""
        if not self._events:
            self._events.extend(self._journal.read())
            self._patient_until = self._clock() + self._patience_seconds
        if self._journal.offsets == self._told or not self._is_caught_up():
            return
        try:
            reader = LedgerReader(self._ledger)
        except LedgerError:
            return
        try:
            if _covers(reader.audit.journal_offsets(), self._journal.offsets):
                self._tell(reader.audit)
        finally:
            reader.close()

    def _tell(self, ledger: AuditReader) -> None:
        while self._events:
            deeds = self._deeds(self._events[0], ledger)
            if deeds is None:
                return
            for deed in deeds:
                self._trail.record(deed, self._events[0].at)
            self._events.popleft()
        self._told = self._journal.offsets
        _keep(self._path, self._told)

    def _deeds(self, event: AssociationEvent, ledger: AuditReader) -> list[Deed] | None:
        """What an event has the trail told; None where the ledger does not have it all yet."""
        if event.event == "rejected":
            return [_rejection(event)]
        if event.event == "started":
            return list(_of_lost(event, ledger))
        if event.event not in ENDINGS or not (event.stored or event.duplicates):
            return []
        studies = ledger.studies_of(event.association_id)
        is_whole = sum(study.instances for study in studies) >= event.stored
        if not is_whole and self._clock() < self._patient_until:
            return None
        return list(_receptions(event, studies))


def _covers(ledger: Mapping[str, int], read: Mapping[str, int]) -> bool:
    """Whether the ledger has all of the journal that was read."""
    return all(ledger.get(name, 0) >= offset for name, offset in read.items())


def _of_lost(started: AssociationEvent, ledger: AuditReader) -> Iterator[Deed]:
    """What the associations brought that a receiver had open when it ended, before it began."""
    lost = replace(started, event="lost", reason="the receiver ended")
    for one in ledger.lost_by(started.receiver, started.at):
        uid, calling_ae, address = one.association_id, one.calling_ae, one.address
        event = replace(lost, association_id=uid, calling_ae=calling_ae, address=address)
        yield from _receptions(event, ledger.studies_of(uid))


def _rejection(event: AssociationEvent) -> Deed:
    return Deed(
        "association rejected",
        target=event.association_id,
        address=event.address,
        peer=event.calling_ae,
        problem=event.reason,
    )


def _receptions(event: AssociationEvent, studies: tuple[ReceivedStudy, ...]) -> Iterator[Deed]:
    """A deed for each study; PS3.15 A.5.3.7 has one patient in a message.

    Of what the ledger does not have, such as what was here already, only the number is told.
    """
    is_upload = event.calling_ae == UPLOAD and not event.address
    action = "instances imported" if is_upload else "instances received"
    peer = "" if is_upload else event.calling_ae
    problem = event.reason or ("" if event.event in ("released", "rejected") else event.event)

    def deed(study: str, patient: str, instances: int) -> Deed:
        return Deed(
            action,
            target=event.association_id,
            address=event.address,
            peer=peer,
            study=study,
            instances=instances,
            patient=patient,
            problem=problem,
        )

    for one in studies:
        yield deed(one.StudyInstanceUID, one.PatientID, one.instances)
    others = event.stored + event.duplicates - sum(study.instances for study in studies)
    if others > 0:
        yield deed("", "", others)
