"""Records which rules came into force, and which attempt to load others failed."""

import json
from collections.abc import Sequence

from ledger.session import Session
from listener.journal import now
from rules.texts import RuleText


class RuleLoads:
    """The log of rules that were loaded."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(self, rules: int, texts: Sequence[RuleText]) -> None:
        """Record that rules came into force."""
        self._record(rules, texts, None)

    def record_failure(self, problem: str) -> None:
        """Record that rules could not be read, so that those before stay in force."""
        self._record(0, (), problem)

    def _record(self, rules: int, texts: Sequence[RuleText], problem: str | None) -> None:
        with self._session.atomic():
            self._session.insert(
                "rule_loads", at=now(), rules=rules, texts=json.dumps(texts), problem=problem
            )

    def latest_texts(self) -> tuple[RuleText, ...]:
        """The texts of the rules that came into force last; none when none ever did."""
        rows = self._session.query(
            "SELECT texts FROM rule_loads WHERE problem IS NULL ORDER BY id DESC LIMIT 1"
        )
        return tuple(RuleText(*text) for row in rows for text in json.loads(row["texts"]))
