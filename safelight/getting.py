"""Keeps in the spool what comes by C-GET or is given, as a receiver keeps what is sent to it."""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from listener.dimse import C_STORE_RQ, Command
from listener.journal import AssociationEvent, EventName, JournalWriter, now
from listener.part10 import Origin
from listener.spool import Spool, SpoolSettings
from listener.storing import Reception, Tally
from query.get import Instance


@dataclass(frozen=True)
class Shelf:
    """Keeps instances of one association; see `shelf`."""

    spool: Spool
    origin: Origin
    maximum_bytes: int
    tally: Tally

    def keep(self, instance: Instance) -> tuple[int, str]:
        """Keep one instance durably; return the C-STORE status and a comment (PS3.4 B.2.3)."""
        one = instance
        return self.keep_pieces(
            one.SOPClassUID, one.SOPInstanceUID, one.transfer_syntax_uid, [one.dataset]
        )

    def keep_pieces(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        pieces: Iterable[memoryview],
    ) -> tuple[int, str]:
        """Keep one instance, whose dataset comes in pieces, in the same way."""
        command = Command(C_STORE_RQ, 0, sop_class_uid, sop_instance_uid, True)
        reception = Reception(
            self.spool, command, transfer_syntax_uid, self.origin, self.maximum_bytes
        )
        for piece in pieces:
            reception.take([piece])
        status, comment = reception.finish(self.tally)
        return status.code, comment


@contextmanager
def shelf(
    settings: SpoolSettings, writer: str, pacs_ae: str, our_ae: str, maximum_bytes: int
) -> Iterator[Shelf]:
    """Keep what one association brings, and say in the journal how it went.

    Parameters
    ----------
    settings
        The spool.
    writer
        A name that no other process has at the same time.
    pacs_ae, our_ae
        Who sends, and to whom.
    maximum_bytes
        A larger instance is refused.
    """
    spool = Spool(settings, writer)
    spool.discard_incoming()
    journal = JournalWriter(spool.journal)
    began = AssociationEvent(
        "accepted", now(), uuid.uuid4().hex, receiver=writer, calling_ae=pacs_ae, called_ae=our_ae
    )
    tally = Tally()
    ending: EventName = "aborted"
    journal.write(began)
    try:
        yield Shelf(spool, Origin(pacs_ae, our_ae, began.association_id), maximum_bytes, tally)
        ending = "released"
    finally:
        journal.write(tally.ended(began, ending))


def note_ended(journal: Path, writer: str) -> None:
    """Say in the journal that a writer is gone: what it had open is lost."""
    JournalWriter(journal).write(AssociationEvent("started", now(), "", receiver=writer))
