"""The storage SCP: receives instances into the spool. It decides nothing about them.

pynetdicom negotiates and speaks; this module says who may send and what becomes of an instance.
"""

import logging
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any, cast

from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import register_uid, uid_to_service_class
from pynetdicom.transport import ThreadedAssociationServer

from listener.errors import MismatchedInstance, PortTaken, SpoolUnavailable, UnusableInstance
from listener.journal import AssociationEvent, EventName, JournalWriter, now
from listener.part10 import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION,
    Origin,
    encode_file_meta,
    read_identity,
    require_same_instance,
)
from listener.settings import ReceiverSettings
from listener.spool import Spool

logger = logging.getLogger(__name__)

# PS3.4 Table B.2-1, C-STORE Response Status Values
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DATASET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

# PS3.8 Table 9-21, A-ASSOCIATE-RJ: result, source, reason
CALLING_AE_NOT_RECOGNIZED = (0x01, 0x01, 0x03)
CALLED_AE_NOT_RECOGNIZED = (0x01, 0x01, 0x07)

VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 A.4

_POLL_SECONDS = 0.05
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."


@dataclass
class _Tally:
    """What one association did so far; only its own thread changes it."""

    opening: AssociationEvent
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    refused: int = 0
    bytes: int = 0


class Receiver:
    """A storage SCP with Verification, on one port.

    Parameters
    ----------
    settings
        Who we are, where we listen and who may send.
    spool
        Where instances are kept.
    """

    def __init__(self, settings: ReceiverSettings, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool
        self._journal = JournalWriter(spool.journal)
        self._tallies: dict[Association, _Tally] = {}
        self._ae = self._application_entity()
        self._server: ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._settings.port

    def start(self) -> None:
        """Listen.

        Raises
        ------
        PortTaken
            Another process has the port.
        """
        self._journal.write(AssociationEvent("started", now(), uuid.uuid4().hex))
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_RELEASED, self._on_released),
            (evt.EVT_ABORTED, self._on_aborted),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_ECHO, _on_echo),
        ]
        address = (self._settings.host, self._settings.port)
        try:
            self._server = self._ae.start_server(address, block=False, evt_handlers=handlers)
        except OSError as error:
            raise PortTaken(error.errno, f"port {address[1]}: {error.strerror}") from error

    def heartbeat(self) -> int:
        """Note associations whose thread ended without a word; return how many are open."""
        for association in [a for a in list(self._tallies) if not a.is_alive()]:
            self._end(association, "lost", "the connection ended without a release")
        return len(self._tallies)

    def stop(self) -> None:
        """Stop accepting, let running associations go on for a bounded time, abort the rest."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        deadline = time.monotonic() + self._settings.drain_seconds
        while self.heartbeat() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        for association in list(self._tallies):
            self._end(association, "aborted", "the receiver stopped")
            association.abort(block=False)

    def _application_entity(self) -> AE:
        # The command and the dataset are checked in the handler, against each other.
        _config.LOG_HANDLER_LEVEL = "none"
        ae = AE(ae_title=self._settings.ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION
        ae.maximum_associations = self._settings.maximum_associations
        ae.maximum_pdu_size = self._settings.maximum_pdu_bytes
        ae.network_timeout = self._settings.idle_seconds
        ae.acse_timeout = self._settings.idle_seconds
        ae.dimse_timeout = self._settings.idle_seconds
        for sop_class_uid in (*storage_sop_classes(), *self._settings.extra_sop_classes):
            _register_as_storage(sop_class_uid)
            ae.add_supported_context(sop_class_uid, AllTransferSyntaxes)
        ae.add_supported_context(VERIFICATION)
        return ae

    def _on_requested(self, event: evt.Event) -> None:
        """Reject whom no ``[[dicom.accept]]`` table lets in (PS3.8 9.3.4)."""
        association = event.assoc
        primitive = cast("A_ASSOCIATE", association.requestor.primitive)
        opening = AssociationEvent(
            "accepted",
            now(),
            uuid.uuid4().hex,
            calling_ae=str(primitive.calling_ae_title).strip(),
            called_ae=str(primitive.called_ae_title).strip(),
            address=str(association.requestor.address),
        )
        refusal = self._refusal(opening)
        if refusal is None:
            self._tallies[association] = _Tally(opening)
            return
        code, reason = refusal
        self._journal.write(replace(opening, event="rejected", reason=reason))
        logger.warning("association %s rejected: %s", opening.association_id, reason)
        association.acse.send_reject(*code)
        association.kill()

    def _refusal(self, opening: AssociationEvent) -> tuple[tuple[int, int, int], str] | None:
        if opening.called_ae != self._settings.ae_title:
            return CALLED_AE_NOT_RECOGNIZED, (
                f"it called {opening.called_ae!r}; our AE title is {self._settings.ae_title!r}"
            )
        known = [rule for rule in self._settings.accept if rule.knows(opening.calling_ae)]
        if not known:
            return CALLING_AE_NOT_RECOGNIZED, (
                f"no [[dicom.accept]] names calling AE title {opening.calling_ae!r}"
            )
        if not any(rule.reaches(opening.address) for rule in known):
            return CALLING_AE_NOT_RECOGNIZED, (
                f"no [[dicom.accept]] opens address {opening.address} to {opening.calling_ae!r}"
            )
        return None

    def _on_accepted(self, event: evt.Event) -> None:
        tally = self._tallies[event.assoc]
        self._journal.write(tally.opening)
        for context in event.assoc.rejected_contexts:
            reason = (
                f"presentation context refused: SOP class {context.abstract_syntax} is not known;"
                " [dicom] extra_sop_classes can add it"
            )
            self._journal.write(replace(tally.opening, event="refused", at=now(), reason=reason))

    def _on_rejected(self, event: evt.Event) -> None:
        """Note a rejection by pynetdicom itself: the limit of associations is reached."""
        self._end(event.assoc, "rejected", "as many associations as allowed are open")

    def _on_released(self, event: evt.Event) -> None:
        self._end(event.assoc, "released", "")

    def _on_aborted(self, event: evt.Event) -> None:
        self._end(event.assoc, "aborted", "the association was aborted")

    def _end(self, association: Association, ending: EventName, reason: str) -> None:
        tally = self._tallies.pop(association, None)
        if tally is not None:
            self._journal.write(
                replace(
                    tally.opening,
                    event=ending,
                    at=now(),
                    stored=tally.stored,
                    duplicates=tally.duplicates,
                    quarantined=tally.quarantined,
                    refused=tally.refused,
                    bytes=tally.bytes,
                    reason=reason,
                )
            )

    def _on_store(self, event: evt.Event) -> Dataset:
        """Answer a C-STORE request (PS3.4 B.2.3).

        Returns
        -------
        Dataset
            Status, with the reason as Error Comment when it is a failure (PS3.7 9.3.1.2):
            0x0000 the instance is durable, in its series or in quarantine; 0xA700 the spool
            cannot be written now; 0xA900 command and dataset name different instances;
            0xC000 a UID is missing or unusable, or the dataset cannot be parsed so far.
        """
        tally = self._tallies[event.assoc]
        try:
            self._keep(event, tally)
        except MismatchedInstance as error:
            return self._refuse(tally, DATASET_MISMATCH, str(error))
        except UnusableInstance as error:
            return self._refuse(tally, CANNOT_UNDERSTAND, str(error))
        except SpoolUnavailable as error:
            return self._refuse(tally, OUT_OF_RESOURCES, f"spool: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - the C-STORE boundary: never a hang
            return self._refuse(tally, CANNOT_UNDERSTAND, f"unexpected {type(error).__name__}")
        return _response(SUCCESS)

    def _keep(self, event: evt.Event, tally: _Tally) -> None:
        request = cast("Any", event.request)
        dataset = request.DataSet.getvalue() if request.DataSet else b""
        transfer_syntax_uid = str(event.context.transfer_syntax)
        identity = read_identity(dataset, transfer_syntax_uid)
        require_same_instance(
            identity, str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        )
        opening = tally.opening
        origin = Origin(opening.calling_ae, opening.called_ae, opening.association_id)
        meta = encode_file_meta(identity, transfer_syntax_uid, origin)
        outcome = self._spool.store(identity, meta, dataset)
        tally.bytes += len(dataset)
        tally.stored += outcome == "kept"
        tally.duplicates += outcome == "duplicate"
        tally.quarantined += outcome == "quarantined"

    def _refuse(self, tally: _Tally, status: int, reason: str) -> Dataset:
        tally.refused += 1
        noted = f"0x{status:04X}: {reason}"
        self._journal.write(replace(tally.opening, event="refused", at=now(), reason=noted))
        logger.warning("association %s: instance refused: %s", tally.opening.association_id, noted)
        return _response(status, reason)


def storage_sop_classes() -> tuple[str, ...]:
    """Every storage SOP class of the standard; archives still hold the retired ones."""
    current = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    named = [
        uid
        for uid, entry in UID_dictionary.items()
        if uid.startswith(_STORAGE_ROOT) and "Storage" in entry[0]
    ]
    return tuple(dict.fromkeys([*current, *named]))


def _register_as_storage(sop_class_uid: str) -> None:
    """Make pynetdicom serve a class it does not know as storage; else it aborts at a C-STORE."""
    if not issubclass(uid_to_service_class(sop_class_uid), StorageServiceClass):
        keyword = "Storage_" + sop_class_uid.replace(".", "_")
        register_uid(sop_class_uid, keyword, StorageServiceClass)


def _response(status: int, comment: str = "") -> Dataset:
    response = Dataset()
    response.Status = status
    if comment:
        response.ErrorComment = comment[:64]  # LO
    return response


def _on_echo(event: evt.Event) -> int:  # noqa: ARG001 - the signature is pynetdicom's
    """Answer a C-ECHO request (PS3.4 A.4)."""
    return SUCCESS
