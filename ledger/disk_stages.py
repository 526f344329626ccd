"""Records how full the disk was when that made a difference."""

from ledger.session import Session
from listener.journal import now


class DiskStages:
    """The log of the stages of a filling disk, each from when it began."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(self, stage: str, free_bytes: int) -> None:
        """Record that a stage began."""
        with self._session.atomic():
            self._session.insert("disk_stages", at=now(), stage=stage, free_bytes=free_bytes)

    def latest(self) -> str | None:
        """The stage that began last; None where none ever did."""
        rows = self._session.query("SELECT stage FROM disk_stages ORDER BY id DESC LIMIT 1")
        return next((row["stage"] for row in rows), None)
