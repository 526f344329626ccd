"""The queue of notifications, and which alarms were told.

::

    held ──its study is done──> waiting ──delivered──> sent
                                 ^ │ │
                     tried again └─┘ ├──more than may go out in an hour──> summed
                                     └──given up──> dead ──by a person──> waiting

A notification is waiting until its delivery is recorded: after a crash in between it is delivered
twice, and never lost.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.notification_records import Facts, Notification
from ledger.session import Row, Session
from ledger.told_jobs import queue_notification
from listener.journal import now

_HOUR = timedelta(hours=1)
_KEPT = timedelta(days=30)
_EXAMPLES = 10

_READY = """SELECT notifications.id, study_id, facts FROM notifications
    JOIN studies ON studies.id = study_id
    WHERE notifications.state = 'held' AND NOT is_arriving
    AND NOT EXISTS (SELECT 1 FROM series WHERE series.study_id = studies.id
     AND (series.state = 'arriving' OR EXISTS (SELECT 1 FROM jobs
          WHERE series_id = series.id AND jobs.state IN ('queued', 'running'))))"""

_ENDS = """SELECT jobs.state = 'dead' OR EXISTS (SELECT 1 FROM steps
     WHERE job_id = jobs.id AND steps.state = 'failed') AS is_failed, count(*) AS jobs
    FROM jobs JOIN series ON series.id = series_id
    WHERE study_id = ? AND jobs.state IN ('done', 'dead') GROUP BY is_failed"""

_ENDED = "target = ? AND state IN ('sent', 'dead') AND is_alarm = ? AND ended_at > ?"
_WAITING = "target = ? AND state = 'waiting' AND is_alarm = ?"
_FRESH, _TRIED = f"{_WAITING} AND tries = 0", f"{_WAITING} AND tries > 0"


class Notifications:
    """The telling side of the ledger."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def release_studies(self) -> None:
        """Let what was held for a study go out, where the study is done."""
        ready = list(self._session.query(_READY))
        if not ready:
            return
        with self._session.atomic():
            for row in ready:
                at, facts = now(), json.loads(row["facts"]) | self._ends(row["study_id"])
                self._session.execute(
                    "UPDATE notifications SET state = 'waiting', facts = ?, at = ?,"
                    " not_before = ? WHERE id = ?",
                    [json.dumps(facts), at, at, row["id"]],
                )

    def _ends(self, study_id: int) -> Mapping[str, int]:
        rows = self._session.query(_ENDS, [study_id])
        ends = {bool(row["is_failed"]): row["jobs"] for row in rows}
        return {"jobs_done": ends.get(False, 0), "jobs_failed": ends.get(True, 0)}

    def tell_alarms(
        self, target: str, alarms: Mapping[str, Facts], remind_seconds: float | None
    ) -> None:
        """Queue which alarms have begun, which are over, and which last.

        Parameters
        ----------
        alarms
            Those there are now, by what tells one from another.
        remind_seconds
            After so long it is told again that one lasts; None for never.
        """
        told = {
            row["alarm"]: row
            for row in self._session.query("SELECT * FROM told_alarms WHERE target = ?", [target])
        }
        due = [key for key in alarms if _is_due(told.get(key), remind_seconds)]
        over = [row for key, row in told.items() if key not in alarms]
        if not due and not over:
            return
        with self._session.atomic():
            for key in due:
                self._tell_alarm(target, key, alarms[key], told.get(key))
            for row in over:
                self._end_alarm(row)

    def _tell_alarm(self, target: str, key: str, alarm: Facts, told: Row | None) -> None:
        at = now()
        began_at = told["began_at"] if told else at
        event = "alarm_lasts" if told else "alarm_began"
        facts = {**alarm, "since": began_at}
        queue_notification(self._session, target, event, facts, is_alarm=True)
        self._session.execute(
            "INSERT OR REPLACE INTO told_alarms (target, alarm, facts, began_at, told_at)"
            " VALUES (?, ?, ?, ?, ?)",
            [target, key, json.dumps(facts), began_at, at],
        )

    def _end_alarm(self, row: Row) -> None:
        facts = json.loads(row["facts"])
        queue_notification(self._session, row["target"], "alarm_ended", facts, is_alarm=True)
        self._session.execute(
            "DELETE FROM told_alarms WHERE target = ? AND alarm = ?", [row["target"], row["alarm"]]
        )

    def next_for(self, target: str, per_hour: int) -> Notification | None:
        """What is to be delivered to a target now, alarms first; None where nothing is.

        Of more than may go out in an hour, the last makes a summary of all the others.
        """
        for is_alarm in (True, False):
            again = self._first(
                f"{_TRIED} AND not_before <= ? ORDER BY not_before", [target, is_alarm, now()]
            )
            found = again or self._fresh(target, per_hour, is_alarm=is_alarm)
            if found is not None:
                return found
        return None

    def _fresh(self, target: str, per_hour: int, *, is_alarm: bool) -> Notification | None:
        waiting = self._count(_FRESH, [target, is_alarm])
        if not waiting:
            return None
        room = per_hour - self._count(_ENDED, [target, is_alarm, _ago(_HOUR)])
        room -= self._count(_TRIED, [target, is_alarm])
        if room <= 0:
            return None
        if waiting > room:
            self._sum_up(target, room - 1, is_alarm=is_alarm)
        return self._first(f"{_FRESH} ORDER BY id", [target, is_alarm])

    def _sum_up(self, target: str, keep: int, *, is_alarm: bool) -> None:
        """Put a summary in the place of all that is waiting but the first few."""
        with self._session.atomic():
            rows = list(
                self._session.query(
                    f"SELECT * FROM notifications WHERE {_FRESH} ORDER BY id LIMIT -1 OFFSET ?",
                    [target, is_alarm, keep],
                )
            )
            self._session.execute(
                f"UPDATE notifications SET state = 'summed', ended_at = ? WHERE {_FRESH}"
                " AND id >= ?",
                [now(), target, is_alarm, rows[0]["id"]],
            )
            facts = _summary(list(map(_notification, rows)))
            queue_notification(self._session, target, "summary", facts, is_alarm=is_alarm)

    def sent(self, number: int) -> None:
        """Record that one was delivered."""
        self._end(number, "sent", None)

    def give_up(self, number: int, error: str) -> None:
        """Record that one is not tried any more: a dead letter for a person to look at."""
        self._end(number, "dead", error)

    def _end(self, number: int, state: str, error: str | None) -> None:
        with self._session.atomic():
            self._session.execute(
                "UPDATE notifications SET state = ?, error = ?, ended_at = ?, tries = tries + 1"
                " WHERE id = ?",
                [state, error, now(), number],
            )

    def retry(self, number: int, error: str, delay_seconds: float) -> None:
        """Record that one was not delivered, and is tried again after a while."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE notifications SET error = ?, not_before = ?, tries = tries + 1"
                " WHERE id = ?",
                [error, _ago(timedelta(seconds=-delay_seconds)), number],
            )

    def resend(self, number: int | None) -> int:
        """Queue a dead letter again, or all of them, with all tries; return how many."""
        return self._dead(
            "UPDATE notifications SET state = 'waiting', tries = 0, ended_at = NULL", number
        )

    def forget(self, number: int | None) -> int:
        """Take a dead letter out, or all of them; return how many."""
        return self._dead("DELETE FROM notifications", number)

    def _dead(self, change: str, number: int | None) -> int:
        with self._session.atomic():
            return self._session.execute(
                f"{change} WHERE state = 'dead' AND (id = ?1 OR ?1 IS NULL)", [number]
            ).rowcount

    def tidy(self, targets: Collection[str]) -> None:
        """Give up what is for a target that is not configured any more, and forget what is old."""
        known = json.dumps(list(targets))
        unknown = "target NOT IN (SELECT value FROM json_each(?))"
        with self._session.atomic():
            self._session.execute(f"DELETE FROM told_alarms WHERE {unknown}", [known])
            self._session.execute(
                "UPDATE notifications SET state = 'dead', ended_at = ?, error ="
                " 'no [[notify]] has this name any more' WHERE state IN ('held', 'waiting')"
                f" AND {unknown}",
                [now(), known],
            )
            self._session.execute(
                "DELETE FROM notifications WHERE state IN ('sent', 'summed') AND ended_at < ?",
                [_ago(_KEPT)],
            )

    def _first(self, where: str, values: list[Any]) -> Notification | None:
        rows = self._session.query(f"SELECT * FROM notifications WHERE {where} LIMIT 1", values)
        return next(map(_notification, list(rows)), None)

    def _count(self, where: str, values: list[Any]) -> int:
        row = self._session.one(f"SELECT count(*) AS n FROM notifications WHERE {where}", values)
        return int(row["n"])


def _is_due(told: Row | None, remind_seconds: float | None) -> bool:
    if told is None:
        return True
    return remind_seconds is not None and told["told_at"] <= _ago(timedelta(seconds=remind_seconds))


def _summary(several: list[Notification]) -> Facts:
    """What several say in one; those that are summaries themselves count for all they sum up."""
    events: Counter[str] = Counter()
    examples: list[Facts] = []
    for one in several:
        if one.event == "summary":
            events.update(one.facts["events"])
            examples.extend(one.facts["examples"])
        else:
            events[one.event] += 1
            examples.append({"event": one.event, **one.facts})
    return {
        "count": events.total(),
        "events": dict(events),
        "examples": examples[:_EXAMPLES],
        "since": min(str(one.facts.get("since", one.at)) for one in several),
    }


def _notification(row: Row) -> Notification:
    return Notification(
        row["id"], row["target"], row["event"], row["at"], json.loads(row["facts"]), row["tries"]
    )


def _ago(span: timedelta) -> str:
    return (datetime.now(UTC) - span).isoformat(timespec="milliseconds")
