"""The audit trail: who did what to what and when, a line of JSON each, only ever appended.

It names people who use the page, never patients: a target is a UID, a number or a user's name.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from web_status.private_files import append_private

logger = logging.getLogger(__name__)

AUDIT_NAME = "audit.log"


@dataclass(frozen=True)
class Deed:
    """What somebody did.

    Attributes
    ----------
    action
        Such as ``login``, ``login failed``, ``logout``, ``user added``.
    user
        Who; empty where not known.
    target
        UID, number or user it was done to; empty where there is none.
    address
        Where the request came from; empty for the command line.
    token
        The name of the user's token with which a program did it; empty for a person.
    """

    action: str
    user: str = ""
    target: str = ""
    address: str = ""
    token: str = ""


class AuditTrail:
    """Appends to ``<data>/audit.log``. Several processes may; each line is one write."""

    def __init__(self, data: Path) -> None:
        self._path = data / AUDIT_NAME

    def record(self, deed: Deed) -> None:
        """Have a deed on disk when this returns; where that fails, in the log of the service."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, **asdict(deed)})
        try:
            append_private(self._path, line.encode() + b"\n")
        except OSError as error:
            logger.error("audit trail: not written (%s): %s", error.strerror, line)  # noqa: TRY400

    def users_of(self, action: str) -> Mapping[str, str]:
        """Who did something, by what it was done to; less where the trail was begun anew."""
        marked = json.dumps(action).encode()
        try:
            with self._path.open("rb") as lines:
                deeds = [json.loads(line) for line in lines if marked in line]
        except FileNotFoundError:
            return {}
        return {deed["target"]: deed["user"] for deed in deeds if deed["action"] == action}
