"""The audit trail of the node: who did what to what and when, each deed with its DICOM message.

It names people who use the page, never patients: a target is a UID, a number or a user's name.
Patient IDs are in it where the site wants them.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from web_status.audit_events import Deed
from web_status.audit_file import AuditFiles
from web_status.audit_message import Reporter, message_of
from web_status.settings import AuditSettings

logger = logging.getLogger(__name__)

_ALWAYS = frozenset({"action", "user", "target", "address", "token"})


class AuditTrail:
    """Appends to the trail in the data folder. Any process may.

    Parameters
    ----------
    data
        The data folder.
    settings
        What is in the trail.
    ae_title
        Ours.
    """

    def __init__(
        self, data: Path, settings: AuditSettings | None = None, ae_title: str = "SAFELIGHT"
    ) -> None:
        self._settings = settings or AuditSettings()
        self._reporter = Reporter(ae_title, self._settings.source or ae_title, self._settings.site)
        self._files = AuditFiles(data)

    def record(self, deed: Deed, at: str = "") -> None:
        """Have a deed on disk when this returns; where that fails, in the log of the service.

        Parameters
        ----------
        at
            When it was done, ISO 8601 in UTC; now, where it is empty.
        """
        at = at or datetime.now(UTC).isoformat(timespec="milliseconds")
        deed = deed if self._settings.patient else replace(deed, patient="")
        told = {key: value for key, value in asdict(deed).items() if value or key in _ALWAYS}
        line = {"at": at, **told}
        try:
            self._files.append({**line, "message": message_of(deed, at, self._reporter)})
        except OSError as error:
            line.pop("patient", None)
            reason = error.strerror or type(error).__name__
            logger.error("audit trail: not written (%s): %s", reason, json.dumps(line))  # noqa: TRY400

    def users_of(self, action: str) -> Mapping[str, str]:
        """Who did something, by what it was done to; less where files of the trail are gone."""
        marked = json.dumps(action).encode()
        deeds = [
            line.record for path in self._files.paths() for line in self._files.lines(path, marked)
        ]
        return {deed["target"]: deed["user"] for deed in deeds if deed.get("action") == action}
