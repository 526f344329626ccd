"""How far the syslog server has the audit trail, as the data folder remembers."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from web_status.settings import AuditSettings

SENT_NAME = "audit-sent.json"


@dataclass(frozen=True)
class Delivery:
    """How far the syslog server has the audit trail.

    Attributes
    ----------
    number
        The last line that it took.
    problem, since
        Why it takes no more, and since when; empty while it does.
    """

    number: int = 0
    problem: str = ""
    since: str = ""

    def is_late(self, minutes: float) -> bool:
        """Whether nothing was taken for so long, though something waits."""
        if not self.since:
            return False
        return datetime.now(UTC) - datetime.fromisoformat(self.since) > timedelta(minutes=minutes)


def delivery_of(data: Path) -> Delivery:
    """What the data folder remembers; the beginning where that cannot be read."""
    try:
        return TypeAdapter(Delivery).validate_json((data / SENT_NAME).read_bytes())
    except (OSError, ValidationError):
        return Delivery()


def is_audit_late(data: Path, settings: AuditSettings) -> bool:
    """Whether a syslog server is to have the audit trail and has taken none of it for too long."""
    syslog = settings.syslog
    return syslog is not None and delivery_of(data).is_late(syslog.late_minutes)
