"""Records which configurations were in force, and what each changed."""

import json
from collections.abc import Mapping, Sequence

from ledger.session import Session
from listener.journal import now


class Configurations:
    """The log of configurations, each from when it came into force."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def latest(self) -> Mapping[str, str] | None:
        """The settings that were in force last, by key; None where none ever were."""
        rows = self._session.query("SELECT settings FROM configurations ORDER BY id DESC LIMIT 1")
        return next((json.loads(row["settings"]) for row in rows), None)

    def record(self, settings: Mapping[str, str], changes: Sequence[str]) -> None:
        """Record that settings came into force, and in words what they change."""
        with self._session.atomic():
            self._session.insert(
                "configurations",
                at=now(),
                settings=json.dumps(dict(settings)),
                changes=json.dumps(list(changes)),
            )
