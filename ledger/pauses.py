"""Pauses of processing: by a person until they resume it, by a failing output for a while."""

from datetime import UTC, datetime, timedelta

from ledger.session import Session
from listener.journal import now

_EVERYTHING = ""


class Pauses:
    """What keeps jobs waiting; `ledger.jobs` asks it when jobs are claimed.

    A processor's name stands for every job that runs it, the empty name for all jobs.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def pause(self, processor: str = _EVERYTHING) -> None:
        """Let no further job begin that runs `processor`, until a person resumes it."""
        with self._session.atomic():
            self._session.execute(
                "INSERT INTO pauses (processor, cause, reason, at) VALUES (?, 'person', '', ?)"
                " ON CONFLICT DO NOTHING",
                [processor, now()],
            )

    def resume(self, processor: str = _EVERYTHING) -> None:
        """End every pause of `processor`, by whatever cause; by default of all that is paused."""
        with self._session.atomic():
            self._session.execute(
                "DELETE FROM pauses WHERE processor = ? OR ? = ''", [processor, processor]
            )

    def output_failed(self, reason: str, first_seconds: float, longest_seconds: float) -> float:
        """Let no job begin for a while, each time for twice as long; return the seconds.

        It stays on record as an alarm until `output_works`.
        """
        with self._session.atomic():
            earlier = list(self._session.query("SELECT strikes FROM pauses WHERE cause = 'output'"))
            strikes = earlier[0]["strikes"] + 1 if earlier else 0
            seconds = min(longest_seconds, first_seconds * 2.0**strikes)
            until = datetime.now(UTC) + timedelta(seconds=seconds)
            self._session.execute(
                "INSERT INTO pauses (processor, cause, reason, at, until, strikes)"
                " VALUES ('', 'output', ?, ?, ?, ?) ON CONFLICT (processor, cause) DO UPDATE SET"
                " reason = excluded.reason, until = excluded.until, strikes = excluded.strikes",
                [reason, now(), until.isoformat(timespec="milliseconds"), strikes],
            )
        return seconds

    def output_works(self) -> bool:
        """End the pause of a failing output; return whether there was one."""
        with self._session.atomic():
            return bool(self._session.execute("DELETE FROM pauses WHERE cause = 'output'").rowcount)
