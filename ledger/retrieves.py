"""Retrieve lists: what was asked for is kept until every accession number has ended.

::

    waiting ──claim──> running ──> whole, unproven, absent
      ^ ^ ^                │ └───> incomplete, failed (tries used up)
      │ │ └───try again────┘
      │ └── the daemon was stopped
      └── again <── any that ended, by a person       cancelled, by a person, from any

A problem of the PACS as a whole is no try: the item waits again, and with it all others of
that PACS, each time twice as long.
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from ledger.retrieve_records import ClaimedItem, RetrieveOrder, RetrieveResult
from ledger.session import Row, Session
from listener.journal import now

_OPEN = "('waiting', 'running')"


class Retrieves:
    """The writing side of retrieve lists."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, order: RetrieveOrder) -> int:
        """Record a list, and return its number; one of the same key is there already."""
        with self._session.atomic():
            known = list(
                self._session.query("SELECT id FROM retrieve_lists WHERE key = ?", [order.key])
            )
            return int(known[0]["id"]) if known else self._add(order)

    def _add(self, order: RetrieveOrder) -> int:
        at = now()
        list_id = self._session.insert(
            "retrieve_lists",
            key=order.key,
            name=order.name,
            pacs=order.pacs,
            method=order.method,
            rules=json.dumps(order.rules),
            priority=order.priority,
            tries=order.tries,
            rule=order.rule,
            asked_at=at,
        )
        self._session.execute_many(
            "INSERT INTO retrieve_items (list_id, pacs, accession_number, state, not_before)"
            " VALUES (?, ?, ?, 'waiting', ?) ON CONFLICT DO NOTHING",
            [(list_id, order.pacs, number, at) for number in order.accession_numbers],
        )
        return list_id

    def take_over(self) -> int:
        """Let wait again what an earlier run left running: it counts as no try. Return how many."""
        with self._session.atomic():
            return self._session.execute(
                "UPDATE retrieve_items SET state = 'waiting', tries = tries - 1"
                " WHERE state = 'running'"
            ).rowcount

    def claim(self, pacs: str) -> ClaimedItem | None:
        """Take the next accession number of a PACS whose time has come; None where there is none.

        The same accession number, asked for in two lists, is not retrieved twice at once.
        """
        rows = list(
            self._session.query(
                "SELECT item.*, list.method, list.rules, list.rule, list.tries AS most_tries"
                " FROM retrieve_items AS item"
                " JOIN retrieve_lists AS list ON list.id = item.list_id"
                " WHERE item.pacs = ?1 AND item.state = 'waiting' AND item.not_before <= ?2"
                " AND NOT EXISTS (SELECT 1 FROM retrieve_pauses"
                "  WHERE retrieve_pauses.pacs = ?1 AND until > ?2)"
                " AND NOT EXISTS (SELECT 1 FROM retrieve_items AS other"
                "  WHERE other.pacs = ?1 AND other.state = 'running'"
                "  AND other.accession_number = item.accession_number)"
                " ORDER BY list.priority DESC, item.not_before, item.id LIMIT 1",
                [pacs, now()],
            )
        )
        if not rows:
            return None
        with self._session.atomic():
            self._session.execute(
                "UPDATE retrieve_items SET state = 'running', tries = tries + 1,"
                " started_at = ?, ended_at = NULL WHERE id = ?",
                [now(), rows[0]["id"]],
            )
        return _claimed(rows[0])

    def end(self, item: ClaimedItem, result: RetrieveResult, retry_seconds: float) -> None:
        """Record what came of a try; what can be better next time waits for `retry_seconds`."""
        can_retry = result.state in ("incomplete", "failed") and item.tries < item.most_tries
        state = "waiting" if can_retry else result.state
        with self._session.atomic():
            self._record(item, result, state, retry_seconds)
            self._session.execute("DELETE FROM retrieve_pauses WHERE pacs = ?", [item.pacs])

    def put_back(self, item: ClaimedItem, result: RetrieveResult) -> None:
        """Let an item wait again after a problem of its PACS: it is no try."""
        with self._session.atomic():
            self._record(item, result, "waiting", 0.0)
            self._session.execute(
                "UPDATE retrieve_items SET tries = tries - 1 WHERE id = ? AND state = 'waiting'",
                [item.id],
            )

    def _record(
        self, item: ClaimedItem, result: RetrieveResult, state: str, retry_seconds: float
    ) -> None:
        changed = self._session.execute(
            "UPDATE retrieve_items SET state = ?, not_before = ?, ended_at = ?, reason = ?,"
            " studies = ? WHERE id = ? AND state = 'running'",
            [state, _later(retry_seconds), now(), result.problem, result.studies, item.id],
        ).rowcount
        if changed and (result.series or not result.problem):
            self._session.execute("DELETE FROM retrieve_series WHERE item_id = ?", [item.id])
            for series in result.series:
                values = {**asdict(series), "missing": json.dumps(series.missing)}
                self._session.insert("retrieve_series", item_id=item.id, **values)

    def pacs_failed(self, pacs: str, reason: str, first: float, longest: float) -> float:
        """Let all items of a PACS wait, each time for twice as long; return the seconds."""
        with self._session.atomic():
            earlier = list(
                self._session.query("SELECT strikes FROM retrieve_pauses WHERE pacs = ?", [pacs])
            )
            strikes = earlier[0]["strikes"] + 1 if earlier else 0
            seconds = min(longest, first * 2.0**strikes)
            self._session.execute(
                "INSERT INTO retrieve_pauses (pacs, reason, at, until, strikes)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (pacs) DO UPDATE SET"
                " reason = excluded.reason, until = excluded.until, strikes = excluded.strikes",
                [pacs, reason, now(), _later(seconds), strikes],
            )
        return seconds

    def release(self, item: ClaimedItem) -> None:
        """Let an item wait again that was stopped for no fault of its own: it is no try."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE retrieve_items SET state = 'waiting', tries = tries - 1"
                " WHERE id = ? AND state = 'running'",
                [item.id],
            )

    def cancel(self, list_id: int) -> None:
        """Take out what has not ended of a list."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE retrieve_items SET state = 'cancelled', ended_at = ?"
                f" WHERE list_id = ? AND state IN {_OPEN}",
                [now(), list_id],
            )

    def again(self, list_id: int) -> None:
        """Try again what of a list is not whole, with all its tries, and at once."""
        with self._session.atomic():
            self._session.execute(
                "UPDATE retrieve_items SET state = 'waiting', tries = 0, not_before = ?"
                " WHERE list_id = ? AND state NOT IN ('running', 'whole')",
                [now(), list_id],
            )
            self._session.execute(
                "DELETE FROM retrieve_pauses WHERE pacs ="
                " (SELECT pacs FROM retrieve_lists WHERE id = ?)",
                [list_id],
            )


def _claimed(row: Row) -> ClaimedItem:
    return ClaimedItem(
        id=row["id"],
        list_id=row["list_id"],
        accession_number=row["accession_number"],
        pacs=row["pacs"],
        method=row["method"],
        rules=tuple((source, text) for source, text in json.loads(row["rules"])),
        tries=row["tries"] + 1,
        most_tries=row["most_tries"],
        has_rule=bool(row["rule"]),
    )


def _later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
