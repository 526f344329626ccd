"""Deeds of this node for the audit trail, of whoever does them: the daemon, workers, commands."""

import getpass
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from query.settings import PacsSettings
from safelight.config import Config
from web_status.audit import AuditTrail
from web_status.audit_events import Deed

if TYPE_CHECKING:  # they read DICOM, which most commands do not
    from query.files import DicomFile
    from query.sent import SendOutcome


def audit_trail(config: Config) -> AuditTrail:
    """The audit trail of a configuration."""
    return AuditTrail(config.storage.data, config.audit, config.dicom.ae_title)


def who_calls() -> str:
    """Who uses the command line."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()} at the command line"


def record_call(config: Config, deed: Deed) -> None:
    """Record a deed of the command line, where a node has its data."""
    if config.storage.data.is_dir():
        audit_trail(config).record(deed)


def begin_sending(
    trail: AuditTrail, receiver: PacsSettings, files: "Iterable[DicomFile]", user: str = ""
) -> "Callable[[SendOutcome], None]":
    """Record that files are about to be sent: a deed for each study.

    Returns
    -------
    callable
        Records the outcome that it is told. A beginning without an end in the trail was cut off:
        any of the files may have been sent.
    """
    to = Deed("sending begun", user=user, peer=receiver.ae_title, address=receiver.host)
    for deed in _of_studies(to, files):
        trail.record(deed)

    def settle(outcome: "SendOutcome") -> None:
        sent = replace(to, action="instances sent")
        refused = [one.file for one in outcome.sent if not one.accepted]
        for deed in _of_studies(sent, [one.file for one in outcome.sent if one.accepted]):
            trail.record(deed)
        for deed in _of_studies(replace(sent, problem="not accepted"), refused):
            trail.record(deed)

    return settle


def _of_studies(deed: Deed, files: "Iterable[DicomFile]") -> Iterator[Deed]:
    count = Counter((file.StudyInstanceUID, file.PatientID) for file in files)
    for (study, patient), instances in count.items():
        yield replace(deed, study=study, patient=patient, instances=instances)
