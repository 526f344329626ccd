"""Storage commitment, the spool's side: verifies what a request names and reports it (PS3.4 J).

It runs on a thread of the coordinator. Success is said only of an instance whose file has the
SHA-256 that the ledger recorded when it came.
"""

import logging
import threading
import time
from collections.abc import Callable

from ledger.errors import NoLedger
from ledger.reader import LedgerReader
from ledger.rows import KeptInstance
from ledger.verify import digest_of
from listener.commitment import (
    CLASS_CONFLICT,
    FILE_DAMAGED,
    NO_SUCH_OBJECT,
    CommitmentRequest,
    CommitmentStore,
    Failed,
    Reference,
    event_information,
)
from listener.identity import Identity
from listener.settings import host_and_port
from listener.spool import Spool
from query.commitment import report_commitment
from query.errors import QueryError
from query.settings import PacsSettings
from safelight.config import Config

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_ARRIVAL_SECONDS = 10.0  # the ledger follows the spool this soon, once it has caught up
_RETRY_SECONDS = (10.0, 60.0, 300.0, 900.0)
_FORGET_SECONDS = 24 * 3600.0


class Commitments:
    """Verifies requests and reports results.

    Parameters
    ----------
    config
        The configuration in force.
    spool
        Where the instances and the requests are.
    is_caught_up
        Whether the ledger knows all that was seen in the spool.
    """

    def __init__(self, config: Config, spool: Spool, is_caught_up: Callable[[], bool]) -> None:
        self._config = config
        self._spool = spool
        self._is_caught_up = is_caught_up
        self._store = CommitmentStore(spool.root)
        self._verified: dict[str, dict[Reference, int | None]] = {}
        self._tries: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        while not stop.wait(_LOOK_SECONDS):
            for request in tuple(self._store.requests()):
                self._attend(request, stop)

    def _attend(self, request: CommitmentRequest, stop: threading.Event) -> None:
        failed = self._store.failed(request)
        if failed is None:
            self._verify(request, stop)
        elif self._store.age_seconds(request) > _FORGET_SECONDS:
            logger.error("commitment %s: the peer never took its result", request.name)
            self._store.remove(request)
        elif request.report_to and time.monotonic() >= self._not_before.get(request.name, 0.0):
            self._report(request, failed)

    def _verify(self, request: CommitmentRequest, stop: threading.Event) -> None:
        """Judge each instance; one that the ledger does not know may still be on its way."""
        verified = self._verified.setdefault(request.name, {})
        is_late = self._store.age_seconds(request) > _ARRIVAL_SECONDS and self._is_caught_up()
        try:
            reader = LedgerReader(self._config.storage.ledger)
        except NoLedger:
            return
        try:
            for reference in request.references:
                if reference not in verified and not stop.is_set():
                    kept = reader.instance(reference.sop_instance_uid)
                    if kept is not None or (is_late and not self._is_on_its_way(reference)):
                        verified[reference] = self._reason(reference, kept)
        finally:
            reader.close()
        if len(verified) == len(set(request.references)):
            self._conclude(request, self._verified.pop(request.name))

    def _is_on_its_way(self, reference: Reference) -> bool:
        """Whether the spool has an instance that the ledger does not know yet."""
        return any(self._spool.instances.glob(f"*/*/{reference.sop_instance_uid}.dcm"))

    def _conclude(self, request: CommitmentRequest, verified: dict[Reference, int | None]) -> None:
        failed = tuple(
            Failed(reference, reason)
            for reference, reason in verified.items()
            if reason is not None
        )
        self._store.conclude(request, failed)
        logger.info(
            "commitment %s: %d instances committed, %d not",
            *(request.name, len(verified) - len(failed), len(failed)),
        )

    def _reason(self, reference: Reference, kept: KeptInstance | None) -> int | None:
        """Why an instance is not committed (PS3.3 C.14.1.1); None where it is."""
        if kept is None:
            return NO_SUCH_OBJECT
        if kept.SOPClassUID != reference.sop_class_uid:
            return CLASS_CONFLICT
        identity = Identity(
            kept.StudyInstanceUID, kept.SeriesInstanceUID, kept.SOPInstanceUID, kept.SOPClassUID
        )
        return None if digest_of(self._spool.path_of(identity)) == kept.sha256 else FILE_DAMAGED

    def _report(self, request: CommitmentRequest, failed: tuple[Failed, ...]) -> None:
        """Tell the peer on a new association; what does not reach it is tried again later."""
        host, port = host_and_port(request.report_to, "report_to")
        peer = PacsSettings("commitment", request.calling_ae, host, port)
        event_type, information = event_information(request, failed)
        try:
            report_commitment(peer, event_type, information, calling_ae=request.called_ae)
        except QueryError as error:
            tries = self._tries[request.name] = self._tries.get(request.name, 0) + 1
            delay = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS)) - 1]
            self._not_before[request.name] = time.monotonic() + delay
            logger.warning("commitment %s: not reported: %s", request.name, error)
            return
        self._store.remove(request)
        self._tries.pop(request.name, None)
        self._not_before.pop(request.name, None)
